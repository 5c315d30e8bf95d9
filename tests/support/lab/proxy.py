"""A stretch of network that can break: a TCP proxy in front of one listener."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tests.support.lab.ports import PortLease, lease_port

_HOST: Final = "127.0.0.1"
_CHUNK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 s: close() sends RST instead of FIN.

Spared = Callable[[int], bool]
"""Tells from the port a client connects from whether faults pass it by."""


class _State(enum.Enum):
    HEALTHY = enum.auto()
    CUT = enum.auto()
    HUNG = enum.auto()


class TcpProxy:
    """Forwards every connection to its own port to `host:port`; runs in the event loop that entered it.

    States: healthy (forwards, maybe with a delay), cut (connections reset, new ones refused), hung (connections open
    and accepted, nothing forwarded either way). It starts healthy. With clients to spare, it keeps listening for them
    while cut, so that the others are accepted and reset at once rather than refused.
    """

    def __init__(self, host: str, port: int, *, spared: Spared | None = None) -> None:
        """Forward to `host:port`, which need not listen yet."""
        self._upstream = (host, port)
        self._spared = spared
        self._lease: PortLease = lease_port()
        self._state = _State.HEALTHY
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def host(self) -> str:
        """Where it listens: always 127.0.0.1."""
        return _HOST

    @property
    def port(self) -> int:
        """Where it listens; stays the same while cut."""
        return self._lease.port

    @property
    def endpoint(self) -> str:
        """`host:port` where it listens."""
        return f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything, spared connections too; harmless when repeated."""
        self._refuse()
        await self._reset(list(self._connections))
        self._lease.release()

    async def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._state = _State.CUT
        if self._spared is None:
            self._refuse()
        await self._reset([connection for connection in self._connections if not connection.spared])

    async def hang(self) -> None:
        """Keep connections, accept new ones, forward nothing."""
        self._state = _State.HUNG
        self._steer()
        await self._listen()

    async def delay(self, delay_s: float) -> None:
        """Forward each piece that arrives so much later, one after the other: slow, and of little throughput."""
        self._state = _State.HEALTHY
        self._delay_s = delay_s
        self._steer()
        await self._listen()

    async def heal(self) -> None:
        """Forward again: connections that survived `hang` continue with what was held back."""
        self._state = _State.HEALTHY
        self._delay_s = 0.0
        self._steer()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self.serve, self.host, self.port, reuse_address=True)

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _reset(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.reset()
        await asyncio.gather(*(connection.ended.wait() for connection in connections))

    def _steer(self) -> None:
        for connection in self._connections:
            self._steer_one(connection)

    def _steer_one(self, connection: _Connection) -> None:
        connection.delay_s = 0.0 if connection.spared else self._delay_s
        connection.flow(self._state is not _State.HUNG or connection.spared)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat an open connection like one that was made to this proxy's port."""
        spared = self._spared is not None and self._spared(writer.get_extra_info("peername")[1])
        if self._state is _State.CUT and not spared:
            _abort(writer)
            return
        connection = _Connection(reader, writer, spared=spared)
        self._steer_one(connection)
        self._connections.add(connection)
        try:
            await connection.run(*self._upstream)
        finally:
            self._connections.discard(connection)


class _Connection:
    """One client's connection and its counterpart to the upstream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spared: bool) -> None:
        self.spared = spared
        self.delay_s = 0.0
        self.ended = asyncio.Event()
        self._reader = reader
        self._writers = [writer]
        self._flowing = asyncio.Event()
        self._reset = asyncio.Event()

    def flow(self, on: bool) -> None:
        """Forward, or hold back what arrives from now on."""
        if on:
            self._flowing.set()
        else:
            self._flowing.clear()

    def reset(self) -> None:
        """End it now, with RST to both sides."""
        self._reset.set()

    async def run(self, host: str, port: int) -> None:
        """Forward until one side ends or `reset`; a failure of one side becomes a reset of the other."""
        forwarding = asyncio.create_task(self._forward(host, port))
        resetting = asyncio.create_task(self._reset.wait())
        try:
            await asyncio.wait((forwarding, resetting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            forwarding.cancel()
            resetting.cancel()
            # Looked at and passed over: how the network failed is not the proxy's failure.
            await asyncio.gather(forwarding, resetting, return_exceptions=True)
            for writer in self._writers:
                _abort(writer)
            self.ended.set()

    async def _forward(self, host: str, port: int) -> None:
        await self._flowing.wait()
        reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump(self._reader, writer))
            both.create_task(self._pump(reader, self._writers[0]))
        for each in self._writers:  # Both sides said goodbye: no reset then.
            each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        await self._flowing.wait()
        writer.write_eof()


def _abort(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        return
    peer: socket.socket | None = writer.get_extra_info("socket")
    if peer is not None:
        with contextlib.suppress(OSError):  # The other side was faster.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
