"""Proposals a leader appended and has not committed yet (section 11, P5; R8)."""

from __future__ import annotations

from collections import deque

from services.consensus.raft.outputs import ProposalOutcome, ProposalResult


class OpenProposals:
    """Uncommitted proposals in log order, and how many bytes they are."""

    def __init__(self, limit: int) -> None:
        """Take at most `limit` bytes."""
        self._limit = limit
        self._size = 0
        self._open: deque[tuple[int, int | None, int]] = deque()  # (last index, waiter, bytes)

    def fits(self, size: int) -> bool:
        """Tell whether a proposal may be taken; a single one always may (R8)."""
        return self._size == 0 or self._size + size <= self._limit

    def add(self, last_index: int, waiter: int | None, size: int) -> None:
        """Count what was appended; without a waiter nobody is told of its loss."""
        self._size += size
        self._open.append((last_index, waiter, size))

    def committed(self, index: int) -> None:
        """Forget what is committed: from now on its result comes from the state machine."""
        while self._open and self._open[0][0] <= index:
            self._size -= self._open.popleft()[2]

    def close(self) -> list[ProposalResult]:
        """Return UNKNOWN for every waiter: leadership is lost (P5)."""
        lost = [(last_index, waiter) for last_index, waiter, _ in self._open if waiter is not None]
        self._open.clear()
        self._size = 0
        return [ProposalResult(waiter, ProposalOutcome.UNKNOWN, last_index=index) for index, waiter in lost]
