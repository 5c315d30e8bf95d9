"""What one transaction of the store writes, and how queued writes become one (14.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.consensus.machine import Mark
from services.consensus.model import Entry, HardState
from services.consensus.outputs import PersistBatch
from services.consensus.rows import Change


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """A part of a transaction.

    Attributes:
        number: Number of the persist batch in it; 0 = none.
        hard_state: Term, vote and promise; None = unchanged.
        truncate_from: Delete log rows from here on, before the entries go in; None = delete nothing.
        entries: To insert, contiguous.
        changes: Rows of applied entries; those entries are in this write or an earlier one (S4).
        mark: Where the machine stands after `changes`; None = unchanged.
    """

    number: int = 0
    hard_state: HardState | None = None
    truncate_from: int | None = None
    entries: tuple[Entry, ...] = ()
    changes: tuple[Change, ...] = ()
    mark: Mark | None = None

    @classmethod
    def of_batch(cls, batch: PersistBatch) -> StoreWrite:
        """Return the write of a batch of the core."""
        return cls(batch.number, batch.hard_state, batch.truncate_from, batch.entries)


def merge_writes(writes: Sequence[StoreWrite]) -> StoreWrite:
    """Return one write with the effect of all, carried out in order."""
    if len(writes) == 1:
        return writes[0]
    hard_state, mark, truncate_from = None, None, None
    entries: list[Entry] = []
    changes: list[Change] = []
    number = 0
    for write in writes:
        number = max(number, write.number)
        hard_state = write.hard_state or hard_state
        mark = write.mark or mark
        changes.extend(write.changes)
        if write.truncate_from is not None:
            truncate_from = min(truncate_from or write.truncate_from, write.truncate_from)
            entries = [entry for entry in entries if entry.index < write.truncate_from]
        entries.extend(write.entries)
    return StoreWrite(number, hard_state, truncate_from, tuple(entries), tuple(changes), mark)
