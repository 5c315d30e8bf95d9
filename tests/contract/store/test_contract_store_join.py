"""A member that joins a group: blank, without a group until it is told which (18.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.consensus.ports import StoreRefused
from services.consensus.raft.configuration import NO_MEMBERS
from services.consensus.raft.model import START, HardState
from services.consensus.state.machine import Mark
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import GROUP, IDENTITY, Database

JOINS = replace(IDENTITY, group_id="")


def test_store_of_a_member_that_joins_knows_nobody(database: Database) -> None:
    _, state = database.load(JOINS, bootstrap=NO_MEMBERS)
    assert (state.log_mark, state.mark, state.hard_state) == (START, Mark(), HardState())
    assert (state.group_id, state.quarantine) == ("", "")


def test_group_is_adopted_once(database: Database) -> None:
    store, _ = database.load(JOINS, bootstrap=NO_MEMBERS)
    store.write(StoreWrite(group_id="one"))
    store.write(StoreWrite(group_id="two"))
    store.close()
    _, state = database.load(JOINS, bootstrap=NO_MEMBERS)
    assert (state.group_id, state.quarantine) == ("one", "")
    assert state.mark == Mark()


def test_store_that_joins_never_begins_a_group(database: Database) -> None:
    database.open(JOINS, bootstrap=NO_MEMBERS).close()
    with pytest.raises(StoreRefused, match="made to join"):
        database.open(IDENTITY, bootstrap=GROUP)


def test_member_that_has_joined_may_be_listed_later(database: Database) -> None:
    store, _ = database.load(JOINS, bootstrap=NO_MEMBERS)
    store.write(StoreWrite(group_id="one"))
    store.close()
    _, state = database.load(IDENTITY, bootstrap=GROUP)
    assert (state.group_id, state.mark.configuration) == ("one", NO_MEMBERS)
