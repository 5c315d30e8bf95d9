"""An application that writes without pause, and remembers what was acknowledged, when and by whom.

A thread inserts numbered rows into `app.writes` of the instance that accepted the last one. When that one is lost or
refuses, it asks all of them in turn, every few milliseconds, until one accepts. Each number is offered once: whether a
write without an answer took place is unknown, so it counts neither as acknowledged nor as lost.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import pymysql

from tests.support.lab.accounts import Account
from tests.support.lab.instance import LabInstance

_PAUSE_S: Final = 0.002
_BENCH_S: Final = 1.0
_JOIN_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One accepted write.

    Attributes:
        time_ns: Monotonic clock when the answer was here.
        endpoint: Who gave it.
        id: The row's number.
    """

    time_ns: int
    endpoint: str
    id: int


@dataclass(frozen=True, slots=True)
class Outage:
    """The gap between the last write that one instance accepted and the first that another did."""

    last: Acknowledgement
    first: Acknowledgement

    @property
    def duration_ns(self) -> int:
        """Length of the gap in nanoseconds."""
        return self.first.time_ns - self.last.time_ns


class Writer:
    """A context manager: it writes from entering to leaving; what it recorded stays readable afterwards."""

    def __init__(
        self,
        instances: Sequence[LabInstance],
        *,
        name: str = "writer",
        first_id: int = 1,
        connect_timeout_s: float = 0.1,
        answer_timeout_s: float = 0.5,
    ) -> None:
        """Write to whichever of `instances` accepts.

        Args:
            name: Goes into each row. Writers that share servers need names and ranges of numbers of their own.
            first_id: Number of the first row.
            connect_timeout_s: Time for the TCP connection.
            answer_timeout_s: Longest wait for any answer. Who lets it pass is left alone for a second, so that a hung
                instance does not slow the search for its successor.
        """
        assert instances, "a writer needs somebody to write to"
        self._targets = [
            _Target(i.host, i.port, i.credentials.app, name, connect_timeout_s, answer_timeout_s) for i in instances
        ]
        self._ids = itertools.count(first_id)
        self._acknowledged: list[Acknowledgement] = []
        self._unknown: list[int] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lab-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(_JOIN_TIMEOUT_S)

    @property
    def acknowledged(self) -> tuple[Acknowledgement, ...]:
        """All accepted writes so far, oldest first."""
        return tuple(self._acknowledged)

    @property
    def unknown_ids(self) -> tuple[int, ...]:
        """Numbers offered without an answer so far."""
        return tuple(self._unknown)

    @property
    def count(self) -> int:
        """Number of accepted writes so far."""
        return len(self._acknowledged)

    @property
    def endpoint(self) -> str | None:
        """Who accepted the last write; None before the first."""
        return self._acknowledged[-1].endpoint if self._acknowledged else None

    def outage(self, lost: str) -> Outage | None:
        """Return the gap around the loss of the instance at endpoint `lost`; None until another accepts writes.

        Its `last` is the last write that `lost` accepted before another one accepted any.
        """
        last: Acknowledgement | None = None
        for acknowledgement in self.acknowledged:
            if acknowledgement.endpoint == lost:
                last = acknowledgement
            elif last is not None:
                return Outage(last, acknowledgement)
        return None

    async def lost_ids(self, successor: LabInstance) -> tuple[int, ...]:
        """Return the numbers that were acknowledged, by anyone, and that `successor` does not have, in order.

        Ask after the writer has ended, or a number acknowledged later may be missing in the comparison only.
        """
        acknowledged = {acknowledgement.id for acknowledgement in self.acknowledged}
        rows = await successor.query("SELECT id FROM app.writes", timeout_s=30.0)
        return tuple(sorted(acknowledged - {int(row["id"]) for row in rows}))

    def _run(self) -> None:
        current = self._targets[0]
        try:
            while not self._ending.is_set():
                if self._offer(current):
                    self._ending.wait(_PAUSE_S)
                else:
                    current = self._search(current)
        finally:
            for target in self._targets:
                target.close()

    def _search(self, failed: _Target) -> _Target:
        """Return the first instance that accepts a write, `failed` asked last in each round."""
        first = self._targets.index(failed) + 1
        order = (*self._targets[first:], *self._targets[:first])
        while not self._ending.is_set():
            for target in _willing(order):
                if self._offer(target):
                    return target
            self._ending.wait(_PAUSE_S)
        return failed

    def _offer(self, target: _Target) -> bool:
        number = next(self._ids)
        outcome = target.insert(number)
        if outcome is True:
            self._acknowledged.append(Acknowledgement(time.monotonic_ns(), target.endpoint, number))
            return True
        if outcome is None:
            self._unknown.append(number)
        return False


class _Target:
    """One instance as the writer sees it, with a connection that is kept until it breaks."""

    def __init__(
        self, host: str, port: int, account: Account, name: str, connect_timeout_s: float, answer_timeout_s: float
    ) -> None:
        self.endpoint = f"{host}:{port}"
        self.rests_until = 0.0
        self._statement = f"INSERT INTO app.writes (id, writer) VALUES (%s, '{name}')"
        self._answer_timeout_s = answer_timeout_s
        self._arguments: dict[str, Any] = {
            "host": host,
            "port": port,
            "user": account.user,
            "password": account.password,
            "autocommit": True,
            "connect_timeout": connect_timeout_s,
            "read_timeout": answer_timeout_s,
            "write_timeout": answer_timeout_s,
        }
        self._connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def insert(self, number: int) -> bool | None:
        """Offer one row: accepted, refused, or None when the answer did not come."""
        started = time.monotonic()
        sent = False
        try:
            connection = self._connection = self._connection or pymysql.connect(**self._arguments)
            with connection.cursor() as cursor:
                sent = True
                cursor.execute(self._statement, (number,))
        except pymysql.err.MySQLError as error:
            return self._refusal(error, started, sent)
        return True

    def close(self) -> None:
        """Drop the connection without a farewell, which a hung server would not answer."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection._force_close()  # type: ignore[attr-defined]
            self._connection = None

    def _refusal(self, error: pymysql.err.MySQLError, started: float, sent: bool) -> bool | None:
        connection = self._connection
        if connection is not None and connection.open:
            return False  # The server said no, for instance because it is read-only.
        self.close()
        if time.monotonic() - started >= self._answer_timeout_s * 0.9:
            self.rests_until = time.monotonic() + _BENCH_S
        return None if sent else False


def _willing(targets: Iterable[_Target]) -> list[_Target]:
    """Return those that do not rest; all of them rather than none."""
    targets = list(targets)
    now = time.monotonic()
    return [target for target in targets if target.rests_until <= now] or targets
