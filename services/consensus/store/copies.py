"""An online copy of a store (14.7). Put back in its place it is an old copy, which 14.6 finds; it is for a recovery."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreRefused

_PAGES: int = 1_000
"""Copied at a time; the member writes in between."""


def copy_store(url: str, target: Path) -> None:
    """Copy a SQLite store to a file, durably; a copy that fails leaves no file.

    Raises:
        StoreRefused: It is not in SQLite, there is none, or the file exists.
        StoreBroken: It cannot be copied.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise StoreRefused(
            "this store is on a database server: copy its schema with `mysqldump --single-transaction SCHEMA` "
            "(MariaDB: `mariadb-dump`)"
        )
    source = Path(parsed.database or "").absolute()
    if not source.is_file():
        raise StoreRefused(f"there is no store {source}")
    try:
        target.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise StoreRefused(f"{target} cannot be made: {error.strerror}") from error
    try:
        _copy(source, target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise StoreBroken(f"{source} cannot be copied: {error}") from error


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy, pages=_PAGES, sleep=0.001)
        copy.execute("PRAGMA journal_mode=DELETE")  # One file, with nothing beside it.
    for place in (target, target.absolute().parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
