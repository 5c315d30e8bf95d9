"""Databases a member's store may be on: a SQLite file, a MySQL schema, a MariaDB schema."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from services.consensus.store import Identity, SqlStore, open_store
from services.shared.topology.instance import Flavor
from tests.support.lab import Lab, LabInstance

IDENTITY: Final = Identity("0a8b5b3e-0000-4000-8000-000000000001", 1)


@dataclass
class Database:
    """One empty database.

    Attributes:
        url: As in `store_url`.
        server: The server it is on; None for SQLite.
    """

    url: str
    server: LabInstance | None = None
    _open: list[SqlStore] = field(default_factory=list)

    def open(self, identity: Identity = IDENTITY) -> SqlStore:
        """Open it as a member's store; it is closed with the test."""
        store = open_store(self.url, identity, allow_volatile=True)
        self._open.append(store)
        return store

    def execute(self, *statements: str) -> None:
        """Run statements behind the store's back."""
        engine = sa.create_engine(self.url.replace("mysql://", "mysql+pymysql://"), poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def close(self) -> None:
        """Close what is open."""
        for store in self._open:
            store.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[Flavor, LabInstance]]:
    """Real servers, started when the first test asks for one of a flavor."""
    started = _Servers()
    yield started
    started.close()


class _Servers(dict[Flavor, LabInstance]):
    def __init__(self) -> None:
        super().__init__()
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
    """An empty database of each kind."""
    if request.param is None:
        made = Database(f"sqlite:///{tmp_path}/consensus.db")
    else:
        made = make_schema(request.getfixturevalue("servers")[request.param])
    yield made
    made.close()


def make_schema(server: LabInstance) -> Database:
    """Make an empty schema on a server."""
    schema = f"store_{uuid.uuid4().hex}"
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {schema}")
    root = server.credentials.root
    return Database(f"mysql://{root.user}:{root.password}@{server.host}:{server.listen_port}/{schema}", server)
