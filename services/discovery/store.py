"""What survives a restart: last known instances and labels of clusters, by SQLAlchemy Core.

One thread writes, from a queue that holds at most one state per instance, so a slow or broken store costs no probe and
no memory. A write that fails is kept and tried again; meanwhile `healthy` is false.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from google.protobuf.message import DecodeError
from sqlalchemy.exc import SQLAlchemyError

from services.discovery.convert import instance_from_bytes, instance_to_bytes
from services.discovery.model import Remembered
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

log = logging.getLogger(__name__)

METADATA: Final = sa.MetaData()
INSTANCES: Final = sa.Table(
    "discovery_instance",
    METADATA,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("server_uuid", sa.String(36), nullable=False),
    sa.Column("cluster_id", sa.String(36), nullable=False),
    sa.Column("state", sa.LargeBinary(2**24 - 1), nullable=False),
)
CLUSTERS: Final = sa.Table(
    "discovery_cluster",
    METADATA,
    sa.Column("cluster_id", sa.String(36), primary_key=True),
    sa.Column("alias", sa.String(300), nullable=False),
)
SCHEMA_VERSION: Final = "0001"
"""Newest revision in `migrations/versions`."""
RETRY_S: Final = 1.0
"""Pause after a failed write."""


class StoreBroken(Exception):
    """The store cannot be opened; the text says where and why, without the password of its URL."""


class SqlStore:
    """Tables and statements. Blocking; see `StoreWriter` for what the use cases get."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> SqlStore:
        """Connect and bring the schema up to date.

        Raises:
            StoreBroken: No such file or server, no permission, damaged, locked.
        """
        try:
            engine = _make_engine(url)
            with engine.begin() as connection:
                _migrate(connection)
        except (SQLAlchemyError, OSError) as error:
            raise StoreBroken(f"store {_shown(url)}: {_reason(error)}") from None
        return cls(engine)

    def load(self) -> Remembered:
        """Return what was kept.

        Raises:
            StoreBroken: It cannot be read.
        """
        try:
            with self._engine.connect() as connection:
                states = connection.execute(sa.select(INSTANCES.c.state)).scalars().all()
                aliases = connection.execute(sa.select(CLUSTERS.c.cluster_id, CLUSTERS.c.alias)).all()
            instances = tuple(instance_from_bytes(state) for state in states)
            return Remembered(instances, {row.cluster_id: row.alias for row in aliases})
        except (SQLAlchemyError, DecodeError, OSError) as error:
            raise StoreBroken(f"store {_shown(str(self._engine.url))}: {_reason(error)}") from None

    def write(self, instances: dict[InstanceKey, Instance | None], aliases: dict[str, str]) -> None:
        """Write states (None: drop it) and labels in one transaction.

        Raises:
            SQLAlchemyError: Nothing was written.
        """
        with self._engine.begin() as connection:
            for key in instances:
                connection.execute(
                    sa.delete(INSTANCES).where(INSTANCES.c.host == key.host, INSTANCES.c.port == key.port)
                )
            rows = [_row(instance) for instance in instances.values() if instance is not None]
            if rows:
                connection.execute(sa.insert(INSTANCES), rows)
            for cluster_id, alias in aliases.items():
                connection.execute(sa.delete(CLUSTERS).where(CLUSTERS.c.cluster_id == cluster_id))
                connection.execute(sa.insert(CLUSTERS).values(cluster_id=cluster_id, alias=alias))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _row(instance: Instance) -> dict[str, object]:
    return {
        "host": instance.key.host,
        "port": instance.key.port,
        "server_uuid": instance.server_uuid,
        "cluster_id": instance.cluster_id,
        "state": instance_to_bytes(instance),
    }


def _make_engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        timeouts = {"connect_timeout": 2, "read_timeout": 5, "write_timeout": 5, "ssl_disabled": True}
        return sa.create_engine(url, pool_size=1, max_overflow=1, pool_pre_ping=True, connect_args=timeouts)
    engine = sa.create_engine(url, connect_args={"timeout": 1, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        # What a power cut takes is probed anew; an fsync per write is not worth it.
        with closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")

    return engine


def _migrate(connection: sa.Connection) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    from alembic import command  # 10 MB of memory: only when there is something to migrate.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: sa.Connection) -> str | None:
    version = sa.table("discovery_version", sa.column("version_num"))
    if not sa.inspect(connection).has_table(version.name):
        return None
    found: str | None = connection.execute(sa.select(version.c.version_num)).scalar()
    return found


def _shown(url: str) -> str:
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "(its URL is malformed)"


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None)
    return str(original if original is not None else error).splitlines()[0] if str(error) else type(error).__name__


class StoreWriter:
    """Writes behind the back of the event loop; see `ports.Store`. Start it, and close it at the end."""

    def __init__(self, store: SqlStore, delay: timedelta, on_health: Callable[[bool], None]) -> None:
        """Make a writer.

        Args:
            store: Where to.
            delay: How long states that are not urgent may wait.
            on_health: Called in the writer's thread when the store breaks, and when it works again.
        """
        self._store = store
        self._delay_s = delay.total_seconds()
        self._on_health = on_health
        self._changed = threading.Condition()
        self._instances: dict[InstanceKey, Instance | None] = {}
        self._aliases: dict[str, str] = {}
        self._urgent = False
        self._closing = False
        self._healthy = True
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, once, and end the thread; waits a few seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=3 * RETRY_S)

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._healthy

    def save(self, instances: Iterable[Instance], *, urgent: bool) -> None:
        """Write instances soon."""
        with self._changed:
            self._instances.update({instance.key: instance for instance in instances})
            if urgent:
                self._urgent = True
                self._changed.notify()

    def remove(self, keys: Iterable[InstanceKey]) -> None:
        """Drop instances soon."""
        with self._changed:
            self._instances.update(dict.fromkeys(keys))
            self._urgent = True
            self._changed.notify()

    def save_alias(self, cluster_id: str, alias: str) -> None:
        """Write a cluster's label soon."""
        with self._changed:
            self._aliases[cluster_id] = alias

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._urgent or self._closing, timeout=self._delay_s)
                instances, self._instances = self._instances, {}
                aliases, self._aliases = self._aliases, {}
                self._urgent = False
                closing_now = self._closing
            if (instances or aliases) and not self._write(instances, aliases):
                with self._changed:  # What came meanwhile is newer.
                    self._instances = {**instances, **self._instances}
                    self._aliases = {**aliases, **self._aliases}
                    if not self._closing:
                        self._changed.wait(timeout=RETRY_S)
            if closing_now:
                return

    def _write(self, instances: dict[InstanceKey, Instance | None], aliases: dict[str, str]) -> bool:
        problem = ""
        try:
            self._store.write(instances, aliases)
        except (SQLAlchemyError, OSError) as error:
            problem = _reason(error)
        if self._healthy == bool(problem):
            self._healthy = not problem
            if problem:
                log.error("discovery.store_broken", extra={"problem": problem})
            else:
                log.info("discovery.store_works_again")
            self._on_health(self._healthy)
        return not problem
