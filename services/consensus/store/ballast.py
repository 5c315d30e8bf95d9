"""Space kept in reserve, so that a member whose disk is full can still tidy its database (14.5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final


class Ballast:
    """A file that is there for its size alone."""

    def __init__(self, path: Path, size: int, room: int) -> None:
        """Make none yet.

        Args:
            path: Where it is, on the file system whose space matters.
            size: Bytes; 0 = keep no reserve.
            room: Bytes that must be free before the store is used again once it was full.
        """
        self._path: Final = path
        self._size: Final = size
        self._room: Final = room

    def keep(self) -> None:
        """Make the file, unless it is there or would take the space that the store needs."""
        if self._size == 0 or self._path.exists() or self._free() < self._size + self._room:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError:
            self._path.unlink()  # A reserve that cannot be had is none; the disk is full or cannot reserve.
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the space back."""
        self._path.unlink(missing_ok=True)

    def has_room(self) -> bool:
        """Tell whether enough is free to go on."""
        return self._free() >= self._room

    def _free(self) -> int:
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize
