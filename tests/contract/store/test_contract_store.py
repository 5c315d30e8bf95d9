"""What every store must do, whatever database it is on (14)."""

from __future__ import annotations

import pytest

from services.consensus.commands import Command, GrantLease, RegisterRecovery, StepWrite
from services.consensus.machine import Machine, Mark
from services.consensus.model import MILLISECOND, Entry, EntryKind, HardState
from services.consensus.ports import StoreBroken, StoreRefused
from services.consensus.rows import LEASES, RECOVERIES, STEPS, delete, put
from services.consensus.store import Identity
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import Database

LEASE = ("recovery", 1, "s1", 7, 2, 1)
STEP = ("r1", 1, 2, 7, None, b"\x00\xff", 5, 6, 9)


def entry(index: int, term: int = 1, data: bytes = b"command") -> Entry:
    return Entry(index, term, EntryKind.COMMAND, 1_700_000_000_000, data)


def entries(*indexes: int, term: int = 1) -> tuple[Entry, ...]:
    return tuple(entry(index, term) for index in indexes)


def test_new_store_is_blank(database: Database) -> None:
    state = database.open().load()
    assert (state.hard_state, state.entries, state.mark) == (HardState(), (), Mark())
    assert all(not rows for rows in state.tables.values())


def test_everything_written_is_there_after_a_restart(database: Database) -> None:
    store = database.open()
    noop = Entry(1, 3, EntryKind.NOOP, 0, b"")
    large = entry(2, 3, bytes(range(256)) * 4_000)
    mark = Mark(2, 3, 99, bytes(range(16)))
    store.write(StoreWrite(1, HardState(3, 2, 300 * MILLISECOND), None, (noop, large)))
    store.write(StoreWrite(2, changes=(put(LEASES, LEASE), put(STEPS, STEP)), mark=mark))
    incarnation = store.load().incarnation
    store.close()

    state = database.open().load()

    assert state.hard_state == HardState(3, 2, 300 * MILLISECOND)
    assert state.entries == (noop, large)
    assert state.mark == mark
    assert state.tables[LEASES] == [LEASE]
    assert state.tables[STEPS] == [STEP]
    assert state.incarnation == incarnation


def test_promise_is_never_remembered_as_shorter(database: Database) -> None:
    store = database.open()
    store.write(StoreWrite(1, HardState(1, 0, 300 * MILLISECOND + 1)))
    assert store.load().hard_state.promise_max_ns == 301 * MILLISECOND


def test_truncation_comes_before_the_entries_of_its_batch(database: Database) -> None:
    store = database.open()
    store.write(StoreWrite(1, entries=entries(1, 2, 3)))
    store.write(StoreWrite(2, truncate_from=2, entries=entries(2, term=2)))
    assert store.load().entries == (*entries(1), *entries(2, term=2))


def test_rows_are_replaced_and_deleted_by_their_key(database: Database) -> None:
    store = database.open()
    ended = (*LEASE[:-1], 0)
    store.write(StoreWrite(1, changes=(put(LEASES, LEASE), put(STEPS, STEP))))
    store.write(StoreWrite(2, changes=(put(LEASES, ended), delete(STEPS, ("r1", 1)))))
    tables = store.load().tables
    assert tables[LEASES] == [ended]
    assert tables[STEPS] == []


def test_keys_differ_by_case_and_accent(database: Database) -> None:
    store = database.open()
    names = ("Recovery", "recovery", "récovery")
    store.write(StoreWrite(1, changes=tuple(put(LEASES, (name, *LEASE[1:])) for name in names)))
    assert sorted(str(row[0]) for row in store.load().tables[LEASES]) == sorted(names)


def test_refused_write_leaves_nothing_behind(database: Database) -> None:
    store = database.open()
    store.write(StoreWrite(1, HardState(1, 1, 0), entries=entries(1)))
    with pytest.raises(StoreBroken):
        store.write(StoreWrite(2, HardState(2, 2, 0), entries=entries(2, 1)))
    state = store.load()
    assert state.hard_state == HardState(1, 1, 0)
    assert state.entries == entries(1)


def test_repeating_a_write_whose_commit_was_not_seen_changes_nothing(database: Database) -> None:
    store = database.open()
    store.write(StoreWrite(1, entries=entries(1)))
    write = StoreWrite(2, HardState(2, 2, 0), None, entries(2, 3), (put(LEASES, LEASE),), Mark(1, 1, 5))
    store.write(write)
    before = store.load()
    store.write(write, again=True)
    assert store.load() == before


def test_rows_are_the_state_of_the_machine(database: Database) -> None:
    store, machine = database.open(), Machine()
    commands: tuple[Command, ...] = (
        GrantLease("recovery", 1, "s1"),
        RegisterRecovery("r1", 1, "c1", "db1:3306", b"\x00", 0, (StepWrite(1, 1, 500, b"\xff"),)),
    )
    for index, command in enumerate(commands, start=1):
        applied = machine.apply(index, 1, 1_700_000_000_000, command)
        store.write(StoreWrite(index, None, None, entries(index), applied.changes, machine.mark))
    state = store.load()
    assert len(state.tables[RECOVERIES]) == 1
    restored = Machine(state.mark, state.tables)
    assert restored.journal.all() == machine.journal.all()
    assert restored.leases.live() == machine.leases.live()


def test_probe_leaves_the_state_alone(database: Database) -> None:
    store = database.open()
    before = store.load()
    store.probe()
    assert store.load() == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param("UPDATE raft_log SET data = x'00' WHERE log_index = 2", "entry 2 is damaged", id="data"),
        pytest.param("UPDATE raft_log SET term = 9 WHERE log_index = 2", "entry 2 is damaged", id="term"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 2", "entry 2 is missing", id="gap"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 3", "above the last log index", id="lost-tail"),
    ],
)
def test_damage_is_found_at_start(database: Database, damage: str, says: str) -> None:
    store = database.open()
    store.write(StoreWrite(1, entries=entries(1, 2, 3), mark=Mark(3, 1, 5)))
    store.close()
    database.execute(damage)
    with pytest.raises(StoreBroken, match=says):
        database.open().load()


def test_two_processes_never_share_a_store(database: Database) -> None:
    first = database.open()
    with pytest.raises(StoreRefused, match="another process"):
        database.open()
    first.close()
    database.open()


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(Identity("0a8b5b3e-0000-4000-8000-000000000001", 2), id="another-member"),
        pytest.param(Identity("0a8b5b3e-0000-4000-8000-000000000002", 1), id="another-group"),
    ],
)
def test_store_of_somebody_else_is_refused(database: Database, identity: Identity) -> None:
    database.open().close()
    with pytest.raises(StoreRefused, match="belongs to member 1"):
        database.open(identity)


def test_newer_schema_is_refused(database: Database) -> None:
    database.open().close()
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreRefused, match="does not know"):
        database.open()


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(StoreRefused, match="not supported"):
        Database("postgresql://localhost/x").open()
