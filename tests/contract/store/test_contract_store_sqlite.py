"""What only a SQLite file can do to a member."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from services.consensus import migrations, tables
from services.consensus.backend_sqlite import SqliteBackend, file_system_of
from services.consensus.ports import StoreBroken, StoreBusy, StoreFull, StoreRefused
from services.consensus.store import open_store
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import IDENTITY, Database
from tests.contract.store.test_contract_store import entries, entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "consensus.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    """An empty database in `file`."""
    made = Database(f"sqlite:///{file}")
    yield made
    made.close()


def test_commits_are_durable(sqlite: Database) -> None:
    raw = sqlite.open()._raw
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA synchronous").fetchone() == (2,)


def test_full_disk_loses_nothing_and_goes_on_when_there_is_space(sqlite: Database) -> None:
    store = sqlite.open()
    store.write(StoreWrite(1, entries=entries(1)))
    pages = store._raw.execute("PRAGMA page_count").fetchone()[0]
    store._raw.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreFull, match="full"):
        store.write(StoreWrite(2, entries=(entry(2, data=bytes(100_000)),)))
    assert store.load().entries == entries(1)
    store._raw.execute(f"PRAGMA max_page_count={pages + 1_000}")
    store.write(StoreWrite(2, entries=entries(2)))
    assert store.load().entries == entries(1, 2)


def test_lock_of_somebody_else_is_told_as_such(sqlite: Database, file: Path) -> None:
    store = sqlite.open()
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="locked"):
            store.write(StoreWrite(1, entries=entries(1)))
    other.close()
    store.write(StoreWrite(1, entries=entries(1)))


def test_operator_can_look_while_a_member_runs(sqlite: Database, file: Path) -> None:
    sqlite.open().write(StoreWrite(1, entries=entries(1)))
    reader = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert reader.execute("SELECT count(*) FROM raft_log").fetchone() == (1,)
    reader.close()


def test_damaged_file_is_refused(sqlite: Database, file: Path) -> None:
    store = sqlite.open()
    store.write(StoreWrite(1, entries=tuple(entry(index, data=bytes(3_000)) for index in range(1, 50))))
    store.close()
    content = bytearray(file.read_bytes())
    content[20_000:60_000] = b"\xaa" * 40_000
    file.write_bytes(content)
    with pytest.raises(StoreBroken):
        sqlite.open().load()


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


def test_grown_write_ahead_log_is_moved_into_the_database(sqlite: Database, file: Path) -> None:
    store = sqlite.open()
    for index in range(1, 80):
        store.write(StoreWrite(index, entries=(entry(index, data=bytes(1_000_000)),)))
    wal = file.with_name(file.name + "-wal")
    assert wal.stat().st_size > 64 * 1024 * 1024
    store.tidy()
    assert wal.stat().st_size == 0


def test_migrations_end_with_the_tables_the_store_uses(sqlite: Database, file: Path) -> None:
    sqlite.open().close()
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.NEWEST
    with sa.create_engine(sqlite.url, poolclass=sa.NullPool).connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    assert differences == []
