"""What only a server can do to a member's store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.consensus.ports import StoreBroken, StoreLost, StoreRefused
from services.consensus.raft.model import HardState
from services.consensus.state.rows import LEASES, put
from services.consensus.store.store import SqlStore
from services.consensus.store_write import StoreWrite
from services.shared.topology.server import Flavor
from tests.contract.store.commit_cutter import CommitCutter, Cut
from tests.contract.store.conftest import LEASE, Database, entries, make_schema
from tests.support.eventually import eventually
from tests.support.lab import LabInstance

pytestmark = pytest.mark.mysql


@pytest.fixture
def schema(servers: dict[Flavor, LabInstance], tmp_path: Path) -> Iterator[Database]:
    """An empty schema on MySQL."""
    made = make_schema(servers[Flavor.MYSQL], tmp_path)
    yield made
    made.close()


@pytest.fixture
def plain(schema: Database) -> Iterator[Database]:
    """The same for an account that may use its schema and nothing else."""
    root, name = schema.url.split("/")[2].split("@")[0], schema.url.rpartition("/")[2]
    user = name[-20:]
    schema.execute(f"CREATE USER '{user}' IDENTIFIED BY 'secret'", f"GRANT ALL ON {name}.* TO '{user}'")
    made = Database(schema.url.replace(root, f"{user}:secret"), schema.directory, schema.server)
    yield made
    made.close()


@pytest.fixture
def cutter(schema: Database) -> Iterator[CommitCutter]:
    """A relay to the server."""
    assert schema.server is not None
    with CommitCutter(schema.server.host, schema.server.listen_port) as relay:
        yield relay


def through(schema: Database, cutter: CommitCutter) -> Database:
    """Return the schema as seen through the relay, which has to read what is said."""
    assert schema.server is not None
    url = schema.url.replace(f"{schema.server.host}:{schema.server.listen_port}", f"127.0.0.1:{cutter.port}")
    return Database(f"{url}?ssl_disabled=true", schema.directory, schema.server)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SET GLOBAL innodb_flush_log_at_trx_commit = {value}", id="log-is-not-flushed"),
        pytest.param("SET GLOBAL sync_binlog = {value}", id="binlog-is-not-synced"),
    ],
)
def test_server_that_may_forget_commits_is_refused(schema: Database, plain: Database, statement: str) -> None:
    schema.execute(statement.format(value=0))
    try:
        with pytest.raises(StoreRefused, match="not durable"):
            plain.open()
    finally:
        schema.execute(statement.format(value=1))


def test_binlog_does_not_matter_to_who_may_leave_it_out(schema: Database) -> None:
    schema.execute("SET GLOBAL sync_binlog = 0")
    try:
        schema.load()
    finally:
        schema.execute("SET GLOBAL sync_binlog = 1")


def test_server_that_takes_no_writes_is_refused(schema: Database) -> None:
    schema.execute("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(StoreRefused, match="read-only"):
            schema.open()
    finally:
        schema.execute("SET GLOBAL read_only = 0")


def test_table_in_another_engine_is_refused(schema: Database) -> None:
    schema.load()[0].close()
    schema.execute("ALTER TABLE raft_vote ENGINE = MyISAM")
    with pytest.raises(StoreRefused, match="not in InnoDB: raft_vote"):
        schema.load()


def test_server_is_named_so_that_it_can_be_told_from_those_the_suite_manages(schema: Database) -> None:
    (row,) = schema.query("SELECT @@server_uuid")
    assert schema.load()[1].server_uuid == row[0]


WRITE = StoreWrite(2, HardState(2, 1), entries=entries(3, 4), changes=(put(LEASES, LEASE),))


def lose(store: SqlStore, cutter: CommitCutter, cut: Cut, write: StoreWrite = WRITE) -> None:
    store.write(StoreWrite(1, entries=entries(2)))
    cutter.cut_next_commit(cut)
    with pytest.raises(StoreLost):
        store.write(write)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_write_whose_commit_got_lost_happens_once(schema: Database, cutter: CommitCutter, cut: Cut) -> None:
    store, _ = through(schema, cutter).load()
    lose(store, cutter, cut)
    assert len(schema.query("SELECT * FROM raft_log")) == (1 if cut is Cut.BEFORE else 3)
    store.reconnect()
    store.write(WRITE, again=True)
    state = store.load()
    assert state.entries == entries(2, 3, 4)
    assert (state.hard_state, state.tables[LEASES]) == (HardState(2, 1), [LEASE])
    store.close()


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param("DELETE FROM raft_log WHERE log_index = 4", id="log"),
        pytest.param("UPDATE raft_vote SET voted_for = 2", id="vote"),
        pytest.param("DELETE FROM raft_mark", id="mark"),
    ],
)
def test_store_that_is_neither_before_nor_after_the_commit_is_given_up(
    schema: Database, cutter: CommitCutter, meddle: str
) -> None:
    store, _ = through(schema, cutter).load()
    lose(store, cutter, Cut.AFTER)
    schema.execute(meddle)
    store.reconnect()
    with pytest.raises(StoreBroken):
        store.write(WRITE, again=True)
    store.close()


async def test_former_connection_is_ended_before_anything_is_read(schema: Database, cutter: CommitCutter) -> None:
    store, _ = through(schema, cutter).load()
    lose(store, cutter, Cut.HALF)
    with pytest.raises(StoreLost, match="former connection"):
        store.reconnect()

    async def connected() -> bool:
        store.reconnect()
        return True

    await eventually(connected, within=10, retry_on=StoreLost)
    store.write(WRITE, again=True)
    assert store.load().entries == entries(2, 3, 4)
    store.close()


def test_killed_connection_is_replaced_and_the_write_repeated(schema: Database) -> None:
    store, _ = schema.load()
    schema.execute(f"KILL {store._database.raw.thread_id()}")
    with pytest.raises(StoreLost):
        store.write(StoreWrite(1, entries=entries(2)))
    store.reconnect()
    store.write(StoreWrite(1, entries=entries(2)), again=True)
    assert store.load().entries == entries(2)


def test_error_shows_no_password(schema: Database) -> None:
    password = schema.url.split(":")[2].split("@")[0]
    with pytest.raises(StoreLost) as refused:
        Database(schema.url.replace(str(_port(schema)), "1"), schema.directory).open()
    assert password not in str(refused.value)


def _port(schema: Database) -> int:
    assert schema.server is not None
    return schema.server.listen_port
