"""How much of a SQLite write-ahead log has not been moved into the database yet.

The size of the file does not tell: it is written from its start again after a checkpoint, and keeps its length. The
shared index beside it does (https://sqlite.org/walformat.html, section 2.1): two numbers at fixed places.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 4096
_FRAME_BYTES: Final = PAGE_BYTES + 24
_MAX_FRAME_AT: Final = 16
_BACKFILLED_AT: Final = 96


class WriteAheadLog:
    """The log of one database."""

    def __init__(self, database: Path) -> None:
        """Name the database."""
        self._log = database.with_name(database.name + "-wal")
        self._index = database.with_name(database.name + "-shm")

    @property
    def length(self) -> int:
        """Bytes the file has; 0 when there is none."""
        return self._log.stat().st_size if self._log.exists() else 0

    @property
    def waiting(self) -> int:
        """Bytes written since they were last moved."""
        try:
            with self._index.open("rb", buffering=0) as index:
                head = index.read(_BACKFILLED_AT + 4)
        except FileNotFoundError:
            return 0
        if len(head) < _BACKFILLED_AT + 4:
            return 0
        last, moved = (int(struct.unpack_from("=I", head, at)[0]) for at in (_MAX_FRAME_AT, _BACKFILLED_AT))
        return max(0, last - moved) * _FRAME_BYTES
