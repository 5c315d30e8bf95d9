"""One stream to one member: a bounded queue, one writer task, opened again whenever it breaks (W2, W3)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.raft.messages import AppendAck, Heartbeat, HeartbeatAck
from services.consensus.wire.convert_raft import StreamMessage, frame_of
from services.consensus.wire.greeting import PeerRefused
from services.shared.runtime.grpc_client import end_if_cancelled
from services.shared.runtime.status import RemoteError, parse_error

MAX_QUEUE: Final = 256
CONNECT_TIMEOUT_S: Final = 1.0
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 1.0
_REPLACEABLE: Final = (Heartbeat, HeartbeatAck, AppendAck)

OpenChannel = Callable[[], grpc.aio.Channel]
"""Makes a channel to the member with a connection of its own; its name is resolved anew each time (M9)."""


class LaneQueue:
    """What a stream has to send: bounded, newest of a replaceable kind only."""

    def __init__(self) -> None:
        self._items: OrderedDict[object, StreamMessage] = OrderedDict()
        self._filled = asyncio.Event()
        self._number = 0

    def put(self, message: StreamMessage) -> None:
        """Queue a message; the oldest goes when there are too many."""
        if isinstance(message, _REPLACEABLE):
            self._items.pop(type(message), None)
            self._items[type(message)] = message
        else:
            if len(self._items) >= MAX_QUEUE:
                self._items.popitem(last=False)
            self._number += 1
            self._items[self._number] = message
        self._filled.set()

    async def get(self) -> StreamMessage:
        """Return the oldest message, waiting for one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.popitem(last=False)[1]

    def clear(self) -> None:
        """Drop everything."""
        self._items.clear()


@dataclass(frozen=True, slots=True)
class LaneEvents:
    """What a lane tells.

    Attributes:
        hello: Makes the first frame.
        greeted: Takes the first frame of the other side; raises `PeerRefused` when that is not whom we called.
        broke: The open stream ended (W3).
        refused: The other side, or `greeted`, refused; None = it is open.
    """

    hello: Callable[[], pb.Hello]
    greeted: Callable[[pb.Hello], object]
    broke: Callable[[], None]
    refused: Callable[[RemoteError | None], None]


class Lane:
    """One stream to one member. What it is given while it is not open is dropped: the core repeats what matters."""

    def __init__(self, open_channel: OpenChannel, events: LaneEvents) -> None:
        """Make a lane; `run` opens it."""
        self.channel: grpc.aio.Channel | None = None
        self.connected = False
        self._open_channel = open_channel
        self._events = events
        self._queue = LaneQueue()
        self._again = asyncio.Event()

    def send(self, message: StreamMessage) -> None:
        """Queue a message if the stream is open."""
        if self.connected:
            self._queue.put(message)

    def connect_now(self) -> None:
        """Do not wait any longer before the next attempt: the member was just heard."""
        self._again.set()

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        backoff_s = BACKOFF_MIN_S
        while True:
            self._again.clear()
            try:
                await self._session()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
                end_if_cancelled()
                self._note(error)
            except PeerRefused as error:
                self._events.refused(RemoteError(grpc.StatusCode.FAILED_PRECONDITION, "PEER_REFUSED", str(error), {}))
            backoff_s = BACKOFF_MIN_S if self.connected else min(backoff_s * 2, BACKOFF_MAX_S)
            if self.connected:
                self.connected = False
                self._events.broke()
            pause_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311  Jitter, not a secret.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._again.wait()

    async def _session(self) -> None:
        self.channel = self._open_channel()
        try:
            call = pb_grpc.RaftServiceStub(self.channel).Append()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await call.write(pb.AppendRequest(hello=self._events.hello()))
                first: Any = await call.read()
            if first is grpc.aio.EOF:
                return
            self._events.greeted(first.hello)
            self._queue.clear()
            self.connected = True
            self._events.refused(None)
            await self._pump(call)
        finally:
            channel, self.channel = self.channel, None
            await channel.close()

    async def _pump(self, call: grpc.aio.StreamStreamCall[pb.AppendRequest, pb.AppendResponse]) -> None:
        writer = asyncio.ensure_future(self._write(call))
        try:
            # The other side sends nothing after its hello: this returns when the stream ends.
            await call.read()
        finally:
            writer.cancel()
            await asyncio.wait((writer,))
            if not writer.cancelled():
                writer.exception()

    async def _write(self, call: grpc.aio.StreamStreamCall[pb.AppendRequest, pb.AppendResponse]) -> None:
        while True:
            await call.write(frame_of(await self._queue.get()))

    def _note(self, error: BaseException) -> None:
        if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            self._events.refused(parse_error(error))
