"""A store that may not be trusted is shown, not repaired (S7, 14.6)."""

from __future__ import annotations

import pytest
from msgspec import structs

from services.consensus.ports import StoredState
from services.consensus.raft.model import HardState, LogMark
from services.consensus.state.rows import LEASES, put
from services.consensus.store.acknowledged_file import EVERY
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import BOOTED, LEASE, Database, entries

MARK = structs.replace(BOOTED, applied_index=3, time_ms=5)


def fill(database: Database) -> StoredState:
    """Write entries 2..6, applied up to 3, and close."""
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(4, 2, 0), None, entries(2, 3, 4, 5, 6), (put(LEASES, LEASE),), MARK))
    state = store.load()
    assert state.quarantine == ""
    store.close()
    return state


@pytest.mark.parametrize(
    ("damage", "says", "left"),
    [
        pytest.param("UPDATE raft_log SET data = x'00' WHERE log_index = 5", "entry 5 is damaged", 3, id="data"),
        pytest.param("UPDATE raft_log SET term = 9 WHERE log_index = 5", "entry 5 is damaged", 3, id="term"),
        pytest.param("UPDATE raft_log SET kind = 'noop' WHERE log_index = 5", "entry 5 is damaged", 3, id="kind"),
        pytest.param("UPDATE raft_log SET kind = 'x' WHERE log_index = 5", "entry 5 is damaged", 3, id="unknown-kind"),
        pytest.param("UPDATE raft_log SET stamp_ms = 1 WHERE log_index = 5", "entry 5 is damaged", 3, id="stamp"),
        pytest.param("UPDATE raft_log SET crc32c = 1 WHERE log_index = 5", "entry 5 is damaged", 3, id="checksum"),
        pytest.param("UPDATE raft_log SET log_index = 9 WHERE log_index = 6", "entry 6 is missing", 4, id="index"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 5", "entry 5 is missing", 3, id="gap"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 2", "entry 2 is missing", 0, id="first"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 6", "acknowledged: 6", 4, id="lost-tail"),
        pytest.param("DELETE FROM raft_log", "above the last log index", 0, id="lost-log"),
        pytest.param("UPDATE raft_vote SET voted_for = 3", "raft_vote is damaged", 5, id="vote"),
        pytest.param("UPDATE raft_vote SET current_term = 3", "raft_vote is damaged", 5, id="current-term"),
        pytest.param("UPDATE raft_vote SET promise_max_ms = 1", "raft_vote is damaged", 5, id="promise"),
        pytest.param("DELETE FROM raft_vote", "raft_vote has 0 rows", 5, id="no-vote"),
        pytest.param("UPDATE raft_mark SET applied_index = 2", "raft_mark is damaged", 5, id="applied"),
        pytest.param("UPDATE raft_mark SET log_index = 2", "raft_mark is damaged", 4, id="log-mark"),
        pytest.param("UPDATE raft_mark SET state_digest = x'00'", "no digest is recorded", 0, id="digest"),
        pytest.param("UPDATE raft_mark SET configuration = '{}'", "raft_mark is damaged", 5, id="configuration"),
        pytest.param("DELETE FROM raft_mark", "raft_mark has 0 rows", 0, id="no-mark"),
        pytest.param("UPDATE raft_member SET group_id = 'x'", "raft_member is damaged", 5, id="group"),
        pytest.param("UPDATE raft_member SET incarnation = 'x'", "raft_member is damaged", 5, id="incarnation"),
    ],
)
def test_damage_is_found_at_start_and_left_as_it_is(sqlite: Database, damage: str, says: str, left: int) -> None:
    look(sqlite, damage, says, left)


@pytest.mark.parametrize(
    ("damage", "says", "left"),
    [
        pytest.param("UPDATE raft_log SET data = x'00' WHERE log_index = 5", "entry 5 is damaged", 3, id="data"),
        pytest.param("DELETE FROM raft_log WHERE log_index = 5", "entry 5 is missing", 3, id="gap"),
        pytest.param("UPDATE raft_vote SET voted_for = 3", "raft_vote is damaged", 5, id="vote"),
        pytest.param("DELETE FROM raft_mark", "raft_mark has 0 rows", 0, id="mark"),
    ],
)
def test_damage_is_found_in_every_database(database: Database, damage: str, says: str, left: int) -> None:
    look(database, damage, says, left)


def look(database: Database, damage: str, says: str, left: int) -> None:
    """Damage a store, and see that it is found and nothing done about it."""
    fill(database)
    database.execute(damage)
    before = contents(database)

    store, state = database.load()

    assert says in state.quarantine
    assert len(state.entries) == left
    store.write(StoreWrite(1, HardState(9), truncate_from=2, entries=entries(2, term=9)))
    store.write(StoreWrite(compact_to=LogMark(3, 1)))
    store.probe()
    assert not store.tidy(idle=True)
    store.close()
    assert contents(database) == before
    assert database.load()[1].quarantine == state.quarantine


def contents(database: Database) -> list[list[tuple[object, ...]]]:
    return [database.query(f"SELECT * FROM {table}") for table in ("raft_member", "raft_vote", "raft_log", "raft_mark")]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("DELETE FROM raft_log WHERE log_index = 2", id="gap-below-the-applied-index"),
        pytest.param("DELETE FROM raft_log", id="everything"),
    ],
)
def test_what_is_returned_of_a_damaged_store_goes_together(database: Database, damage: str) -> None:
    fill(database)
    database.execute(damage)
    _, state = database.load()
    assert state.quarantine
    assert state.log_mark == LogMark(3, 1), "all there is of the first entries are the rows they made"
    assert (state.entries, state.mark, state.tables[LEASES]) == ((), MARK, [LEASE])


def test_older_copy_of_the_database_is_found(database: Database) -> None:
    fill(database)
    old = database.copy()
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(*range(7, 7 + EVERY))))
    store.close()
    database.restore(old)
    _, state = database.load()
    assert state.quarantine == f"the store forgot entries that were acknowledged: 7 to at least {6 + EVERY}"
    assert len(state.entries) == 5


def test_copy_that_forgot_a_vote_is_found(database: Database) -> None:
    fill(database)
    old = database.copy()
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(5, 3)))
    store.close()
    database.restore(old)
    assert database.load()[1].quarantine == "the store forgot term 5, it is at 4"


def test_blank_database_in_the_place_of_a_known_one_is_found(database: Database) -> None:
    first = fill(database)
    database.wipe()
    store, state = database.load()
    assert state.quarantine.endswith(f"and it was {first.incarnation}")
    assert state.incarnation != first.incarnation
    store.close()
    assert database.load()[1].quarantine == state.quarantine, "it does not pass"


def test_truncation_is_no_loss(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, HardState(1), entries=entries(*range(2, 2 + EVERY))))
    store.write(StoreWrite(2, HardState(2), truncate_from=5, entries=entries(5, term=2)))
    store.close()
    assert database.load()[1].quarantine == ""


def test_clone_for_another_member_is_refused_and_says_whose_it_is(database: Database) -> None:
    fill(database)
    database.execute("UPDATE raft_member SET member_id = 3")
    with pytest.raises(Exception, match="belongs to member 3"):
        database.open()


def test_reason_found_at_run_time_outlives_the_process(database: Database) -> None:
    store, _ = database.load()
    store.write(StoreWrite(1, entries=entries(2)))
    store.write(StoreWrite(quarantine="the state differs from the leader's at 256" + "." * 1_000))
    store.write(StoreWrite(quarantine="later"))
    store.close()
    _, state = database.load()
    assert state.quarantine.startswith("the state differs from the leader's at 256")
    assert state.entries == entries(2)
