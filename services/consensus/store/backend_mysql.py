"""A MySQL or MariaDB schema that belongs to one member alone (14.3)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import pymysql
import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreBusy, StoreError, StoreFull, StoreLost, StoreRefused

_FULL: Final = frozenset({1021, 1114, 3})
_BUSY: Final = frozenset({1205, 1213})
_LOST: Final = frozenset({0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2055})
_UNKNOWN_VARIABLE: Final = 1193
_FOREIGN: Final = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND engine <> 'InnoDB'"
)
_SIZE: Final = "SELECT sum(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"


class MySqlBackend:
    """What differs between databases, for MySQL and MariaDB."""

    begin_statement = "START TRANSACTION"

    def __init__(self, url: sa.URL, member_id: int, timeout_s: float) -> None:
        """Name the schema.

        Args:
            url: Of the schema.
            member_id: Whose store it is.
            timeout_s: Longest wait for the server; below `store_stall`, so that a silent one is noticed as such.
        """
        self._url: Final = url.set(drivername="mysql+pymysql")
        self._member_id = member_id
        self._lock_name = f"primacy-store-{member_id}"
        self._timeout_s = timeout_s
        self._where = f"{url.host}:{url.port or 3306}/{url.database}"
        self._session = 0

    @property
    def url(self) -> sa.URL:
        """Where to connect."""
        return self._url

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `create_engine`; parameters by position, as the hot statements give them."""
        timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self._timeout_s)
        return {"connect_args": timeouts, "isolation_level": "READ COMMITTED", "paramstyle": "format"}

    @property
    def acknowledged_path(self) -> Path:
        """Where the file of 14.6 is unless the settings say otherwise: the directory the member runs in."""
        return Path(f"consensus-{self._member_id}.acknowledged").absolute()

    def claim(self) -> None:
        """Nothing: the lock is the connection's, see `prepare`."""

    def release(self) -> None:
        """Nothing: the lock ends with the connection."""

    def prepare(self, raw: Any) -> None:
        """Take the schema for this connection and verify that commits will be durable.

        The lock also ends the question of what a lost connection may still do: as long as it lives, it has the lock.

        Raises:
            StoreLost: This process's own former connection has it still.
            StoreRefused: Another process has it, or commits would not be durable.
        """
        with raw.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", (self._lock_name,))
            if cursor.fetchone()[0] != 1:
                self._refuse_or_end_former(cursor)
            self._session = raw.thread_id()
            with contextlib.suppress(pymysql.err.MySQLError):  # Not everybody may; then the setting decides.
                cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute(
                "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin AND @@sql_log_bin, @@sync_binlog, @@read_only"
            )
            flush, log_bin, sync, read_only = cursor.fetchone()
        if flush != 1 or (log_bin and sync != 1):
            raise StoreRefused(
                f"{self._where}: innodb_flush_log_at_trx_commit is {flush}, sync_binlog is {sync}: not durable"
            )
        if read_only:
            raise StoreRefused(f"{self._where} is read-only")

    def check(self, raw: Any) -> str:
        """Return nothing: InnoDB verifies its pages when it reads them.

        Raises:
            StoreRefused: A table is in another engine.
        """
        with raw.cursor() as cursor:
            cursor.execute(_FOREIGN)
            foreign = [name for (name,) in cursor.fetchall()]
        if foreign:
            raise StoreRefused(f"{self._where}: not in InnoDB: {', '.join(sorted(foreign))}")
        return ""

    def set_aside(self, suffix: str) -> Path | None:
        """Keep nothing: the schema is all this member was given."""
        return None

    def begin_service(self) -> None:
        """Nothing: space is the server's matter."""

    def tidy(self, raw: Any, *, idle: bool) -> float | None:
        """Nothing: the server does."""
        return None

    def size(self, raw: Any) -> int:
        """Return the size of the schema's tables as the server knows it, which may be a while ago."""
        with raw.cursor() as cursor:
            cursor.execute(_SIZE)
            return int(cursor.fetchone()[0] or 0)

    def relieve(self, raw: Any) -> None:
        """Nothing can be freed from here."""

    def has_room(self) -> bool:
        """Tell that a write may be tried: only that can show it."""
        return True

    def server_uuid(self, raw: Any) -> str:
        """Return the server's UUID; empty on MariaDB, which has none."""
        with raw.cursor() as cursor:
            try:
                cursor.execute("SELECT @@server_uuid")
            except pymysql.err.OperationalError as error:
                if error.args[0] == _UNKNOWN_VARIABLE:
                    return ""
                raise
            return str(cursor.fetchone()[0])

    def translate(self, error: Exception) -> StoreError:
        """Return what an error of the driver means."""
        text = f"{self._where}: {type(error).__name__} {error}"
        if isinstance(error, pymysql.err.InterfaceError):
            return StoreLost(text)
        code = error.args[0] if isinstance(error, pymysql.err.Error) and error.args else None
        if code in _FULL:
            return StoreFull(text)
        if code in _BUSY:
            return StoreBusy(text)
        return StoreLost(text) if code in _LOST else StoreBroken(text)

    def _refuse_or_end_former(self, cursor: Any) -> None:
        cursor.execute("SELECT IS_USED_LOCK(%s)", (self._lock_name,))
        holder = cursor.fetchone()[0]
        if self._session and holder in (self._session, None):
            with contextlib.suppress(pymysql.err.MySQLError):  # It may just have ended.
                cursor.execute("KILL %s", (self._session,))
            raise StoreLost(f"{self._where}: the former connection is not ended yet")
        raise StoreRefused(f"{self._where} is used by another process (it holds {self._lock_name})")
