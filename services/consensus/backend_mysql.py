"""A MySQL or MariaDB schema that belongs to one member alone (14.3)."""

from __future__ import annotations

from typing import Any, Final

import pymysql
import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreBusy, StoreError, StoreFull, StoreLost, StoreRefused

_FULL: Final = frozenset({1021, 1114, 3})
_BUSY: Final = frozenset({1205, 1213})
_LOST: Final = frozenset({0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 2002, 2003, 2006, 2013, 2055})
_TIMEOUT_S: Final = 1
"""Below `store_stall`, so that a silent database is noticed as such."""


class MySqlBackend:
    """What differs between databases, for MySQL and MariaDB."""

    begin_statement: Final = "START TRANSACTION"

    def __init__(self, url: sa.URL, member_id: int) -> None:
        self.url: Final = url.set(drivername="mysql+pymysql")
        self._lock_name = f"primacy-store-{member_id}"
        self._where = f"{url.host}:{url.port or 3306}/{url.database}"

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `create_engine`; parameters by position, as the hot statements give them."""
        timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), _TIMEOUT_S)
        return {"connect_args": timeouts, "isolation_level": "READ COMMITTED", "paramstyle": "format"}

    def claim(self) -> None:
        """Nothing: the lock is the connection's, see `prepare`."""

    def release(self) -> None:
        """Nothing: the lock ends with the connection."""

    def prepare(self, raw: Any) -> None:
        """Take the schema for this connection and verify that commits will be durable.

        Raises:
            StoreRefused: Another process has it, or commits would not be durable.
        """
        with raw.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", (self._lock_name,))
            if cursor.fetchone()[0] != 1:
                raise StoreRefused(f"{self._where} is used by another process (it holds {self._lock_name})")
            cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog")
            flush, log_bin, sync = cursor.fetchone()
        if flush != 1 or (log_bin and sync != 1):
            raise StoreRefused(
                f"{self._where}: innodb_flush_log_at_trx_commit is {flush}, sync_binlog is {sync}: not durable"
            )

    def check(self, raw: Any) -> None:
        """Nothing: InnoDB verifies its pages when it reads them."""

    def tidy(self, raw: Any) -> None:
        """Nothing: the server does."""

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
