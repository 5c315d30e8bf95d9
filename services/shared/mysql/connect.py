"""One connection to a MySQL or MariaDB server: deadlines, one TLS context for all, errors of our own.

Nothing of pymysql leaves this module, and no text of an error has a password in it.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor

from services.shared.mysql.dialect import flavor_of
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

Row = Mapping[str, Any]

_ACCESS_DENIED: Final = frozenset({1044, 1045, 1130, 1698, 1820, 1862, 3118})
_PRIVILEGE_MISSING: Final = frozenset({1142, 1143, 1227, 1370})
_UNREACHABLE: Final = frozenset({2002, 2003, 2005})
_IDLE_LIMIT_S: Final = 3600
"""Longer than any pause between statements, so that the server never hangs up by itself."""
_UNKNOWN_HOST: Final = 2005
_CLIENT_FAILURES: Final = (pymysql.MySQLError, OSError, ValueError, RuntimeError, struct.error, LookupError, TypeError)
"""What pymysql raises; the last four when the other side does not speak MySQL's protocol."""
_LOST: Final = frozenset({2006, 2013, 2014, 2055, 1053, 1927, 3169, 4031})


@dataclass
class MysqlError(Exception):
    """A server, or the way to it, refused something.

    Attributes:
        endpoint: `host:port`.
        number: MySQL's number, else the operating system's; 0 when there is none (a time-out).
        problem: What happened, for people; never holds a password.
        completed: Rows of the statements before the refused one, when several ran in one round trip.
    """

    endpoint: str
    number: int
    problem: str
    completed: list[Sequence[Row]] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.problem}" + (f" ({self.number})" if self.number else "")


class AccessDenied(MysqlError):
    """The server answers and refuses our account."""


class PrivilegeMissing(MysqlError):
    """Our account may not do what one statement asks."""


class ServerUnreachable(MysqlError):
    """No connection could be made: refused, no route, unknown host."""


class ServerTimeout(MysqlError):
    """No answer in time, to a connect or to a statement; whether the statement took effect is not known."""


class ConnectionLost(MysqlError):
    """The connection ended; whether a statement that was running took effect is not known."""


class StatementFailed(MysqlError):
    """The server refused a statement, or the connection for another reason than the account."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to connect; the same for many servers.

    Attributes:
        user: Account.
        password: Its password.
        tls: One context for all connections (made per connection it costs 15 ms of CPU each); None: plain text.
        connect_timeout: Longest time to connect, and for each packet of the handshake.
        read_timeout: Longest wait for each packet of an answer.
        write_timeout: Longest wait to hand over a statement.
        program_name: Shown in `performance_schema.session_connect_attrs`.
        statement_limit: For sessions that only read: the server ends a statement that runs longer (MySQL: SELECT only),
            and one that waits a second for a lock; times are in UTC. None: sessions are as the server sets them.
    """

    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    connect_timeout: timedelta = timedelta(seconds=1)
    read_timeout: timedelta = timedelta(seconds=1)
    write_timeout: timedelta = timedelta(seconds=1)
    program_name: str = "primacy"
    statement_limit: timedelta | None = None


def session_statement(version: str, statement_limit: timedelta) -> str:
    """Return what sets up a session that only reads.

    Ages are differences of `NOW()` and `TIMESTAMP` columns: in a zone with daylight saving they jump by an hour.

    Args:
        version: Of the server, from its handshake.
        statement_limit: See `ConnectionSettings`.
    """
    seconds = statement_limit.total_seconds()
    mariadb = flavor_of(version, "") is Flavor.MARIADB
    limit = f"max_statement_time = {seconds:.3f}" if mariadb else f"max_execution_time = {seconds * 1000:.0f}"
    waits = f"wait_timeout = {_IDLE_LIMIT_S}, lock_wait_timeout = 1"
    return f"SET SESSION time_zone = '+00:00', sql_mode = '', {waits}, {limit}"


def tls_context(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
    """Return the context that all connections share.

    Args:
        ca_file: Authorities of the servers' certificates, PEM; None: those of the system.
        verify: Check the certificate against them. Names are never checked: MySQL's own certificates carry none.

    Raises:
        OSError: The file cannot be read or is no certificate.
    """
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context


class MysqlConnection:
    """An open connection in autocommit mode. One thread at a time uses it; `abort` is for any thread.

    Make it, then `open` it: so another thread can abort a connect that hangs.
    """

    def __init__(self, key: InstanceKey, settings: ConnectionSettings) -> None:
        self.key = key
        self._settings = settings
        self._socket: socket.socket | None = None
        self._aborted = False
        self._link: pymysql.Connection[DictCursor] | None = None

    @classmethod
    def connect(cls, key: InstanceKey, settings: ConnectionSettings) -> Self:
        """Make and open a connection; see `open`."""
        connection = cls(key, settings)
        connection.open()
        return connection

    def open(self) -> None:
        """Connect and log in.

        Raises:
            ServerUnreachable, ServerTimeout, AccessDenied, ConnectionLost, StatementFailed: As their names say.
        """
        limit = self._settings.connect_timeout.total_seconds()
        try:
            self._socket = socket.create_connection((self.key.host, self.key.port), limit)
        except OSError as error:
            raise self._os_error(error) from None
        if self._aborted:
            self.close()
            raise ServerTimeout(str(self.key), 0, "no connection in time")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            self._link = self._make_link()
            self._link.connect(self._socket)
            if self._settings.statement_limit is not None:
                with self._link.cursor() as cursor:
                    cursor.execute(session_statement(self.server_version, self._settings.statement_limit))
        except _CLIENT_FAILURES as error:
            self.close()
            raise self._translated(error) from None

    def _make_link(self) -> pymysql.Connection[DictCursor]:
        settings = self._settings
        return pymysql.Connection(
            host=self.key.host,
            port=self.key.port,
            user=settings.user,
            password=settings.password.encode(),
            charset="utf8mb4",
            connect_timeout=settings.connect_timeout.total_seconds(),
            read_timeout=settings.read_timeout.total_seconds(),
            write_timeout=settings.write_timeout.total_seconds(),
            ssl=settings.tls,
            ssl_disabled=settings.tls is None,
            client_flag=CLIENT.MULTI_STATEMENTS,
            program_name=settings.program_name,
            autocommit=True,
            cursorclass=DictCursor,
            defer_connect=True,
        )

    def query(self, sql: str) -> Sequence[Row]:
        """Run one statement and return its rows, columns by name; none for a statement without a result.

        Raises:
            PrivilegeMissing, AccessDenied, StatementFailed: Refused; the connection still works.
            ServerTimeout, ConnectionLost: The connection is closed.
        """
        return self.query_each(sql)[0]

    def query_each(self, *statements: str) -> list[Sequence[Row]]:
        """Run reading statements in one round trip; return the rows of each.

        Raises:
            As `query`, for the first statement that fails: those after it did not run, and the rows of those before it
            are in the error's `completed`.
        """
        if self._link is None:
            raise ConnectionLost(str(self.key), 2006, "the connection is closed")
        results: list[Sequence[Row]] = []
        try:
            with self._link.cursor() as cursor:
                cursor.execute("; ".join(statements))
                results.append(cursor.fetchall())
                while cursor.nextset():
                    results.append(cursor.fetchall())
        except _CLIENT_FAILURES as error:
            translated = self._translated(error)
            translated.completed = results
            if isinstance(translated, ServerTimeout | ConnectionLost):
                self.close()
            raise translated from None
        if len(results) != len(statements):
            problem = f"{len(statements)} statements gave {len(results)} results: give one statement at a time"
            raise StatementFailed(str(self.key), 0, problem)
        return results

    def set_read_timeout(self, timeout: timedelta) -> None:
        """Change the longest wait for each packet of the answers from now on."""
        if self._link is not None:
            self._link._read_timeout = timeout.total_seconds()  # type: ignore[attr-defined]

    def fileno(self) -> int:
        """Return the socket's file descriptor, for an event loop to watch while no statement runs; -1 when closed."""
        current = self._current_socket()
        return -1 if current is None else current.fileno()

    def _current_socket(self) -> socket.socket | None:
        """Return the socket in use: with TLS not the one we made, but the one pymysql wrapped around it."""
        wrapped: socket.socket | None = getattr(self._link, "_sock", None)
        return self._socket if wrapped is None else wrapped

    @property
    def connection_id(self) -> int:
        """The server's id of this session; 0 when closed."""
        return 0 if self._link is None else int(self._link.thread_id())  # type: ignore[no-untyped-call]

    @property
    def server_version(self) -> str:
        """What the server said of its version in the handshake; empty when closed."""
        return "" if self._link is None else str(self._link.get_server_info())  # type: ignore[no-untyped-call]

    @property
    def is_open(self) -> bool:
        """Whether statements can be tried."""
        return self._link is not None and bool(self._link.open)

    def abort(self) -> None:
        """End whatever runs on this connection, from any thread: the thread that waits gets `ConnectionLost`."""
        self._aborted = True
        current = self._current_socket()
        if current is not None:
            with suppress(OSError):
                # The descriptor stays open until its own thread closes it: no other file can get its number meanwhile.
                socket.socket.shutdown(current, socket.SHUT_RDWR)

    def quit(self) -> None:
        """Say good-bye, so that the server counts no aborted client, and close; never waits for an answer."""
        if self._link is not None and self.is_open:
            with suppress(pymysql.MySQLError, OSError):
                self._link.close()
        self.close()

    def close(self) -> None:
        """Close without a word to the server; harmless when closed already."""
        link, self._link = self._link, None
        if link is not None:
            link._force_close()  # type: ignore[attr-defined]
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _os_error(self, error: OSError) -> MysqlError:
        if isinstance(error, TimeoutError):
            return ServerTimeout(str(self.key), 0, "no connection in time")
        if isinstance(error, socket.gaierror):  # Its numbers are negative and the resolver's own: say it as MySQL does.
            return ServerUnreachable(str(self.key), _UNKNOWN_HOST, f"the host name is not known: {error.strerror}")
        return ServerUnreachable(str(self.key), error.errno or 0, error.strerror or str(error))

    def _translated(self, error: Exception) -> MysqlError:
        if not isinstance(error, pymysql.MySQLError):
            if isinstance(error, OSError):
                return self._os_error(error)
            return StatementFailed(str(self.key), 0, f"{type(error).__name__} in the client")
        number, problem = _facts(error)
        cause = getattr(error, "original_exception", None) or error.__context__
        if isinstance(cause, TimeoutError) or self._aborted:
            return ServerTimeout(str(self.key), 0, "no answer in time")
        if number in _UNREACHABLE and isinstance(cause, ConnectionError):
            return ConnectionLost(str(self.key), cause.errno or number, "the connection ended in the handshake")
        return _kind(number)(str(self.key), number, problem)


def _facts(error: pymysql.MySQLError) -> tuple[int, str]:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if isinstance(error, pymysql.InterfaceError):  # pymysql's word for a closed connection.
        return 2006, "the connection is closed"
    return number, str(error.args[1]) if len(error.args) > 1 else str(error)


def _kind(number: int) -> type[MysqlError]:
    for numbers, kind in (
        (_ACCESS_DENIED, AccessDenied),
        (_PRIVILEGE_MISSING, PrivilegeMissing),
        (_UNREACHABLE, ServerUnreachable),
        (_LOST, ConnectionLost),
    ):
        if number in numbers:
            return kind
    return StatementFailed
