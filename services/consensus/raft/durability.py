"""What is on its way to the disk, and what has arrived there.

Everything that changed since the last output goes into one numbered batch. A message that must not leave before a
change is durable names the batch that carries the change (C1). Batches become durable in order.

In a batch the install of a snapshot comes first, then the truncation, then the entries, then compaction.
"""

from __future__ import annotations

from collections import deque

from services.consensus.raft.events import Persisted
from services.consensus.raft.invariant import ensure
from services.consensus.raft.log import Log
from services.consensus.raft.model import HardState, LogMark
from services.consensus.raft.outputs import PersistBatch


class Durability:
    """Makes persist batches of what changed, and knows how much of the log is durable."""

    def __init__(self, log: Log, hard_state: HardState) -> None:
        """Start with a log and a hard state that are both durable."""
        self.hard_state = hard_state
        self.durable_index = log.last_index
        self._log = log
        self._number = 0  # Last batch handed out.
        self._durable_number = 0
        self._hard_dirty = False
        self._truncate_from: int | None = None
        self._install: LogMark | None = None
        self._compact_to: LogMark | None = None
        self._unsaved_from = log.last_index + 1
        self._hard_batch = 0  # Batch with the present hard state.
        self._entries_batch = 0  # Batch with the newest entries.
        self._rewrite_batch = 0  # Batch with the newest truncation or install.
        self._install_batch = 0  # Batch with the newest install.
        self._open: deque[tuple[int, int]] = deque()  # (number, handed out at) of batches not durable yet.

    def set_hard_state(self, hard_state: HardState) -> None:
        """Remember a new hard state, to be written with the next batch."""
        if hard_state != self.hard_state:
            self.hard_state = hard_state
            self._hard_dirty = True

    def truncate(self, from_index: int) -> None:
        """Drop the log from an index on, in memory now, on disk with the next batch."""
        self._log.truncate(from_index)
        if from_index < self._unsaved_from:  # The store has, or will have, rows to delete.
            self._truncate_from = min(from_index, self._truncate_from or from_index)
            self._unsaved_from = from_index
        self.durable_index = min(self.durable_index, from_index - 1)

    def install(self, mark: LogMark, commit_index: int) -> None:
        """Begin the log anew behind a snapshot, in memory now, on disk with the next batch (N4).

        Args:
            mark: Entry the snapshot stands at, beyond `commit_index`.
            commit_index: What was known to be committed before; that much of the log on disk stays true.
        """
        self._log.reset(mark)
        self._install, self._truncate_from, self._compact_to = mark, None, None
        self._unsaved_from = mark.index + 1
        self.durable_index = min(self.durable_index, commit_index)

    def compact(self, to: int) -> None:
        """Forget the log up to an entry, in memory now, on disk when the store finds time after the next batch (N1).

        Raises:
            InvariantViolated: I16 (the entry is not in the log, or no batch has it yet).
        """
        ensure(to < self._unsaved_from, "I16", f"compaction to {to}, unsaved from {self._unsaved_from}")
        self._log.compact(to)
        self._compact_to = self._log.mark

    @property
    def installing(self) -> bool:
        """True from the install of a snapshot until it is durable (N4)."""
        return self._install is not None or self._install_batch > self._durable_number

    def take_batch(self, now: int) -> PersistBatch | None:
        """Hand out what changed since the last call; None when nothing did."""
        entries = self._log.between(self._unsaved_from, self._log.last_index)
        if not (self._hard_dirty or entries or self._rewrites or self._compact_to is not None):
            return None
        self._number += 1
        batch = PersistBatch(
            self._number,
            self.hard_state if self._hard_dirty else None,
            self._truncate_from,
            entries,
            self._log.last_index,
            self._log.last_term,
            self._install,
            self._compact_to,
        )
        if self._hard_dirty:
            self._hard_batch = self._number
        if entries:
            self._entries_batch = self._number
        if self._rewrites:
            self._rewrite_batch = self._number
        if self._install is not None:
            self._install_batch = self._number
        self._hard_dirty, self._truncate_from, self._unsaved_from = False, None, self._log.last_index + 1
        self._install, self._compact_to = None, None
        self._open.append((self._number, now))
        return batch

    def persisted(self, notice: Persisted) -> None:
        """Note that batches are durable; one from before a truncation or install says nothing about the log (C2).

        Index and term alone do not tell: the same entry may have been truncated and received again, and then the
        store still has the deletion before it. So batches older than the newest truncation do not count.
        """
        self._durable_number = max(self._durable_number, notice.number)
        while self._open and self._open[0][0] <= self._durable_number:
            self._open.popleft()
        if self._rewrites or notice.number < self._rewrite_batch:
            return
        compacted = notice.last_index < self._log.mark.index  # Its term is forgotten; it was applied since.
        if compacted or self._log.term_at(notice.last_index) == notice.last_term:
            self.durable_index = max(self.durable_index, notice.last_index)

    def hard_barrier(self) -> int:
        """Return the batch that makes the present hard state durable; 0 = it is."""
        return self._barrier(self._number + 1 if self._hard_dirty else self._hard_batch)

    def log_barrier(self, index: int) -> int:
        """Return the batch after which hard state and log up to `index` are durable, as of the last batch taken."""
        newest = max(self._entries_batch, self._install_batch)
        entries = 0 if index <= self.durable_index else self._barrier(newest)
        return max(entries, self.hard_barrier())

    def waiting_since(self) -> int | None:
        """Return when the oldest batch that is not durable was handed out; None = all are."""
        return self._open[0][1] if self._open else None

    @property
    def _rewrites(self) -> bool:
        """True when the next batch takes something of the log on disk back."""
        return self._truncate_from is not None or self._install is not None

    def _barrier(self, number: int) -> int:
        return number if number > self._durable_number else 0
