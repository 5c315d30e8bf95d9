"""One session per instance, through which everything goes that changes it: fencing at the resource (rule F9).

The session shows its fencing token as program name (`primacy:<token>`) and holds the named lock `primacy`. Before its
first change it ends the sessions of older executors. An executor that was paused so wakes up on a dead connection,
reconnects, and finds its lease gone. All of this runs in a thread; nothing waits between the check of the lease and the
statement it allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from services.recovery.lease import LeaseGuard, nanoseconds
from services.recovery.model import LeaseLost
from services.shared.mysql.connect import ConnectionSettings, MysqlConnection, Row, StatementFailed
from services.shared.mysql.dialect import flavor_of
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

LOCK: Final = "primacy"
"""Name of the lock every executor holds at a server it changes."""

_PREFIX: Final = "primacy:"
_TAKE: Final = "SELECT GET_LOCK('primacy', 0) AS got, IS_USED_LOCK('primacy') AS holder, CONNECTION_ID() AS mine"
_TAKE_WAITING: Final = "SELECT GET_LOCK('primacy', 1) AS got"
_OTHERS: Final = (
    "SELECT PROCESSLIST_ID AS id, ATTR_VALUE AS program FROM performance_schema.session_connect_attrs"
    " WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE LIKE 'primacy:%' AND PROCESSLIST_ID <> CONNECTION_ID()"
)
_KILL_BOUND: Final = timedelta(seconds=1)
_NO_SUCH_SESSION: Final = 1094


def program_name(token: int) -> str:
    """Return what a session under a token shows of itself; one without a token (0) only reads, and is left alone."""
    return f"{_PREFIX}{token}" if token else "primacy-recovery"


def token_of(program: str) -> int | None:
    """Return the token in a program name, or None when it is not one of an executor."""
    digits = program.removeprefix(_PREFIX)
    return int(digits) if program.startswith(_PREFIX) and digits.isdigit() else None


class FencedSession:
    """A session under one fencing token. One thread at a time uses it; `abort` is for any thread."""

    def __init__(self, key: InstanceKey, settings: ConnectionSettings, token: int) -> None:
        self.key = key
        self.token = token
        self._connection = MysqlConnection(key, replace(settings, program_name=program_name(token)))
        self._taken = False
        self.changed = False
        """A statement that changes the server was sent."""
        self.running = ""
        """The statement that changes the server and has no answer yet; empty when there is none."""
        self.connection_id = 0
        """The server's id of this session; 0 until it is open."""

    def open(self) -> None:
        """Connect.

        Raises:
            MysqlError: The server does not answer, or refuses our account.
        """
        self._connection.open()
        self.connection_id = self._connection.connection_id

    @property
    def is_open(self) -> bool:
        """Whether statements can be tried."""
        return self._connection.is_open

    @property
    def server_version(self) -> str:
        """What the server said of its version in the handshake."""
        return self._connection.server_version

    def query(self, *statements: str, within: timedelta = timedelta(seconds=1)) -> list[Sequence[Row]]:
        """Run reading statements in one round trip; return the rows of each. Needs no lease.

        Raises:
            MysqlError: The server refused, or did not answer within the time.
        """
        self._connection.set_read_timeout(within)
        return self._connection.query_each(*statements)

    def change(self, statement: str, guard: LeaseGuard, bound: timedelta, hold_until_ns: int | None) -> None:
        """Send a statement that changes the server, if the lease allows it.

        Args:
            statement: Exactly what is sent.
            guard: The lease.
            bound: Longest time it may take.
            hold_until_ns: End of the hold in the step's intent.

        Raises:
            LeaseLost: Not allowed; nothing was sent.
            MysqlError: Refused, or no answer within the bound.
        """
        self.take(guard, hold_until_ns)
        self._send(statement, guard, bound, hold_until_ns)

    def take(self, guard: LeaseGuard, hold_until_ns: int | None, held_until_ns: int | None = None) -> None:
        """Be the only executor at this server: end the sessions of older ones and take the lock, once (rule F9).

        Args:
            guard: The lease.
            hold_until_ns: End of the hold in the step's intent.
            held_until_ns: How long an older executor's statement may still run: so long its session is waited for.

        Raises:
            LeaseLost: A newer executor is at work here, or the lease does not allow to end an older one.
            MysqlError: Refused, no answer in time, or an older session does not end.
        """
        if not self._taken:
            self._take(guard, hold_until_ns, held_until_ns)

    def _send(self, statement: str, guard: LeaseGuard, bound: timedelta, hold_until_ns: int | None) -> None:
        self._connection.set_read_timeout(bound)
        guard.check(nanoseconds(bound), hold_until_ns)
        self.changed = True
        self.running = statement
        self._connection.query(statement)
        self.running = ""

    def _take(self, guard: LeaseGuard, hold_until_ns: int | None, held_until_ns: int | None) -> None:
        """Take the lock; end the sessions of older executors first, where there are any."""
        state, others = self._look()
        for connection_id, token in others:
            if token is not None and token > self.token:
                raise LeaseLost(f"an executor with the newer token {token} is at work at {self.key}")
            self._kill(connection_id, guard, hold_until_ns)
        holder = state["holder"]
        if state["got"] != 1 and holder is not None and int(holder) not in {each for each, _ in others}:
            # Whoever holds it shows no token here (MariaDB). Ours is the newest, or the next check fails.
            self._kill(int(holder), guard, hold_until_ns)
        if state["got"] != 1:
            self._await_lock(guard, held_until_ns)
        self._taken = True

    def _await_lock(self, guard: LeaseGuard, held_until_ns: int | None) -> None:
        """Wait until a session that was ended is gone: the server gives its lock back then, not before."""
        while self.query(_TAKE_WAITING, within=timedelta(seconds=2))[0][0]["got"] != 1:
            guard.check(0)
            if held_until_ns is None or guard.now_ns() >= held_until_ns:
                raise StatementFailed(str(self.key), 0, f"the lock {LOCK!r} is held by another session")

    def _look(self) -> tuple[Row, list[tuple[int, int | None]]]:
        """Try the lock; return what came of it, and the sessions of other executors with their tokens."""
        if flavor_of(self._connection.server_version, "") is Flavor.MARIADB:
            return self.query(_TAKE)[0][0], []
        try:
            taken, others = self.query(_TAKE, _OTHERS)
        except StatementFailed as error:  # No performance_schema: the lock's holder is all there is to see.
            if not error.completed:
                raise
            return error.completed[0][0], []
        return taken[0], [(int(row["id"]), token_of(str(row["program"]))) for row in others]

    def _kill(self, connection_id: int, guard: LeaseGuard, hold_until_ns: int | None) -> None:
        try:
            self._send(f"KILL {connection_id:d}", guard, _KILL_BOUND, hold_until_ns)
        except StatementFailed as error:
            if error.number != _NO_SUCH_SESSION:
                raise

    def kill(self, connection_id: int, guard: LeaseGuard, hold_until_ns: int | None) -> bool:
        """End another session; return whether it was still there.

        Raises:
            LeaseLost: Not allowed; nothing was sent.
            MysqlError: Refused, or no answer in time.
        """
        try:
            self.change(f"KILL {connection_id:d}", guard, _KILL_BOUND, hold_until_ns)
        except StatementFailed as error:
            if error.number != _NO_SUCH_SESSION:
                raise
            return False
        return True

    def abort(self) -> None:
        """End whatever runs, from any thread."""
        self._connection.abort()

    def close(self) -> None:
        """Close; the server gives the lock back."""
        self._connection.close()
