"""The embedded database: one SQLite file, private to one member (14.2)."""

from __future__ import annotations

import errno
import fcntl
import sqlite3
import time
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreBusy, StoreError, StoreFull, StoreRefused
from services.consensus.store.ballast import Ballast
from services.consensus.store.file_system import VOLATILE, file_system_of
from services.consensus.store.wal import PAGE_BYTES, WriteAheadLog

BUSY_TIMEOUT_MS: Final = 250
_PASSIVE_BYTES: Final = 16 * 1024 * 1024
_TRUNCATE_BYTES: Final = 64 * 1024 * 1024
_TRUNCATE_EVERY_S: Final = 10.0
"""Shortest time between two tries: each waits for readers, up to the busy timeout."""
_SYNC_FULL: Final = 2
_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)
"""Somebody else has all files that may be open, silent connections for example: it says nothing about this one."""


class SqliteBackend:
    """What differs between databases, for SQLite."""

    begin_statement = "BEGIN IMMEDIATE"

    def __init__(self, url: sa.URL, *, allow_volatile: bool, ballast: int = 0, room: int = 0) -> None:
        """Refuse a file that would not survive.

        Args:
            url: Of the file.
            allow_volatile: Accept a file system that forgets.
            ballast: Bytes to keep in reserve; 0 = none.
            room: Bytes that must be free to go on once the disk was full.

        Raises:
            StoreRefused: No file, no such directory, or a file system that forgets or is shared.
        """
        if not url.database or url.database == ":memory:":
            raise StoreRefused("store_url: a file is needed, such as sqlite:////var/lib/primacy/consensus.db")
        self._path = Path(url.database).absolute()
        if not self._path.parent.is_dir():
            raise StoreRefused(f"store_url: there is no directory {self._path.parent}")
        kind = file_system_of(self._path.parent)
        if kind in VOLATILE and not allow_volatile:
            raise StoreRefused(f"store_url: {self._path} is on {kind}, which does not keep data safely")
        self._lock: IO[bytes] | None = None
        self._ballast = Ballast(self._beside(".ballast"), ballast, room)
        self._wal = WriteAheadLog(self._path)
        self._truncated_at = 0.0

    @property
    def url(self) -> sa.URL:
        """Where to connect."""
        return sa.URL.create("sqlite", database=str(self._path))

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `create_engine`: autocommit off means explicit BEGIN; the writer thread is not the opener."""
        return {"connect_args": {"isolation_level": None, "check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1e3}}

    @property
    def acknowledged_path(self) -> Path:
        """Where the file of 14.6 is unless the settings say otherwise."""
        return self._beside(".acknowledged")

    def claim(self) -> None:
        """Take the database for this process, for life.

        Raises:
            StoreRefused: Another process has it.
        """
        path = self._beside(".lock")
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
        raw.execute(f"PRAGMA page_size={PAGE_BYTES}")
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA fullfsync=ON")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = raw.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous != _SYNC_FULL:
            raise StoreRefused(f"{self._path}: journal_mode is {mode}, synchronous is {synchronous}: not durable")

    def check(self, raw: Any) -> str:
        """Return what is damaged; empty = nothing was found."""
        problem = str(raw.execute("PRAGMA quick_check(1)").fetchone()[0])
        return "" if problem == "ok" else f"{self._path} is damaged: {problem}"

    def set_aside(self, suffix: str) -> Path | None:
        """Rename the files of the database.

        The database goes first: SQLite drops a write-ahead log without a database, but a database without its log
        looks whole and is older than it was.
        """
        self.claim()
        try:
            for part in ("", "-wal", "-shm"):
                path = self._beside(part)
                if path.exists():
                    path.rename(self._beside(suffix + part))
        finally:
            self.release()
        return self._beside(suffix)

    def begin_service(self) -> None:
        """Reserve space."""
        self._ballast.keep()

    def tidy(self, raw: Any, *, idle: bool) -> float | None:
        """Move the write-ahead log into the database, when it has grown or nobody waits for it."""
        began = time.monotonic()
        checkpoint = self._due(began, idle=idle)
        if checkpoint:
            raw.execute(f"PRAGMA wal_checkpoint({checkpoint})")
        took_s = time.monotonic() - began
        if idle:
            self._ballast.keep()
        return took_s if checkpoint else None

    def size(self, raw: Any) -> int:
        """Return the size of the file and of its write-ahead log."""
        return self._path.stat().st_size + self._wal.length

    def relieve(self, raw: Any) -> None:
        """Give up the reserve, and the space of the write-ahead log."""
        self._ballast.release()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def has_room(self) -> bool:
        """Tell whether there is space enough to go on once it was full."""
        return self._ballast.has_room()

    def server_uuid(self, raw: Any) -> str:
        """Return nothing: there is no server."""
        return ""

    def translate(self, error: Exception) -> StoreError:
        """Return what an error of the driver means."""
        text = f"{self._path}: {error}"
        if isinstance(error, sqlite3.Error):
            extended = getattr(error, "sqlite_errorcode", 0)
            code = extended & 0xFF
            # A full disk is an I/O error to SQLite where the index of the write-ahead log (-shm) has to grow.
            if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
                return StoreFull(text)
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return StoreBusy(text)
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR:
            return StoreBusy(text)
        return StoreBroken(text)

    def _due(self, now: float, *, idle: bool) -> str:
        """Return the kind of checkpoint that is due; empty = none."""
        if self._wal.length > _TRUNCATE_BYTES and now - self._truncated_at > _TRUNCATE_EVERY_S:
            self._truncated_at = now
            return "TRUNCATE"
        return "PASSIVE" if self._wal.waiting > (0 if idle else _PASSIVE_BYTES) else ""

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)
