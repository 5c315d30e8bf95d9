"""What only a server can do to a member's store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.consensus.model import HardState
from services.consensus.ports import StoreLost, StoreRefused
from services.consensus.store_write import StoreWrite
from services.shared.topology.instance import Flavor
from tests.contract.store.conftest import Database, make_schema
from tests.contract.store.test_contract_store import entries
from tests.support.lab import LabInstance

pytestmark = pytest.mark.mysql


@pytest.fixture
def schema(servers: dict[Flavor, LabInstance]) -> Iterator[Database]:
    """An empty schema on MySQL."""
    made = make_schema(servers[Flavor.MYSQL])
    yield made
    made.close()


@pytest.mark.parametrize("name", ["innodb_flush_log_at_trx_commit", "sync_binlog"])
def test_server_that_may_forget_commits_is_refused(schema: Database, name: str) -> None:
    schema.execute(f"SET GLOBAL {name} = 0")
    try:
        with pytest.raises(StoreRefused, match="not durable"):
            schema.open()
    finally:
        schema.execute(f"SET GLOBAL {name} = 1")


def test_killed_connection_is_replaced_and_the_write_repeated(schema: Database) -> None:
    store = schema.open()
    store.write(StoreWrite(1, entries=entries(1)))
    write = StoreWrite(2, HardState(2, 1, 0), entries=entries(2))
    schema.execute(f"KILL {store._raw.thread_id()}")
    with pytest.raises(StoreLost):
        store.write(write)
    store.reconnect()
    store.write(write, again=True)
    state = store.load()
    assert state.entries == entries(1, 2)
    assert state.hard_state == HardState(2, 1, 0)


def test_error_shows_no_password(schema: Database) -> None:
    password = schema.url.split(":")[2].split("@")[0]
    with pytest.raises(StoreLost) as refused:
        Database(schema.url.replace(str(_port(schema)), "1")).open()
    assert password not in str(refused.value)


def _port(schema: Database) -> int:
    assert schema.server is not None
    return schema.server.listen_port
