"""Watches which servers take writes at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import pymysql

from tests.support.lab import LabInstance

_PERIOD_S: Final = 0.02
_TIMEOUT_S: Final = 0.2


class WritableWatch:
    """Asks every server every 20 ms whether it is writable, each over a connection and thread of its own.

    It asks as the application. Two servers that said so in the same period are one sample of a double writer. A server
    that does not answer, or does not let the application in, counts as not writable.
    """

    def __init__(self, instances: Sequence[LabInstance]) -> None:
        self._ending = threading.Event()
        self._periods: dict[int, set[str]] = {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._watch, args=(each,), daemon=True) for each in instances]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(5)

    @property
    def double_writer_samples(self) -> int:
        """Periods in which two servers or more were writable."""
        with self._lock:
            return sum(len(writable) > 1 for writable in self._periods.values())

    def _watch(self, instance: LabInstance) -> None:
        connection = None
        while not self._ending.wait(_PERIOD_S):
            try:
                connection = connection or instance.connect(account=instance.credentials.app, timeout_s=_TIMEOUT_S)
                with connection.cursor() as cursor:
                    cursor.execute("SELECT @@global.read_only AS read_only")
                    row = cursor.fetchone()
            except (pymysql.err.MySQLError, OSError):
                connection = None
                continue
            if row is not None and not int(row["read_only"]):
                self._note(instance.endpoint)

    def _note(self, endpoint: str) -> None:
        with self._lock:
            self._periods.setdefault(int(time.monotonic() / _PERIOD_S), set()).add(endpoint)
