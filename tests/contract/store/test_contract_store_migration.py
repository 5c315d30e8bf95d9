"""A store of an earlier version keeps what it holds (S7)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from services.consensus.raft.model import START, Entry, HardState
from services.consensus.state.machine import Mark
from services.consensus.store import migrations
from services.consensus.store_write import StoreWrite
from services.shared.topology.server import Flavor
from tests.contract.store.conftest import GROUP, IDENTITY, Database, entries, make_schema

HALF_DONE = (
    "ALTER TABLE raft_log RENAME COLUMN crc32 TO crc32c",
    "ALTER TABLE raft_vote ADD COLUMN crc32c BIGINT NOT NULL DEFAULT 0",
)


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.mysql)])
def first(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database as the first version made it, with entries 1..3, applied up to 2."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path}/consensus.db", tmp_path)
    else:
        made = make_schema(request.getfixturevalue("servers")[Flavor.MYSQL], tmp_path)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with made.engine().begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        values = {"group": IDENTITY.group_id, "zero": bytes(16)}
        connection.execute(sa.text("INSERT INTO raft_member VALUES (1, :group, 1, 'i', 5, 0)"), values)
        connection.execute(sa.text("INSERT INTO raft_vote VALUES (1, 4, 2, 300)"))
        connection.execute(sa.text("INSERT INTO raft_mark VALUES (1, 2, 1, 9, :zero)"), values)
        for entry in entries(1, 2, 3):
            connection.execute(
                sa.text("INSERT INTO raft_log VALUES (:index, :term, :kind, :stamp, :crc, :data)"), _row(entry)
            )
    yield made
    made.close()


def _row(entry: Entry) -> dict[str, object]:
    head = f"{entry.index},{entry.term},{entry.kind.value},{entry.stamp_ms},".encode("ascii")
    return {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.value,
        "stamp": entry.stamp_ms,
        "crc": zlib.crc32(entry.data, zlib.crc32(head)),
        "data": entry.data,
    }


@pytest.mark.parametrize("before", [(), HALF_DONE], ids=["at-once", "cut-off-between-two-tables"])
def test_store_of_the_first_version_goes_on(first: Database, before: tuple[str, ...]) -> None:
    first.execute(*before)
    store, state = first.load()
    assert state.quarantine == ""
    assert (state.entries, state.log_mark) == (entries(1, 2, 3), START)
    assert state.hard_state == HardState(4, 2, 300_000_000)
    assert state.mark == Mark(2, 1, 9, bytes(16), GROUP, 0), "the settings said then who is in the group"
    assert (state.incarnation, state.group_id) == ("i", IDENTITY.group_id)
    store.write(StoreWrite(1, entries=entries(4)))
    store.close()
    _, again = first.load(bootstrap=GROUP.without(2, 0))
    assert (again.quarantine, again.entries) == ("", entries(1, 2, 3, 4))
    assert again.mark.configuration == GROUP, "asked once"


def test_damage_from_before_is_not_made_to_look_well(first: Database) -> None:
    first.execute("UPDATE raft_log SET data = x'00' WHERE log_index = 2")
    assert "entry 2 is damaged" in first.load()[1].quarantine
