"""Queued writes become one with the effect of all."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.consensus.raft.model import Entry, EntryKind, HardState, LogMark
from services.consensus.state.machine import Mark
from services.consensus.state.rows import LEASES, put
from services.consensus.store_write import Install, StoreWrite, merge_writes


@dataclass
class Tables:
    """What a store would hold."""

    vote: HardState | None = None
    log: dict[int, Entry] = field(default_factory=dict)
    rows: list[object] = field(default_factory=list)
    mark: Mark | None = None

    def write(self, write: StoreWrite) -> None:
        self.vote = write.hard_state or self.vote
        if write.truncate_from is not None:
            self.log = {index: entry for index, entry in self.log.items() if index < write.truncate_from}
        for entry in write.entries:
            assert entry.index not in self.log, "an insert meets no row"
            self.log[entry.index] = entry
        self.rows += write.changes
        self.mark = write.mark or self.mark


@st.composite
def histories(draw: st.DrawFn) -> list[StoreWrite]:
    """Writes as a core makes them: contiguous entries, truncation at or below the last one."""
    writes: list[StoreWrite] = []
    last = 0
    for number in range(1, draw(st.integers(2, 9))):
        truncate_from = draw(st.none() | st.integers(1, last)) if last else None
        first = truncate_from or last + 1
        count = draw(st.integers(0, 3))
        entries = tuple(Entry(first + i, number, EntryKind.COMMAND, 0, b"") for i in range(count))
        last = first + count - 1
        vote = draw(st.none() | st.builds(HardState, st.just(number)))
        changes = (put(LEASES, (f"l{number}", 1, "s", 1, 1, 1)),) if draw(st.booleans()) else ()
        writes.append(StoreWrite(number, vote, truncate_from, entries, changes, Mark(number) if changes else None))
    return writes


@given(histories())
def test_merged_write_has_the_effect_of_all(writes: list[StoreWrite]) -> None:
    one_by_one, together = Tables(), Tables()
    for write in writes:
        one_by_one.write(write)
    merged = merge_writes(writes)
    together.write(merged)
    assert together == one_by_one
    assert merged.number == writes[-1].number


def test_newest_place_to_compact_to_and_first_group_and_first_reason_count() -> None:
    merged = merge_writes(
        [
            StoreWrite(1, compact_to=LogMark(3, 1), group_id="one"),
            StoreWrite(2, compact_to=LogMark(5, 1), quarantine="first"),
            StoreWrite(3, group_id="two", quarantine="second"),
        ]
    )
    assert (merged.compact_to, merged.group_id, merged.quarantine) == (LogMark(5, 1), "one", "first")


def test_snapshot_stays_in_front_of_what_follows_it() -> None:
    install = Install(Mark(7, 1), {})
    merged = merge_writes([StoreWrite(1, install=install), StoreWrite(2, mark=Mark(8, 1))])
    assert (merged.install, merged.mark) == (install, Mark(8, 1))


def test_state_rows_alone_keep_the_number_of_the_batch_before() -> None:
    assert merge_writes([StoreWrite(3), StoreWrite(0, mark=Mark(1))]).number == 3
