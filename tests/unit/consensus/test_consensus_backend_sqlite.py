"""What SQLite's errors mean for the member."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreBusy, StoreError, StoreFull
from services.consensus.store.backend_sqlite import SqliteBackend


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(sqlite3.SQLITE_FULL, StoreFull, id="full"),
        pytest.param(sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull, id="full where the index of the log grows"),
        pytest.param(sqlite3.SQLITE_IOERR_FSYNC, StoreBroken, id="failed fsync"),
        pytest.param(sqlite3.SQLITE_IOERR, StoreBroken, id="I/O error"),
        pytest.param(sqlite3.SQLITE_CORRUPT, StoreBroken, id="damage"),
        pytest.param(sqlite3.SQLITE_BUSY, StoreBusy, id="locked"),
    ],
)
def test_error_of_sqlite_means(tmp_path: Path, code: int, kind: type[StoreError]) -> None:
    error = sqlite3.OperationalError("told by SQLite")
    error.sqlite_errorcode = code
    backend = SqliteBackend(sa.make_url(f"sqlite:///{tmp_path / 'member.db'}"), allow_volatile=True)
    assert type(backend.translate(error)) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        pytest.param(errno.EMFILE, StoreBusy, id="this process has too many files open"),
        pytest.param(errno.ENFILE, StoreBusy, id="all processes have"),
        pytest.param(errno.EIO, StoreBroken, id="I/O error"),
        pytest.param(errno.EACCES, StoreBroken, id="not allowed"),
    ],
)
def test_error_of_the_system_means(tmp_path: Path, number: int, kind: type[StoreError]) -> None:
    backend = SqliteBackend(sa.make_url(f"sqlite:///{tmp_path / 'member.db'}"), allow_volatile=True)
    assert type(backend.translate(OSError(number, os.strerror(number)))) is kind
