"""What one process sends to others, each through a stretch of network of its own.

All processes of a group name one another by the same endpoints; so who connects is not told by where it connects to.
gRPC asks the HTTP proxy of its environment (`grpc_proxy`) for a tunnel to each endpoint: that is where it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from tests.support.lab.ports import PortLease, lease_port
from tests.support.lab.proxy import TcpProxy

_HOST: Final = "127.0.0.1"
_MAX_HEAD: Final = 8192


class Uplink:
    """The proxy of one process: carries a tunnel to an endpoint over the link to it."""

    def __init__(self, links: Mapping[str, TcpProxy]) -> None:
        """Take the links by `host:port` of their far end; whatever is not among them is not reached."""
        self._links = links
        self._lease: PortLease = lease_port()
        self._server: asyncio.Server | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the process needs in its environment."""
        return {"grpc_proxy": f"http://{_HOST}:{self._lease.port}", "no_proxy": "", "no_grpc_proxy": ""}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, _HOST, self._lease.port, limit=_MAX_HEAD)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self._lease.release()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        link = self._links.get(target)
        if method != "CONNECT" or link is None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await link.serve(reader, writer)
