"""Compaction and snapshots in a store (15)."""

from __future__ import annotations

import pytest
from msgspec import structs

from services.consensus.raft.model import HardState, LogMark
from services.consensus.state.rows import LEASES, STEPS, put
from services.consensus.store.store import FORGET_ROWS
from services.consensus.store_write import Install, StoreWrite, merge_writes
from tests.contract.store.conftest import BOOTED, GROUP, LEASE, STEP, Database, entries

THERE = structs.replace(
    BOOTED, applied_index=6, applied_term=2, time_ms=77, digest=bytes(range(16)), configuration_index=4
)
"""Mark of a snapshot."""
OTHER = ("other", *LEASE[1:])


def rows_in_log(database: Database) -> list[int]:
    return [row[0] for row in database.query("SELECT log_index FROM raft_log ORDER BY log_index")]


def test_compaction_forgets_rows_bit_by_bit(database: Database) -> None:
    store, _ = database.load()
    last = 2 * FORGET_ROWS + 500
    store.write(StoreWrite(1, entries=entries(*range(2, last + 1)), mark=structs.replace(BOOTED, applied_index=last)))
    store.write(StoreWrite(2, compact_to=LogMark(last - 10, 1)))
    state = store.load()
    assert state.log_mark == LogMark(last - 10, 1)
    assert state.entries == entries(*range(last - 9, last + 1))

    left = [len(rows_in_log(database))]
    more = True
    while more:
        more = store.tidy(idle=False)
        left.append(len(rows_in_log(database)))

    assert left == [last - 1, last - 1 - FORGET_ROWS, last - 1 - 2 * FORGET_ROWS, 10]
    assert store.load() == state
    assert not store.tidy(idle=True)


def test_compaction_that_was_cut_off_goes_on_after_a_restart(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(*range(2, 30)), mark=structs.replace(BOOTED, applied_index=29)))
    store.write(StoreWrite(2, compact_to=LogMark(20, 1)))
    store.close()
    store, state = database.load()
    assert state.entries == entries(*range(21, 30))
    assert len(rows_in_log(database)) == 28
    while store.tidy(idle=True):
        pass
    assert rows_in_log(database) == list(range(21, 30))


def test_log_is_kept_until_the_state_rows_are_as_far(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(2, 3, 4, 5), compact_to=LogMark(4, 1)))
    assert store.load().entries == entries(2, 3, 4, 5)
    store.write(StoreWrite(2, mark=structs.replace(BOOTED, applied_index=3)))
    assert store.load().log_mark == LogMark(1, 1)
    store.write(StoreWrite(3, mark=structs.replace(BOOTED, applied_index=5)))
    assert store.load().log_mark == LogMark(4, 1)
    assert store.load().entries == entries(5)


def test_mark_never_moves_back(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(2, 3, 4, 5), mark=structs.replace(BOOTED, applied_index=5)))
    store.write(StoreWrite(2, compact_to=LogMark(4, 1)))
    store.write(StoreWrite(3, compact_to=LogMark(3, 1)))
    assert store.load().log_mark == LogMark(4, 1)


@pytest.mark.parametrize(
    ("log_terms", "kept"),
    [
        pytest.param((1, 1), (), id="log-ends-before-it"),
        pytest.param((1, 1, 1, 1, 2), (), id="log-ends-with-it"),
        pytest.param((1, 1, 1, 1, 2, 2, 2), (7, 8), id="matching-suffix-stays"),
        pytest.param((1, 1, 1, 1, 1, 3, 3), (), id="another-term-there-ends-the-whole-log"),
    ],
)
def test_snapshot_replaces_state_and_log(database: Database, log_terms: tuple[int, ...], kept: tuple[int, ...]) -> None:
    store, _ = database.load()
    log = tuple(entries(index, term=term)[0] for index, term in enumerate(log_terms, start=2))
    store.write(StoreWrite(1, HardState(3), None, log, (put(LEASES, LEASE), put(STEPS, STEP))))
    store.write(StoreWrite(2, install=Install(THERE, {LEASES: [OTHER]})))
    store.close()

    _, state = database.load()

    assert state.mark == THERE
    assert state.log_mark == LogMark(6, 2)
    assert state.entries == tuple(entry for entry in log if entry.index in kept)
    assert state.tables[LEASES] == [OTHER]
    assert state.tables[STEPS] == []
    assert state.quarantine == ""
    assert all(index > 6 for index in rows_in_log(database))


def test_snapshot_is_the_first_thing_of_a_member_that_joined(database: Database) -> None:
    store, _ = database.load(bootstrap=GROUP)
    store.write(StoreWrite(1, HardState(2), install=Install(THERE, {LEASES: [OTHER]}), entries=entries(7, 8, term=2)))
    state = store.load()
    assert (state.log_mark, state.entries) == (LogMark(6, 2), entries(7, 8, term=2))


def test_what_follows_a_snapshot_may_be_in_its_transaction(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(2), entries=entries(2, 3)))
    later = structs.replace(THERE, applied_index=7)
    store.write(
        merge_writes(
            [
                StoreWrite(2, install=Install(THERE, {LEASES: [OTHER]})),
                StoreWrite(3, entries=entries(7, 8, term=2)),
                StoreWrite(0, changes=(put(LEASES, LEASE),), mark=later),
                StoreWrite(4, truncate_from=8, entries=entries(8, term=2)),
            ]
        )
    )
    state = store.load()
    assert (state.mark, state.log_mark) == (later, LogMark(6, 2))
    assert state.entries == entries(7, 8, term=2)
    assert state.tables[LEASES] == [OTHER, LEASE]


def test_large_snapshot_is_installed_whole(database: Database) -> None:
    store, _ = database.load()
    rows = [(f"l{number:05}", *LEASE[1:]) for number in range(2_500)]
    store.write(StoreWrite(1, HardState(2), changes=tuple(put(LEASES, (f"old{row[0]}", *LEASE[1:])) for row in rows)))
    store.write(StoreWrite(2, install=Install(THERE, {LEASES: rows})))
    assert store.load().tables[LEASES] == rows
