"""A relay in front of a MySQL server that loses a connection in the middle of a COMMIT."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from enum import Enum, auto
from typing import Final

_COMMIT: Final = b"\x03COMMIT"


class Cut(Enum):
    """Where the connection ends at the next COMMIT."""

    BEFORE = auto()
    """The server never sees it."""
    AFTER = auto()
    """The server has carried it out and answered; nobody hears that."""
    HALF = auto()
    """As AFTER, and the server believes that the connection lives."""


class CommitCutter:
    """Relays connections; a COMMIT that was announced to `cut_next_commit` ends its connection."""

    def __init__(self, host: str, port: int) -> None:
        """Name the server."""
        self._server = (host, port)
        self._cut: Cut | None = None
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> CommitCutter:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def cut_next_commit(self, cut: Cut) -> None:
        """Cut the connection on which the next COMMIT comes."""
        self._cut = cut

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._open += (client, server)
                threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the test closed a socket under `select`.
            while True:
                readable, _, _ = select.select([client, server], [], [])
                source = readable[0]
                data = source.recv(65_536)
                cut = self._cut if source is client and data.endswith(_COMMIT) else None
                if not data or cut is Cut.BEFORE:
                    break
                (server if source is client else client).sendall(data)
                if cut is not None:
                    server.recv(65_536)
                    break
        kept, self._cut = self._cut, None
        client.close()
        if kept is not Cut.HALF:
            server.close()
