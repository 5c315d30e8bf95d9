"""What one transaction of the store writes, and how queued writes become one (14.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.consensus.raft.model import Entry, HardState, LogMark
from services.consensus.raft.outputs import PersistBatch
from services.consensus.state.machine import Mark
from services.consensus.state.rows import Change, Row


@dataclass(frozen=True, slots=True)
class Install:
    """A snapshot that replaces the state (N4).

    Attributes:
        mark: Where the machine stands; log rows up to its index go, all of them if the entry there has another term.
        tables: All rows by table; rows that are not in it do not survive.
    """

    mark: Mark
    tables: Mapping[str, Sequence[Row]]


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
        install: Replaces all state rows, before `changes`; its log mark takes effect before the entries go in.
        compact_to: Log rows up to here are not needed any more; the store deletes them bit by bit (N1), and not before
            its state rows are that far.
        group_id: Group that a member which joins belongs to from now on; empty = unchanged. Taken only once.
        quarantine: Why the store must not be trusted any more, at the next start either; empty = unchanged (14.6).
    """

    number: int = 0
    hard_state: HardState | None = None
    truncate_from: int | None = None
    entries: tuple[Entry, ...] = ()
    changes: tuple[Change, ...] = ()
    mark: Mark | None = None
    install: Install | None = None
    compact_to: LogMark | None = None
    group_id: str = ""
    quarantine: str = ""

    @classmethod
    def of_batch(cls, batch: PersistBatch, install: Install | None = None) -> StoreWrite:
        """Return the write of a batch of the core; `install` are the rows for the mark it may name."""
        return cls(
            batch.number,
            batch.hard_state,
            batch.truncate_from,
            batch.entries,
            install=install,
            compact_to=batch.compact_to,
        )


def merge_writes(writes: Sequence[StoreWrite]) -> StoreWrite:
    """Return one write with the effect of all, carried out in order.

    A snapshot may only be in the first: what it leaves of the log depends on what is in the database by then.
    """
    if len(writes) == 1:
        return writes[0]
    hard_state, mark, truncate_from, compact_to = None, None, None, None
    entries: list[Entry] = []
    changes: list[Change] = []
    number, group_id, quarantine = 0, "", ""
    for place, write in enumerate(writes):
        assert place == 0 or write.install is None, "a snapshot begins a transaction"
        number = max(number, write.number)
        hard_state = write.hard_state or hard_state
        mark = write.mark or mark
        compact_to = write.compact_to or compact_to
        group_id = group_id or write.group_id
        quarantine = quarantine or write.quarantine
        changes.extend(write.changes)
        if write.truncate_from is not None:
            truncate_from = min(truncate_from or write.truncate_from, write.truncate_from)
            entries = [entry for entry in entries if entry.index < write.truncate_from]
        entries.extend(write.entries)
    return StoreWrite(
        number,
        hard_state,
        truncate_from,
        tuple(entries),
        tuple(changes),
        mark,
        writes[0].install,
        compact_to,
        group_id,
        quarantine,
    )
