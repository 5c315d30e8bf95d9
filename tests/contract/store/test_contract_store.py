"""What every store must do, whatever database it is on (14)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from services.consensus.ports import StoreBroken, StoreRefused
from services.consensus.raft.model import MILLISECOND, HardState, LogMark
from services.consensus.state.commands import Command, GrantLease, RegisterRecovery, StepWrite
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import LEASES, RECOVERIES, STEPS, delete, put
from services.consensus.store.birth import Identity
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import BOOTED, GROUP, IDENTITY, LEASE, STEP, Database, entries, entry, noop


def test_store_of_a_listed_member_begins_behind_the_configuration_of_the_settings(database: Database) -> None:
    _, state = database.load()
    assert (state.log_mark, state.entries) == (LogMark(1, 1), ())
    assert state.mark == Mark(1, 1, configuration=GROUP, configuration_index=1)
    assert state.hard_state == HardState(1)
    assert all(not rows for rows in state.tables.values())
    assert (state.group_id, state.quarantine) == (IDENTITY.group_id, "")


def test_everything_written_is_there_after_a_restart(database: Database) -> None:
    store, blank = database.load()
    log = (noop(2, 3), entry(3, 3, bytes(range(256)) * 4_000))
    mark = Mark(3, 3, 99, bytes(range(16)), GROUP, 1)
    store.write(StoreWrite(1, HardState(3, 2, 300 * MILLISECOND), None, log))
    store.write(StoreWrite(2, changes=(put(LEASES, LEASE), put(STEPS, STEP)), mark=mark))
    store.close()

    _, state = database.load()

    assert state.hard_state == HardState(3, 2, 300 * MILLISECOND)
    assert state.entries == log
    assert state.mark == mark
    assert state.tables[LEASES] == [LEASE]
    assert state.tables[STEPS] == [STEP]
    assert state.incarnation == blank.incarnation
    assert state.quarantine == ""


def test_promise_is_never_remembered_as_shorter(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(1, 0, 300 * MILLISECOND + 1)))
    assert store.load().hard_state.promise_max_ns == 301 * MILLISECOND


def test_truncation_comes_before_the_entries_of_its_batch(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(2), entries=entries(2, 3, 4)))
    store.write(StoreWrite(2, truncate_from=3, entries=entries(3, term=2)))
    assert store.load().entries == (*entries(2), *entries(3, term=2))


def test_rows_are_replaced_and_deleted_by_their_key(database: Database) -> None:
    store, _ = database.load()
    ended = (*LEASE[:-1], 0)
    store.write(StoreWrite(1, changes=(put(LEASES, LEASE), put(STEPS, STEP))))
    store.write(StoreWrite(2, changes=(put(LEASES, ended), delete(STEPS, ("r1", 1)))))
    tables = store.load().tables
    assert tables[LEASES] == [ended]
    assert tables[STEPS] == []


def test_of_changes_to_one_row_the_last_one_counts(database: Database) -> None:
    store, _ = database.load()
    other = ("other", *LEASE[1:])
    store.write(
        StoreWrite(
            1,
            changes=(
                put(LEASES, LEASE),
                delete(LEASES, ("recovery",)),
                put(LEASES, other),
                delete(LEASES, ("other",)),
                put(LEASES, other),
            ),
        )
    )
    assert store.load().tables[LEASES] == [other]


def test_keys_differ_by_case_and_accent(database: Database) -> None:
    store, _ = database.load()
    names = ("Recovery", "recovery", "récovery")
    store.write(StoreWrite(1, changes=tuple(put(LEASES, (name, *LEASE[1:])) for name in names)))
    assert sorted(str(row[0]) for row in store.load().tables[LEASES]) == sorted(names)


def test_refused_write_leaves_nothing_behind(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(1, 1), entries=entries(2)))
    with pytest.raises(StoreBroken):
        store.write(StoreWrite(2, HardState(2, 2), entries=entries(3, 2)))
    state = store.load()
    assert state.hard_state == HardState(1, 1)
    assert state.entries == entries(2)


def test_state_rows_never_go_back(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(2, 3), mark=structs.replace(BOOTED, applied_index=3)))
    with pytest.raises(StoreBroken, match="I16"):
        store.write(StoreWrite(2, mark=structs.replace(BOOTED, applied_index=2)))


def test_rows_are_the_state_of_the_machine(database: Database) -> None:
    store, state = database.load()
    machine = Machine(state.mark, state.tables)
    commands: tuple[Command, ...] = (
        GrantLease("recovery", 1, "s1"),
        RegisterRecovery("r1", 2, "c1", "db1:3306", b"\x00", 0, (StepWrite(1, 1, 500, b"\xff"),)),
    )
    for index, command in enumerate(commands, start=2):
        applied = machine.apply(index, 1, 1_700_000_000_000, command)
        store.write(StoreWrite(index, None, None, entries(index), applied.changes, machine.mark))
    state = store.load()
    assert len(state.tables[RECOVERIES]) == 1
    restored = Machine(state.mark, state.tables)
    assert restored.mark == machine.mark
    assert restored.journal.all() == machine.journal.all()
    assert restored.leases.live() == machine.leases.live()


def test_probe_leaves_the_state_alone(database: Database) -> None:
    store, before = database.load()
    store.probe()
    assert store.load() == before


def test_repeating_a_write_that_was_committed_changes_nothing(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(2)))
    write = StoreWrite(
        2, HardState(2, 2), None, entries(3, 4), (put(LEASES, LEASE),), structs.replace(BOOTED, applied_index=2)
    )
    store.write(write)
    before = store.load()
    store.write(write, again=True)
    assert store.load() == before


def test_two_processes_never_share_a_store(database: Database) -> None:
    first, _ = database.load()
    with pytest.raises(StoreRefused, match="another process"):
        database.open()
    first.close()
    database.open()


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(replace(IDENTITY, member_id=2), id="another-member"),
        pytest.param(replace(IDENTITY, group_name="theirs"), id="another-group"),
    ],
)
def test_store_of_somebody_else_is_refused(database: Database, identity: Identity) -> None:
    database.open().close()
    with pytest.raises(StoreRefused, match="belongs to member 1"):
        database.open(identity)


def test_list_of_members_in_the_settings_counts_only_once(database: Database) -> None:
    _, first = database.load()
    database.close()
    changed = replace(IDENTITY, group_id="0a8b5b3e-0000-4000-8000-000000000009")
    _, second = database.load(changed, bootstrap=GROUP.without(3, 0))
    assert second == first


def test_newer_schema_is_refused(database: Database) -> None:
    database.open().close()
    database.changed_schema = True
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreRefused, match="does not know"):
        database.open()


def test_store_that_lost_its_owner_is_not_taken_for_a_blank_one(database: Database) -> None:
    database.open().close()
    database.execute("DELETE FROM raft_member")
    with pytest.raises(StoreBroken, match="whose it is was lost"):
        database.open()
