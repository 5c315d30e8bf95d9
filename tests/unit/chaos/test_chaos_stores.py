"""What the comparison of stores finds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from services.consensus.ports import StoredState
from services.consensus.raft.model import Entry, EntryKind, HardState
from services.consensus.state.machine import Mark
from services.consensus.state.rows import LEASES, put
from services.consensus.store.birth import Identity
from services.consensus.store.store import StoreOptions, open_store
from services.consensus.store_write import StoreWrite
from tests.chaos.stores import compare_stores, read_mark, stand_together
from tests.support.raft import group_of

LEASE = ("recovery", 2, "7b9c2a52-0000-4000-8000-000000000001", 3, 1, 1)
CHANGES = tuple(put(LEASES, (f"lease {number}", *LEASE[1:])) for number in range(3))


def store(directory: Path, member_id: int, *, term: int = 4) -> Path:
    """Make the store of a member that has applied three entries."""
    directory.mkdir()
    database = directory / "consensus.db"
    options = StoreOptions(group_of(1, 2, 3), allow_volatile=True)
    opened = open_store(f"sqlite:///{database}", Identity("7b9c2a52-0000-4000-8000-000000000000", member_id), options)
    booted: StoredState = opened.load()
    entries = tuple(Entry(index, 1, EntryKind.COMMAND, index, b"{}") for index in (2, 3, 4))
    mark = Mark(4, 1, 4, bytes(range(16)), booted.mark.configuration, booted.mark.configuration_index)
    opened.write(StoreWrite(1, HardState(term, member_id), entries=entries))
    opened.write(StoreWrite(changes=CHANGES, mark=mark))
    opened.close()
    return database


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    """Stores of two members that are alike in all that must be, and in nothing else."""
    return {"node1": store(tmp_path / "1", 1), "node2": store(tmp_path / "2", 2, term=5)}


def test_stores_of_two_members_are_the_same(pair: dict[str, Path]) -> None:
    assert stand_together(pair.values())
    assert compare_stores(pair) == (3, [])
    assert read_mark(pair["node1"])[0] == 4


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE state_lease SET live = 0 WHERE name = 'lease 1'", "state_lease, 2 rows"),
        ("UPDATE state_lease SET name = CAST(name AS BLOB) WHERE name = 'lease 1'", "state_lease, 2 rows"),
        ("DELETE FROM state_lease WHERE name = 'lease 2'", "state_lease, 1 rows"),
        ("DROP TABLE state_tag", "state_tag"),
        ("ALTER TABLE state_tag ADD COLUMN more INTEGER", "state_tag"),
        ("UPDATE raft_mark SET state_digest = zeroblob(16)", "node1 and node2 stand at"),
        ("UPDATE raft_mark SET machine_time_ms = 5", "raft_mark is damaged"),
        ("UPDATE raft_log SET data = '[]' WHERE log_index = 3", "differ in 1 entries, first at 3"),
        ("UPDATE raft_vote SET voted_for = 3", "raft_vote is damaged"),
    ],
)
def test_difference_is_found(pair: dict[str, Path], statement: str, says: str) -> None:
    connection = sqlite3.connect(pair["node2"])
    with connection:
        connection.execute(statement)
    connection.close()
    _, differing = compare_stores(pair)
    assert any(says in text for text in differing), differing


def test_stores_that_stand_at_different_entries_do_not_stand_together(pair: dict[str, Path]) -> None:
    connection = sqlite3.connect(pair["node2"])
    with connection:
        connection.execute("UPDATE raft_mark SET applied_index = 3")
    connection.close()
    assert not stand_together(pair.values())
