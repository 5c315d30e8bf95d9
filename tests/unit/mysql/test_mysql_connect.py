"""Connections that fail, against sockets of our own; those that succeed are in the integration tests."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.shared.mysql.connect import (
    AccessDenied,
    ConnectionLost,
    ConnectionSettings,
    MysqlConnection,
    MysqlError,
    ServerTimeout,
    ServerUnreachable,
    StatementFailed,
    tls_context,
)
from services.shared.topology.key import InstanceKey
from tests.support.mysql_stand_in import mysql_stand_in

SETTINGS = ConnectionSettings("user", "se-cret", connect_timeout=timedelta(milliseconds=200))


@contextmanager
def server(behaviour: Callable[[socket.socket], None]) -> Iterator[InstanceKey]:
    """A server that does something to its one client, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                behaviour(client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield InstanceKey("127.0.0.1", listener.getsockname()[1])
        thread.join(10)


def packet(payload: bytes, number: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def error_packet(number: int, text: str) -> bytes:
    return packet(b"\xff" + number.to_bytes(2, "little") + b"#HY000" + text.encode())


def wait_for_the_end(client: socket.socket) -> None:
    client.recv(1)


@pytest.mark.parametrize(
    ("behaviour", "kind", "number"),
    [
        pytest.param(wait_for_the_end, ServerTimeout, 0, id="silent"),
        pytest.param(lambda client: None, ConnectionLost, 2013, id="hangs_up"),
        pytest.param(
            lambda client: client.sendall(error_packet(1040, "Too many connections")), StatementFailed, 1040, id="full"
        ),
        pytest.param(
            lambda client: client.sendall(error_packet(1130, "Host is not allowed")), AccessDenied, 1130, id="not_let"
        ),
        pytest.param(
            lambda client: client.sendall(error_packet(1053, "Server shutdown")), ConnectionLost, 1053, id="going_down"
        ),
        pytest.param(lambda client: client.sendall(packet(b"HTTP")), StatementFailed, 0, id="no_mysql"),
    ],
)  # fmt: skip
def test_failed_connect_is_told_apart(
    behaviour: Callable[[socket.socket], None], kind: type[MysqlError], number: int
) -> None:
    with server(behaviour) as key, pytest.raises(MysqlError) as caught:
        MysqlConnection.connect(key, SETTINGS)
    assert type(caught.value) is kind
    assert caught.value.number == number
    assert caught.value.endpoint == str(key)
    assert "se-cret" not in f"{caught.value!r} {caught.value} {SETTINGS!r}"


def test_refused_connect_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        key = InstanceKey("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(ServerUnreachable) as caught:
        MysqlConnection.connect(key, SETTINGS)
    assert caught.value.number == 111


def test_unknown_host_is_unreachable_with_a_number_that_a_message_can_carry() -> None:
    with pytest.raises(ServerUnreachable) as failed:
        MysqlConnection.connect(InstanceKey("no-such-host.invalid", 3306), SETTINGS)
    assert failed.value.number == 2005


def test_abort_from_another_thread_ends_a_connect_that_hangs() -> None:
    patient = ConnectionSettings("user", "", connect_timeout=timedelta(seconds=60), read_timeout=timedelta(seconds=60))
    accepted = threading.Event()

    def accept_and_wait(client: socket.socket) -> None:
        accepted.set()
        wait_for_the_end(client)

    with server(accept_and_wait) as key:
        connection = MysqlConnection(key, patient)

        def abort() -> None:
            accepted.wait(10)
            connection.abort()

        aborter = threading.Thread(target=abort)
        aborter.start()
        with pytest.raises(ServerTimeout):
            connection.open()
        aborter.join()


def test_closed_connection_refuses_statements() -> None:
    connection = MysqlConnection(InstanceKey("127.0.0.1", 1), SETTINGS)
    connection.close()
    assert connection.fileno() == -1
    assert not connection.is_open
    with pytest.raises(ConnectionLost):
        connection.query("SELECT 1")


@pytest.mark.parametrize(
    ("version", "limit"),
    [
        pytest.param("8.4.2", "max_execution_time = 1000", id="mysql"),
        pytest.param("5.5.5-10.11.6-MariaDB-log", "max_statement_time = 1.000", id="mariadb"),
    ],
)
def test_session_that_only_reads_is_in_utc_and_waits_for_nothing_long(version: str, limit: str) -> None:
    with mysql_stand_in(lambda sql: None, version) as server:
        MysqlConnection.connect(server.key, replace(SETTINGS, statement_limit=timedelta(seconds=1))).close()
        MysqlConnection.connect(server.key, SETTINGS).close()
    (setup,) = [sql for sql in server.statements if sql.startswith("SET SESSION")]
    for part in ("time_zone = '+00:00'", "sql_mode = ''", "wait_timeout = 3600", "lock_wait_timeout = 1", limit):
        assert part in setup


def test_tls_context_verifies_only_when_told_to() -> None:
    assert tls_context(None, verify=True).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(None, verify=False).verify_mode is ssl.CERT_NONE


def test_tls_authorities_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="ascii")
    with pytest.raises(OSError, match="no certificate"):
        tls_context(tmp_path / "ca.pem", verify=True)
