"""A server that speaks as much of MySQL's protocol as a probe needs, and answers what a test wants.

For what real servers do not do on demand: refuse one statement, answer too much, never answer.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from services.shared.topology.key import InstanceKey

Rows = Sequence[dict[str, str | None]]
Answer = Rows | tuple[int, str] | None
"""Rows with the same columns; a refusal (number, text); None: done, without rows."""

_CAPABILITIES = 0x0001 | 0x0200 | 0x8000 | 0x0001_0000 | 0x0002_0000 | 0x0008_0000
"""LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH."""
_AUTOCOMMIT = 0x0002
_MORE_RESULTS = 0x0008


@dataclass
class MysqlStandIn:
    """What the server was asked, and what it answers.

    Attributes:
        key: Where it listens.
        answer: Called in a thread of the connection with each statement of a round trip; may block.
        version: What it says of itself in the handshake.
        statements: All statements it was asked, in order.
        round_trips: The same, as they came.
        connections: How many were made.
    """

    key: InstanceKey
    answer: Callable[[str], Answer]
    version: str
    statements: list[str] = field(default_factory=list)
    round_trips: list[str] = field(default_factory=list)
    connections: int = 0

    def serve(self, client: socket.socket) -> None:
        """Serve one connection until it ends."""
        with client, suppress(OSError):
            self.connections += 1
            _send(client, self._greeting(), 0)
            _receive(client)
            _send(client, _ok(more=False), 2)
            while (command := _receive(client)) and command[0] == 3:
                self._answer(client, command[1:].decode())

    def _greeting(self) -> bytes:
        low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
        facts = struct.pack("<HBHHB", low, 45, _AUTOCOMMIT, high, 21)
        head = b"\x0a" + self.version.encode() + b"\0" + struct.pack("<I", self.connections)
        return head + b"s" * 8 + b"\0" + facts + bytes(10) + b"s" * 12 + b"\0" + b"mysql_native_password\0"

    def _answer(self, client: socket.socket, text: str) -> None:
        self.round_trips.append(text)
        statements, number = text.split(";"), 1
        for place, statement in enumerate(statements, 1):
            self.statements.append(statement.strip())
            answer = self.answer(statement.strip())
            if isinstance(answer, tuple):
                error, problem = answer
                _send(client, b"\xff" + struct.pack("<H", error) + b"#HY000" + problem.encode(), number)
                return
            more = place < len(statements)
            packets = [_ok(more=more)] if answer is None else _result(answer, more=more)
            for packet in packets:
                _send(client, packet, number)
                number += 1


@contextmanager
def mysql_stand_in(answer: Callable[[str], Answer], version: str = "8.4.2") -> Iterator[MysqlStandIn]:
    """Serve connections on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = MysqlStandIn(InstanceKey("127.0.0.1", listener.getsockname()[1]), answer, version)
        clients: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    clients.append(client)
                    threading.Thread(target=server.serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)


def _send(client: socket.socket, payload: bytes, number: int) -> None:
    client.sendall(len(payload).to_bytes(3, "little") + bytes([number % 256]) + payload)


def _receive(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    return _exactly(client, int.from_bytes(head[:3], "little")) if head else b""


def _exactly(client: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = client.recv(count - len(received))
        if not part:
            return b""
        received += part
    return received


def _status(*, more: bool) -> bytes:
    return struct.pack("<H", _AUTOCOMMIT | (_MORE_RESULTS if more else 0))


def _ok(*, more: bool) -> bytes:
    return b"\0\0\0" + _status(more=more) + b"\0\0"


def _result(rows: Rows, *, more: bool) -> list[bytes]:
    names = list(rows[0]) if rows else ["nothing"]
    end = b"\xfe\0\0" + _status(more=more)
    cells = [b"".join(b"\xfb" if value is None else _text(value) for value in row.values()) for row in rows]
    return [bytes([len(names)]), *(_column(name) for name in names), end, *cells, end]


def _column(name: str) -> bytes:
    facts = struct.pack("<HIBHBH", 45, 1024, 253, 0, 0, 0)
    return _text("def") + b"\0\0\0" + _text(name) + b"\0" + b"\x0c" + facts


def _text(value: str) -> bytes:
    data = value.encode()
    assert len(data) < 251, "longer texts need another length"
    return bytes([len(data)]) + data
