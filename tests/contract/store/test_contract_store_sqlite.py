"""What only a SQLite file can do to a member."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from services.consensus.ports import StoreBroken, StoreBusy, StoreFull, StoreRefused
from services.consensus.store import migrations, tables
from services.consensus.store.backend_sqlite import SqliteBackend
from services.consensus.store.file_system import file_system_of
from services.consensus.store.store import SqlStore, open_store
from services.consensus.store.wal import WriteAheadLog
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import IDENTITY, Database, entries, entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "consensus.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    """An empty database in `file`."""
    made = Database(f"sqlite:///{file}", file.parent)
    yield made
    made.close()


def pragma(store: SqlStore, name: str) -> Any:
    return store._database.raw.execute(f"PRAGMA {name}").fetchone()[0]


def test_commits_are_durable(sqlite: Database) -> None:
    store = sqlite.open()
    found = {name: pragma(store, name) for name in ("journal_mode", "synchronous", "page_size", "wal_autocheckpoint")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "page_size": 4096, "wal_autocheckpoint": 0}


def test_full_disk_loses_nothing_and_goes_on_when_there_is_space(sqlite: Database) -> None:
    store, _ = sqlite.load()
    store.write(StoreWrite(1, entries=entries(2)))
    pages = pragma(store, "page_count")
    pragma(store, f"max_page_count={pages}")
    with pytest.raises(StoreFull, match="full"):
        store.write(StoreWrite(2, entries=(entry(3, data=bytes(100_000)),)))
    assert store.load().entries == entries(2)
    pragma(store, f"max_page_count={pages + 1_000}")
    store.write(StoreWrite(2, entries=entries(3)))
    assert store.load().entries == entries(2, 3)


def test_lock_of_somebody_else_is_told_as_such(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked"):
            store.write(StoreWrite(1, entries=entries(2)))
    other.close()
    store.write(StoreWrite(1, entries=entries(2)))


def test_operator_can_look_while_a_member_runs(sqlite: Database, file: Path) -> None:
    sqlite.load()[0].write(StoreWrite(1, entries=entries(2)))
    reader = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert reader.execute("SELECT count(*) FROM raft_log").fetchone() == (1,)
    reader.close()


def test_file_that_is_no_database_is_refused(sqlite: Database, file: Path) -> None:
    file.write_bytes(b"not a database, whatever the name says" * 100)
    with pytest.raises(StoreBroken, match="not a database"):
        sqlite.open()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("sqlite://", "a file is needed", id="memory"),
        pytest.param("sqlite:////does/not/exist/consensus.db", "no directory", id="no-directory"),
        pytest.param("sqlite:////dev/shm/consensus.db", "does not keep data", id="volatile"),
    ],
)
def test_place_that_keeps_nothing_is_refused(url: str, says: str) -> None:
    with pytest.raises(StoreRefused, match=says):
        open_store(url, IDENTITY)


def test_volatile_place_is_accepted_when_told_so() -> None:
    assert file_system_of(Path("/dev/shm")) == "tmpfs"
    SqliteBackend(sa.make_url("sqlite:////dev/shm/consensus.db"), allow_volatile=True)


def grow(store: SqlStore, first: int, count: int) -> None:
    for index in range(first, first + count):
        store.write(StoreWrite(index, entries=(entry(index, data=bytes(1_000_000)),)))


def test_grown_write_ahead_log_is_moved_into_the_database_between_writes(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    wal = WriteAheadLog(file)
    grow(store, 2, 5)
    store.tidy(idle=False)
    assert wal.waiting > 5_000_000, "not worth the time yet"
    grow(store, 7, 15)
    store.tidy(idle=False)
    assert wal.waiting == 0
    assert wal.length > 16_000_000, "its space is used again"
    grow(store, 22, 1)
    assert 1_000_000 < wal.waiting < 1_100_000


def test_idle_member_moves_what_there_is(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    store.write(StoreWrite(1, entries=entries(2)))
    assert WriteAheadLog(file).waiting > 0
    store.tidy(idle=True)
    assert WriteAheadLog(file).waiting == 0


def test_huge_write_ahead_log_is_made_short(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    grow(store, 2, 75)
    assert WriteAheadLog(file).length > 64 * 1024 * 1024
    store.tidy(idle=False)
    assert WriteAheadLog(file).length == 0


def test_reader_of_an_operator_does_not_stop_the_member(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    reader = sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM raft_log").fetchone()
    grow(store, 2, 20)
    store.tidy(idle=True)
    store.write(StoreWrite(9, entries=entries(22)))
    reader.close()
    store.tidy(idle=True)
    assert WriteAheadLog(file).waiting == 0


def test_ballast_is_given_up_for_room_and_kept_again_when_there_is(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load(ballast=1 << 20, room=1)
    ballast = file.with_name(file.name + ".ballast")
    assert ballast.stat().st_size == 1 << 20
    store.relieve()
    assert not ballast.exists()
    assert store.has_room()
    store.tidy(idle=True)
    assert ballast.exists()


def test_no_room_is_told_and_no_ballast_taken_from_it(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load(ballast=1 << 20, room=1 << 60)
    assert not store.has_room()
    assert not file.with_name(file.name + ".ballast").exists()


def test_read_only_database_is_never_answered_from(sqlite: Database, file: Path) -> None:
    store, _ = sqlite.load()
    store._database.raw.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreBroken, match="readonly"):
        store.write(StoreWrite(1, entries=entries(2)))


def test_start_takes_less_than_a_second_of_work_for_a_hundred_thousand_entries(sqlite: Database) -> None:
    store, _ = sqlite.load()
    for first in range(2, 50_002, 5_000):
        store.write(
            StoreWrite(1, entries=tuple(entry(index, data=bytes(256)) for index in range(first, first + 5_000)))
        )
    store.close()
    began = time.process_time()
    _, state = sqlite.load()
    assert time.process_time() - began < 0.5
    assert (len(state.entries), state.quarantine) == (50_000, "")


def test_migrations_end_with_the_tables_the_store_uses(sqlite: Database, file: Path) -> None:
    sqlite.open().close()
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.NEWEST
    with sa.create_engine(sqlite.url, poolclass=sa.NullPool).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    assert differences == []
