"""A blank store in the place of one that may not be trusted (14.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.consensus.ports import StoreRefused
from services.consensus.raft.configuration import NO_MEMBERS
from services.consensus.raft.model import START, HardState
from services.consensus.state.machine import Mark
from services.consensus.state.rows import LEASES, put
from services.consensus.store.birth import Identity
from services.consensus.store.renewal import Renewal, renew_store
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import BOOTED, IDENTITY, LEASE, Database, entries

NEW_ID = 77


def lose(database: Database) -> Renewal:
    """Fill a store and damage it; return what is to follow."""
    store, state = database.load()
    store.write(StoreWrite(1, HardState(4, 2, 0), None, entries(2, 3, 4), (put(LEASES, LEASE),), BOOTED))
    store.close()
    database.execute("UPDATE raft_vote SET voted_for = 3")
    store, damaged = database.load()
    store.close()
    assert "raft_vote is damaged" in damaged.quarantine
    return Renewal(damaged.member_id, state.incarnation, NEW_ID, damaged.quarantine)


def renew(database: Database, renewal: Renewal) -> Path | None:
    return renew_store(database.url, IDENTITY, replace(database.options, timeout_s=5), renewal)


def test_renewed_store_is_blank_under_its_new_id_and_belongs_to_the_same_settings(database: Database) -> None:
    renewal = lose(database)
    renew(database, renewal)

    store, state = database.load()
    assert state.quarantine == ""
    assert (state.member_id, state.listed_id, state.group_id) == (NEW_ID, IDENTITY.member_id, IDENTITY.group_id)
    assert state.incarnation != renewal.former_incarnation
    assert (state.entries, state.log_mark, state.hard_state) == ((), START, HardState())
    assert state.mark == Mark(), "it is in no group: the list in the settings counted once"
    assert [table for table, rows in state.tables.items() if rows] == []
    (record,) = state.audit
    assert record.action == "rejoin"
    told = json.loads(record.detail)
    assert (told["former_member_id"], told["member_id"], told["why"]) == (IDENTITY.member_id, NEW_ID, renewal.why)

    store.write(StoreWrite(1, HardState(5), None, entries(1, 2, term=5)))
    store.close()
    again, state = database.load()
    assert (state.quarantine, len(state.entries), state.member_id) == ("", 2, NEW_ID)
    again.close()


def test_store_can_be_renewed_more_than_once(database: Database) -> None:
    renew(database, lose(database))
    store, state = database.load()
    store.close()
    renew(database, Renewal(state.member_id, state.incarnation, 78, "again"))
    _, state = database.load()
    assert (state.quarantine, state.member_id, state.listed_id) == ("", 78, IDENTITY.member_id)


def test_checksum_covers_whose_place_a_store_takes(database: Database) -> None:
    renew(database, lose(database))
    database.execute(f"UPDATE raft_member SET listed_id = {IDENTITY.member_id}, member_id = 79")
    assert "raft_member is damaged" in database.load()[1].quarantine


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(Identity(IDENTITY.group_id, 2, "ours"), id="another-member"),
        pytest.param(Identity(IDENTITY.group_id, 1, "theirs"), id="another-group"),
    ],
)
def test_renewed_store_is_refused_to_others(sqlite: Database, identity: Identity) -> None:
    renew(sqlite, lose(sqlite))
    with pytest.raises(StoreRefused, match="belongs to member 77"):
        sqlite.open(identity)


def test_old_database_is_kept_as_it_was(sqlite: Database) -> None:
    renewal = lose(sqlite)
    kept = renew(sqlite, renewal)
    assert kept is not None
    assert renewal.former_incarnation in kept.name
    old = Database(f"sqlite:///{kept}", sqlite.directory / "elsewhere")
    old.directory.mkdir()
    _, state = old.load()
    assert "raft_vote is damaged" in state.quarantine
    assert [entry.index for entry in state.entries] == [2, 3, 4]
    old.close()


def test_damaged_file_of_what_was_acknowledged_does_not_spoil_the_new_store(sqlite: Database) -> None:
    renewal = lose(sqlite)
    (sqlite.directory / "acknowledged").write_bytes(b"x")
    renew(sqlite, renewal)
    assert sqlite.load()[1].quarantine == ""


def test_store_that_a_process_has_is_not_renewed(sqlite: Database) -> None:
    renewal = lose(sqlite)
    _, before = sqlite.load()
    with pytest.raises(StoreRefused, match="another process"):
        renew(sqlite, renewal)
    sqlite.close()
    assert sqlite.load()[1].incarnation == before.incarnation


def test_power_cut_after_the_old_database_went_leaves_a_member_that_is_quarantined_again(sqlite: Database) -> None:
    lose(sqlite)
    for file in sqlite.directory.glob("consensus.db*"):
        file.unlink()
    _, state = sqlite.load()
    assert "the store is another one" in state.quarantine
    assert state.mark.configuration != NO_MEMBERS, "it still knows whom to ask"
