"""Databases a member's store may be on: a SQLite file, a MySQL schema, a MariaDB schema."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from services.consensus.ports import StoredState
from services.consensus.raft.configuration import GroupMember, configuration_of
from services.consensus.raft.model import Entry, EntryKind
from services.consensus.state.machine import Mark
from services.consensus.state.rows import SHAPES, STEPS
from services.consensus.store import migrations
from services.consensus.store.birth import Identity
from services.consensus.store.store import SqlStore, StoreOptions, open_store
from services.consensus.store.tables import metadata
from services.shared.topology.server import Flavor
from tests.support.lab import Lab, LabInstance

IDENTITY: Final = Identity("0a8b5b3e-0000-4000-8000-000000000001", 1, "ours")
GROUP: Final = configuration_of(GroupMember(number, name=f"node{number}") for number in (1, 2, 3))
BOOTED: Final = Mark(1, 1, configuration=GROUP, configuration_index=1)
"""Mark of a blank store."""
LEASE: Final = ("recovery", 1, "s1", 7, 2, 1)
"""A row of `state_lease`."""
STEP: Final = ("r1", 1, *(2, 7, None, b"\x00\xff", 5, 6, 9, "db1:3306")[: len(SHAPES[STEPS].values)])
"""A row of `state_step`."""


def noop(index: int, term: int = 1) -> Entry:
    """Return the first entry of a term."""
    return Entry(index, term, EntryKind.NOOP, 0, b"")


def entry(index: int, term: int = 1, data: bytes = b"command") -> Entry:
    """Return an entry."""
    return Entry(index, term, EntryKind.COMMAND, 1_700_000_000_000, data)


def entries(*indexes: int, term: int = 1) -> tuple[Entry, ...]:
    """Return entries of one term."""
    return tuple(entry(index, term) for index in indexes)


@dataclass
class Database:
    """One empty database.

    Attributes:
        url: As in `store_url`.
        directory: Where files beside it go.
        server: The server it is on; None for SQLite.
        changed_schema: The next test must not get it.
    """

    url: str
    directory: Path
    server: LabInstance | None = None
    changed_schema: bool = False
    _open: list[SqlStore] = field(default_factory=list)

    @property
    def options(self) -> StoreOptions:
        """How it is opened unless a test says otherwise: as that of a listed member."""
        return StoreOptions(bootstrap=GROUP, allow_volatile=True, acknowledged_file=self.directory / "acknowledged")

    def open(self, identity: Identity = IDENTITY, **options: Any) -> SqlStore:
        """Open it as a member's store; it is closed with the test."""
        store = open_store(self.url, identity, replace(self.options, **options))
        self._open.append(store)
        return store

    def load(self, identity: Identity = IDENTITY, **options: Any) -> tuple[SqlStore, StoredState]:
        """Open it and load it, as a member does."""
        store = self.open(identity, **options)
        return store, store.load()

    def execute(self, *statements: str) -> None:
        """Run statements behind the store's back."""
        with self.engine().begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows as anybody sees them."""
        with self.engine().connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def engine(self) -> sa.Engine:
        """Connect as anybody may."""
        return sa.create_engine(self.url.replace("mysql://", "mysql+pymysql://"), poolclass=sa.NullPool)

    def copy(self) -> object:
        """Return all that a database holds now; no store is open."""
        if self.server is None:
            return self._file.read_bytes()
        with self.engine().connect() as connection:
            return {
                table: [row._asdict() for row in connection.execute(table.select())]
                for table in metadata.tables.values()
            }

    def restore(self, copied: Any) -> None:
        """Bring back what `copy` returned."""
        if self.server is None:
            self._file.write_bytes(copied)
            return
        self.wipe()
        with self.engine().begin() as connection:
            for table, rows in copied.items():
                if rows:
                    connection.execute(table.insert(), rows)

    def wipe(self) -> None:
        """Leave a database without a member: no file, or tables without rows."""
        if self.server is None:
            self._file.unlink()
            return
        with self.engine().begin() as connection:
            for table in metadata.tables.values():
                connection.execute(table.delete())

    def close(self) -> None:
        """Close what is open."""
        for store in self._open:
            store.close()

    @property
    def _file(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


@pytest.fixture(scope="session")
def servers() -> Iterator[_Servers]:
    """Real servers, started when the first test asks for one of a flavor."""
    started = _Servers()
    yield started
    started.close()


class _Servers(dict[Flavor, LabInstance]):
    def __init__(self) -> None:
        super().__init__()
        self.schemas: dict[Flavor, str] = {}
        """Of each flavor, one with tables; the tests take turns, for making the tables takes seconds."""
        self._runner = asyncio.Runner()
        self._lab = Lab()
        self._runner.run(self._lab.__aenter__())

    def __missing__(self, flavor: Flavor) -> LabInstance:
        self[flavor] = self._runner.run(self._lab.deploy("p", flavor=flavor))["p"]
        return self[flavor]

    def close(self) -> None:
        self._runner.run(self._lab.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(
    params=[
        pytest.param(None, id="sqlite"),
        pytest.param(Flavor.MYSQL, id="mysql", marks=pytest.mark.mysql),
        pytest.param(Flavor.MARIADB, id="mariadb", marks=pytest.mark.mariadb),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind that has its tables and nothing in them, so that most tests need no migration."""
    if request.param is None:
        yield request.getfixturevalue("sqlite")
        return
    servers: _Servers = request.getfixturevalue("servers")
    known = servers.schemas.pop(request.param, None)
    made = make_schema(servers[request.param], tmp_path, known)
    if known is not None:
        made.wipe()
    yield made
    made.close()
    if not made.changed_schema:
        servers.schemas[request.param] = made.url.rpartition("/")[2]


@pytest.fixture
def sqlite(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    """A SQLite file with tables and nothing in them."""
    shutil.copy(migrated, tmp_path / "consensus.db")
    made = Database(f"sqlite:///{tmp_path}/consensus.db", tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables."""
    path = tmp_path_factory.mktemp("migrated") / "consensus.db"
    with sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool).begin() as connection:
        migrations.upgrade(connection)
    return path


def make_schema(server: LabInstance, directory: Path, schema: str | None = None) -> Database:
    """Make an empty schema on a server, or take one that is there."""
    if schema is None:
        schema = f"store_{uuid.uuid4().hex}"
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {schema}")
    root = server.credentials.root
    return Database(
        f"mysql://{root.user}:{root.password}@{server.host}:{server.listen_port}/{schema}", directory, server
    )
