"""Ports that no other lab on this machine takes, not even while the server behind one is down."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

from tests.support.lab.errors import LabError

# Below the kernel's range for outgoing connections, which would take one now and then.
_RANGE: Final = range(21_000, 31_000)
_ATTEMPTS: Final = 200


class PortLease:
    """A port of 127.0.0.1 held by a file lock until `release` or the end of this process."""

    def __init__(self, port: int, lock: IO[str]) -> None:
        self.port = port
        self._lock = lock

    def release(self) -> None:
        """Give the port back; harmless when repeated."""
        self._lock.close()


def lease_port() -> PortLease:
    """Return a free port, chosen by chance.

    Raises:
        LabError: None was found.
    """
    directory = Path(tempfile.gettempdir()) / f"primacy-lab-ports-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_RANGE, _ATTEMPTS):
        lock = (directory / str(port)).open("w")
        if _lock(lock) and _is_free(port):
            return PortLease(port, lock)
        lock.close()
    raise LabError(f"no free port between {_RANGE.start} and {_RANGE.stop} in {_ATTEMPTS} attempts")


def _lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As servers do: TIME_WAIT is no obstacle.
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
