"""Linearizable reads without a lease: ReadIndex (section 12; thesis 6.4).

A read notes the commit index, and is answered once a majority answered a round of heartbeats begun after it: then no
other leader had committed anything before the read arrived. One round serves all reads that wait for it.
"""

from __future__ import annotations

from collections import deque

from services.consensus.raft.outputs import ReadOutcome, ReadResult


class ReadRounds:
    """Reads that wait for a leader to be confirmed."""

    def __init__(self) -> None:
        """Start without reads."""
        self._waiting: list[tuple[int, int]] = []  # (waiter, commit index when it came), no round begun since.
        self._in_round: deque[tuple[int, list[tuple[int, int]]]] = deque()

    @property
    def wants_round(self) -> bool:
        """True when a read waits for a round and none is on its way for another."""
        return bool(self._waiting) and not self._in_round

    def add(self, waiter: int, commit_index: int) -> None:
        """Take a read."""
        self._waiting.append((waiter, commit_index))

    def round_begun(self, number: int) -> None:
        """Note that a round of heartbeats goes out now; it serves every read that came before."""
        if self._waiting:
            self._in_round.append((number, self._waiting))
            self._waiting = []

    def confirmed(self, number: int) -> list[ReadResult]:
        """Return the reads that a majority's answer to a round settles."""
        ready: list[ReadResult] = []
        while self._in_round and self._in_round[0][0] <= number:
            reads = self._in_round.popleft()[1]
            ready.extend(ReadResult(waiter, ReadOutcome.READY, index) for waiter, index in reads)
        return ready

    def close(self) -> list[ReadResult]:
        """Return every waiting read as failed: leadership is lost."""
        reads = [read for _, batch in self._in_round for read in batch] + self._waiting
        self._in_round.clear()
        self._waiting = []
        return [ReadResult(waiter, ReadOutcome.NOT_LEADER) for waiter, _ in reads]
