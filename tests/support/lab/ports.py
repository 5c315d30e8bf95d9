"""Ports that no other lab on this machine takes, not even while the server behind one is down."""

from __future__ import annotations

import fcntl
import functools
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
# Below those, for ports in a row: each process has one of these parts to itself.
_SPAN: Final = 600
_SPANS: Final = range(15_000, 21_000, _SPAN)


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
    for port in random.sample(_RANGE, _ATTEMPTS):
        lock = _lock_file(str(port))
        if _lock(lock) and _is_free(port):
            return PortLease(port, lock)
        lock.close()
    raise LabError(f"no free port between {_RANGE.start} and {_RANGE.stop} in {_ATTEMPTS} attempts")


def ports_in_a_row(count: int) -> int:
    """Return the first of `count` free ports in a row that no other process is given, and this one not soon again.

    Raises:
        LabError: None was found.
    """
    span = _own_span()
    for _ in range(_ATTEMPTS):
        base = span.next_row(count)
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise LabError(f"no {count} free ports in a row from {span.first} on")


class _Span:
    """The part of the ports that this process has to itself, given out in turn."""

    def __init__(self, first: int, lock: IO[str]) -> None:
        self.first = first
        self._lock = lock
        self._next = first

    def next_row(self, count: int) -> int:
        base = self._next if self._next + count <= self.first + _SPAN else self.first
        self._next = base + count
        return base


@functools.cache
def _own_span() -> _Span:
    for first in random.sample(_SPANS, len(_SPANS)):
        lock = _lock_file(f"from-{first}")
        if _lock(lock):
            return _Span(first, lock)
        lock.close()
    raise LabError(f"all {len(_SPANS)} parts of the ports from {_SPANS.start} to {_SPANS.stop} are taken")


def _lock_file(name: str) -> IO[str]:
    directory = Path(tempfile.gettempdir()) / f"primacy-lab-ports-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return (directory / name).open("w")


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
