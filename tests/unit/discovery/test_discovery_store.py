from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import services.discovery
from services.discovery.model import Remembered
from services.discovery.store import SCHEMA_VERSION, SqlStore, StoreBroken, StoreWriter
from services.shared.topology.instance import Instance
from tests.support.eventually import eventually
from tests.unit.discovery.fleets import instance, key

SOON = timedelta(milliseconds=20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "discovery.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.open(f"sqlite:///{path}")
    yield opened
    opened.close()


def reopened(path: Path) -> Remembered:
    store = SqlStore.open(f"sqlite:///{path}")
    try:
        return store.load()
    finally:
        store.close()


def test_new_store_is_empty_and_keeps_what_is_written(store: SqlStore, path: Path) -> None:
    assert store.load() == Remembered()
    a, b = instance("a"), instance("b", "a")
    store.write({a.key: a, b.key: b}, {"cluster": "a:3306"})
    store.write({a.key: None, b.key: instance("b")}, {"cluster": "other"})
    assert reopened(path) == Remembered((instance("b"),), {"cluster": "other"})


def test_schema_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(services.discovery.__path__[0]) / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_VERSION]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("sqlite:////no/such/directory/x.db", id="no_directory"),
        pytest.param("mysql+pymysql://user:se-cret@127.0.0.1:1/x", id="no_server"),
        pytest.param("nonsense", id="no_url"),
    ],
)
def test_store_that_cannot_be_opened_says_where_and_keeps_the_password(url: str) -> None:
    with pytest.raises(StoreBroken) as caught:
        SqlStore.open(url)
    assert str(caught.value).startswith("store ")
    assert "se-cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_store_is_refused(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreBroken):
        SqlStore.open(f"sqlite:///{path}")


def test_damaged_state_is_refused(store: SqlStore, path: Path) -> None:
    a = instance("a")
    store.write({a.key: a}, {})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE discovery_instance SET state = x'ff'")
        connection.commit()
    with pytest.raises(StoreBroken):
        store.load()


class Health:
    def __init__(self) -> None:
        self.states: list[bool] = []

    def __call__(self, healthy: bool) -> None:
        self.states.append(healthy)


def saved(path: Path) -> dict[str, Instance]:
    return {one.key.host: one for one in reopened(path).instances}


async def test_writer_writes_urgent_states_at_once_and_others_in_time(store: SqlStore, path: Path) -> None:
    writer = StoreWriter(store, timedelta(seconds=60), Health())
    writer.start()
    try:
        writer.save([instance("a")], urgent=False)
        assert saved(path) == {}
        writer.save([instance("b")], urgent=True)
        await eventually(lambda: set(saved(path)) == {"a", "b"}, within=5)
        writer.remove([key("a")])
        await eventually(lambda: set(saved(path)) == {"b"}, within=5)
    finally:
        writer.close()


async def test_writer_writes_the_rest_when_it_closes(store: SqlStore, path: Path) -> None:
    writer = StoreWriter(store, timedelta(seconds=60), Health())
    writer.start()
    writer.save([instance("a")], urgent=False)
    writer.save_alias("cluster", "a:3306")
    writer.close()
    assert reopened(path).aliases == {"cluster": "a:3306"}
    assert set(saved(path)) == {"a"}


async def test_writer_survives_a_locked_store_and_writes_later(store: SqlStore, path: Path) -> None:
    health = Health()
    writer = StoreWriter(store, SOON, health)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        writer.start()
        writer.save([instance("a")], urgent=True)
        await eventually(lambda: not writer.healthy, within=10)
        writer.save([instance("a", "p"), instance("b")], urgent=True)  # Never waits.
        other.rollback()
    try:
        await eventually(lambda: writer.healthy, within=10)
        assert saved(path) == {"a": instance("a", "p"), "b": instance("b")}
        assert health.states == [False, True]
    finally:
        writer.close()
