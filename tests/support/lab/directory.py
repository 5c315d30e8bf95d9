"""Directories of running labs, and the removal of those whose lab is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import IO, Final

_PREFIX: Final = "primacy-lab-run-"
_LOCK: Final = "owner.lock"
_SETTLE_S: Final = 60.0


class RunDirectory:
    """A directory that belongs to this process; a lock on a file in it says so until the process ends."""

    def __init__(self, parent: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        self._lock: IO[str] = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove it with all in it; harmless when repeated."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep(parent: Path) -> tuple[Path, ...]:
    """Remove the directories below `parent` whose process has ended; kill servers that still run there.

    Returns the directories removed. Other users' are left alone.
    """
    removed = []
    for directory in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # Another sweep is faster.
            if directory.stat().st_uid == os.geteuid() and _is_abandoned(directory):
                _kill_servers(directory)
                shutil.rmtree(directory, ignore_errors=True)
                removed.append(directory)
    return tuple(removed)


def _is_abandoned(directory: Path) -> bool:
    path = directory / _LOCK
    if not path.exists():  # Just being made, or half removed.
        return time.time() - directory.stat().st_mtime > _SETTLE_S
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _kill_servers(directory: Path) -> None:
    """Kill the processes whose command line names `directory` as the place of their data."""
    mark = f"--datadir={directory}/".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
