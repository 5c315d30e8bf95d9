"""Streams to the other members: two lanes each, on channels of their own, one writer task a stream (16).

A lane that is not connected drops what it is given: the core repeats what matters. A newer heartbeat or acknowledgement
replaces an unsent older one (W2).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.convert_raft import (
    StreamMessage,
    frame_of,
    vote_request_to_proto,
    vote_response_from_proto,
)
from services.consensus.messages import (
    AppendAck,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from services.consensus.outputs import Outgoing

log = logging.getLogger(__name__)

MAX_QUEUE: Final = 256
CONNECT_TIMEOUT_S: Final = 1.0
BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 1.0
_REPLACEABLE: Final = (Heartbeat, HeartbeatAck, AppendAck)

OpenChannel = Callable[[str], grpc.aio.Channel]
MakeHello = Callable[[int, "pb.Hello.Lane.ValueType"], pb.Hello]


class LaneQueue:
    """What a stream has to send: bounded, newest of a replaceable kind only."""

    def __init__(self) -> None:
        self._items: deque[StreamMessage] = deque()
        self._filled = asyncio.Event()

    def put(self, message: StreamMessage) -> None:
        """Queue a message; the oldest goes when there are too many."""
        if isinstance(message, _REPLACEABLE):
            self._items = deque(item for item in self._items if type(item) is not type(message))
        elif len(self._items) >= MAX_QUEUE:
            self._items.popleft()
        self._items.append(message)
        self._filled.set()

    async def get(self) -> StreamMessage:
        """Return the oldest message, waiting for one."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return self._items.popleft()

    def clear(self) -> None:
        """Drop everything."""
        self._items.clear()


class Lane:
    """One stream to one member, opened again whenever it breaks (W3)."""

    def __init__(
        self,
        endpoint: str,
        open_channel: OpenChannel,
        hello: Callable[[], pb.Hello],
        broke: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        self.channel: grpc.aio.Channel | None = None
        self.connected = False
        self._endpoint = endpoint
        self._open_channel = open_channel
        self._hello = hello
        self._broke = broke
        self._refused = refused
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
                self._note(error)
            backoff_s = BACKOFF_MIN_S if self.connected else min(backoff_s * 2, BACKOFF_MAX_S)
            if self.connected:
                self.connected = False
                self._broke()
            pause_s = backoff_s * random.uniform(0.5, 1.0)  # noqa: S311  Jitter, not a secret.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._again.wait()

    async def _session(self) -> None:
        self.channel = self._open_channel(self._endpoint)
        try:
            call = pb_grpc.RaftServiceStub(self.channel).Append()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await call.write(pb.AppendRequest(hello=self._hello()))
                if await call.read() is grpc.aio.EOF:
                    return
            self._queue.clear()
            self.connected = True
            self._refused("")
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
            self._refused(error.details() or "")


class PeerLink:
    """Both lanes and the votes of one peer."""

    def __init__(
        self,
        member_id: int,
        endpoint: str,
        open_channel: OpenChannel,
        hello: MakeHello,
        receive: Callable[[Message], None],
        unreachable: Callable[[int], None],
        vote_timeout_s: float,
    ) -> None:
        def broke() -> None:
            unreachable(member_id)

        self._member_id = member_id
        self._endpoint = endpoint
        self._hello = hello
        self._receive = receive
        self._vote_timeout_s = vote_timeout_s
        self._refusal = ""
        self._votes: set[asyncio.Task[None]] = set()

        def lane(kind: pb.Hello.Lane.ValueType) -> Lane:
            return Lane(endpoint, open_channel, lambda: hello(member_id, kind), broke, self._refused)

        self.control = lane(pb.Hello.LANE_CONTROL)
        self.data = lane(pb.Hello.LANE_DATA)

    def send(self, message: Message) -> None:
        """Send a message on the lane it belongs to."""
        match message:
            case AppendRequest():
                self.data.send(message)
            case PreVoteRequest() | VoteRequest():
                task = asyncio.ensure_future(self._ask_for_vote(message))
                self._votes.add(task)
                task.add_done_callback(self._votes.discard)
            case PreVoteResponse() | VoteResponse():
                pass  # Answered where it was asked; see the server.
            case TimeoutNow() | Removed():
                pass
            case _:
                self.control.send(message)

    def connect_now(self) -> None:
        """The member was just heard: open what is not open."""
        self.control.connect_now()
        self.data.connect_now()

    async def run(self) -> None:
        """Keep both lanes open until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.control.run())
            group.create_task(self.data.run())

    async def _ask_for_vote(self, message: PreVoteRequest | VoteRequest) -> None:
        channel = self.control.channel
        if channel is None:
            return
        hello = self._hello(self._member_id, pb.Hello.LANE_UNSPECIFIED)
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError):
            response = await pb_grpc.RaftServiceStub(channel).Vote(
                vote_request_to_proto(message, hello), timeout=self._vote_timeout_s
            )
            if response.member_id == self._member_id:
                self._receive(vote_response_from_proto(response, pre_vote=isinstance(message, PreVoteRequest)))

    def _refused(self, why: str) -> None:
        if why != self._refusal:
            self._refusal = why
            if why:
                log.error("consensus.peer_refuses", extra={"peer": self._member_id, "problem": why})


class Peers:
    """All streams of this member."""

    def __init__(
        self,
        endpoints: Mapping[int, str],
        open_channel: OpenChannel,
        hello: MakeHello,
        receive: Callable[[Message], None],
        unreachable: Callable[[int], None],
        vote_timeout_s: float,
        answer_vote: Callable[[int, PreVoteResponse | VoteResponse], None],
    ) -> None:
        """Make the streams; `run` opens them.

        Args:
            endpoints: `host:port` of every other member, by id.
            open_channel: Makes a channel with a connection of its own.
            hello: Makes the first frame for a peer and lane.
            receive: Takes answers to votes.
            unreachable: Told when an open stream broke (W3).
            vote_timeout_s: Deadline of a vote.
            answer_vote: Takes the core's answer to a member's question.
        """
        self._links = {
            member_id: PeerLink(member_id, endpoint, open_channel, hello, receive, unreachable, vote_timeout_s)
            for member_id, endpoint in endpoints.items()
        }
        self._answer_vote = answer_vote

    def send(self, outgoing: Outgoing) -> None:
        """Send one message, never blocking; it may get lost."""
        message = outgoing.message
        if isinstance(message, (PreVoteResponse, VoteResponse)):
            self._answer_vote(outgoing.to, message)
        elif outgoing.to in self._links:
            self._links[outgoing.to].send(message)

    def heard(self, member_id: int) -> None:
        """A member opened a stream to this one: it lives, so connect without waiting."""
        if member_id in self._links:
            self._links[member_id].connect_now()

    async def run(self) -> None:
        """Keep all streams open until cancelled."""
        async with asyncio.TaskGroup() as group:
            for link in self._links.values():
                group.create_task(link.run())
