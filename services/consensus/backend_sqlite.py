"""The embedded database: one SQLite file, private to one member (14.2)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreBusy, StoreError, StoreFull, StoreRefused

BUSY_TIMEOUT_MS: Final = 250
_PASSIVE_BYTES: Final = 16 * 1024 * 1024
_TRUNCATE_BYTES: Final = 64 * 1024 * 1024
_SYNC_FULL: Final = 2
_VOLATILE: Final = frozenset({"tmpfs", "ramfs", "nfs", "nfs4", "9p"})


class SqliteBackend:
    """What differs between databases, for SQLite."""

    begin_statement: Final = "BEGIN IMMEDIATE"

    def __init__(self, url: sa.URL, *, allow_volatile: bool) -> None:
        """Refuse a file that would not survive.

        Raises:
            StoreRefused: No file, no such directory, or a file system that forgets or is shared.
        """
        if not url.database or url.database == ":memory:":
            raise StoreRefused("store_url: a file is needed, such as sqlite:////var/lib/primacy/consensus.db")
        self._path = Path(url.database).absolute()
        if not self._path.parent.is_dir():
            raise StoreRefused(f"store_url: there is no directory {self._path.parent}")
        kind = file_system_of(self._path.parent)
        if kind in _VOLATILE and not allow_volatile:
            raise StoreRefused(f"store_url: {self._path} is on {kind}, which does not keep data safely")
        self._lock: IO[bytes] | None = None

    @property
    def url(self) -> sa.URL:
        """Where to connect."""
        return sa.URL.create("sqlite", database=str(self._path))

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `create_engine`: autocommit off means explicit BEGIN; the writer thread is not the opener."""
        return {"connect_args": {"isolation_level": None, "check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1e3}}

    def claim(self) -> None:
        """Take the database for this process, for life.

        Raises:
            StoreRefused: Another process has it.
        """
        path = self._path.with_name(self._path.name + ".lock")
        try:
            self._lock = path.open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise StoreRefused(f"{self._path} is used by another process (it holds {path})") from error
        except OSError as error:
            raise StoreRefused(f"{path} cannot be opened: {error.strerror}") from error

    def release(self) -> None:
        """Let other processes have it."""
        if self._lock is not None:
            self._lock.close()

    def prepare(self, raw: Any) -> None:
        """Set up a new connection and verify that commits will be durable.

        Raises:
            StoreRefused: They would not.
        """
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA fullfsync=ON")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = raw.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous != _SYNC_FULL:
            raise StoreRefused(f"{self._path}: journal_mode is {mode}, synchronous is {synchronous}: not durable")

    def check(self, raw: Any) -> None:
        """Look for damage.

        Raises:
            StoreBroken: Found some.
        """
        problem = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreBroken(f"{self._path} is damaged: {problem}")

    def tidy(self, raw: Any) -> None:
        """Move the write-ahead log into the database when it has grown."""
        wal = self._path.with_name(self._path.name + "-wal")
        size = wal.stat().st_size if wal.exists() else 0
        if size > _PASSIVE_BYTES:
            raw.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if size > _TRUNCATE_BYTES else 'PASSIVE'})")

    def translate(self, error: Exception) -> StoreError:
        """Return what an error of the driver means."""
        text = f"{self._path}: {error}"
        if isinstance(error, sqlite3.Error):
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                return StoreFull(text)
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return StoreBusy(text)
        return StoreBroken(text)


def file_system_of(directory: Path) -> str:
    """Return the type of the file system a directory is on; empty where the system does not tell."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return ""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2] == wanted:
            return kind.split()[0]
    return ""
