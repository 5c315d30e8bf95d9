"""Streams to the other members, after the newest configuration: two lanes each, on channels of their own (16, M1).

A member that the configuration does not have, but that was let in with a newer one, is answered at the endpoint of its
hello. One that leaves the group is still reached for a while, so that it can be told (M7).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.raft.configuration import NO_MEMBERS, Configuration
from services.consensus.raft.messages import (
    AppendRequest,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.outputs import Outgoing
from services.consensus.wire.convert_raft import timeout_now_to_proto, vote_request_to_proto, vote_response_from_proto
from services.consensus.wire.greeting import Greeting, Introduction
from services.consensus.wire.lane import Lane, LaneEvents
from services.shared.runtime.status import RemoteError

log = logging.getLogger(__name__)

FAREWELL_S: Final = 15.0
"""How long a member that left the group is still reached."""
MAX_GUESTS: Final = 8
"""Members beyond the configuration that are answered."""
MAX_CALLS: Final = 8
"""Unary calls to one member at a time; more are dropped."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a member is, and the name its certificate has to show; empty = any."""

    endpoint: str
    name: str = ""


OpenPeerChannel = Callable[[PeerAddress], grpc.aio.Channel]
"""Makes a channel with a connection of its own; names are resolved at each connect (M9)."""


@dataclass(frozen=True, slots=True)
class PeerEvents:
    """What the streams tell.

    Attributes:
        receive: Takes answers to votes, and that this member was removed.
        unreachable: Told when an open stream to a member broke (W3).
        answer_vote: Takes the core's answer to a member's question.
        distrusted: Told why when a member says that this one's store forgot something (14.6).
    """

    receive: Callable[[Message], None]
    unreachable: Callable[[int], None]
    answer_vote: Callable[[int, PreVoteResponse | VoteResponse], None]
    distrusted: Callable[[str], None]


class PeerLink:
    """Both lanes and the unary calls of one peer."""

    def __init__(
        self,
        member_id: int,
        address: PeerAddress,
        open_channel: OpenPeerChannel,
        greeting: Greeting,
        events: PeerEvents,
        vote_timeout_s: float,
    ) -> None:
        """Make the streams; `run` opens them."""
        self.address = address
        self._member_id = member_id
        self._greeting = greeting
        self._events = events
        self._vote_timeout_s = vote_timeout_s
        self._refusal = ""
        self._calls: set[asyncio.Task[None]] = set()

        def lane(kind: pb.Hello.Lane.ValueType) -> Lane:
            told = LaneEvents(
                hello=lambda: greeting.make(member_id, kind),
                greeted=lambda hello: greeting.check_answer(hello, member_id),
                broke=lambda: events.unreachable(member_id),
                refused=self._refused,
            )
            return Lane(lambda: open_channel(address), told)

        self.control = lane(pb.Hello.LANE_CONTROL)
        self.data = lane(pb.Hello.LANE_DATA)

    @property
    def refusal(self) -> str:
        """Why the member refuses this one, or this one it; empty = it does not."""
        return self._refusal

    def send(self, message: Message) -> None:
        """Send a message on the lane it belongs to."""
        match message:
            case AppendRequest():
                self.data.send(message)
            case PreVoteRequest() | VoteRequest():
                self._call(self._ask_for_vote(message))
            case TimeoutNow():
                self._call(self._hand_over(message))
            case PreVoteResponse() | VoteResponse():
                pass  # Answered where it was asked; see the server.
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

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._calls) >= MAX_CALLS:
            work.close()
            return
        task = asyncio.ensure_future(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _ask_for_vote(self, message: PreVoteRequest | VoteRequest) -> None:
        channel = self.control.channel
        if channel is None:
            return
        request = vote_request_to_proto(message, self._greeting.make(self._member_id))
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError):
            response = await pb_grpc.RaftServiceStub(channel).Vote(request, timeout=self._vote_timeout_s)
            if response.member_id == self._member_id:
                pre_vote = isinstance(message, PreVoteRequest)
                self._events.receive(vote_response_from_proto(response, pre_vote=pre_vote))

    async def _hand_over(self, message: TimeoutNow) -> None:
        channel = self.control.channel
        if channel is None:
            return
        request = timeout_now_to_proto(message, self._greeting.make(self._member_id))
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError):
            await pb_grpc.RaftServiceStub(channel).TimeoutNow(request, timeout=self._vote_timeout_s)

    def _refused(self, error: RemoteError | None) -> None:
        why = "" if error is None else error.message
        if error is not None and error.reason == "MEMBER_REMOVED":
            self._removed(error)
        if why != self._refusal:
            self._refusal = why
            if why:
                log.error("consensus.peer_refuses", extra={"peer": self._member_id, "problem": why})
            if error is not None and error.reason == "STORE_FORGOTTEN":
                self._events.distrusted(why)

    def _removed(self, error: RemoteError) -> None:
        facts = error.metadata
        with contextlib.suppress(KeyError, ValueError):
            told = Removed(self._member_id, int(facts["term"]), int(facts["configuration_index"]))
            self._events.receive(told)


class Peers:
    """All streams of this member."""

    def __init__(
        self,
        member_id: int,
        greeting: Greeting,
        open_channel: OpenPeerChannel,
        events: PeerEvents,
        *,
        vote_timeout_s: float,
    ) -> None:
        """Begin without streams; `configure` names the members, `run` opens streams to them.

        Args:
            member_id: This member.
            greeting: Makes and checks hellos.
            open_channel: Makes channels.
            events: Where things are told.
            vote_timeout_s: Deadline of a unary call.
        """
        self._member_id = member_id
        self._greeting = greeting
        self._open_channel = open_channel
        self._events = events
        self._vote_timeout_s = vote_timeout_s
        self._links: dict[int, PeerLink] = {}
        self._guests: list[int] = []
        self._configuration = NO_MEMBERS
        self._running: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def configure(self, configuration: Configuration) -> None:
        """Follow a configuration: open streams to whom it names, learners included, at the endpoints it names."""
        self._configuration = configuration
        for member in configuration.members:
            if member.member_id != self._member_id:
                self._guests = [guest for guest in self._guests if guest != member.member_id]
                self._link(member.member_id, PeerAddress(member.raft_endpoint, member.name))
        for member_id in self._links.keys() - set(configuration.ids) - set(self._guests):
            asyncio.get_running_loop().call_later(FAREWELL_S, self._part, member_id)

    def heard(self, introduction: Introduction) -> None:
        """A member opened a stream to this one: it lives, so connect without waiting."""
        member_id = introduction.member_id
        if member_id not in self._configuration.ids and introduction.raft_endpoint:
            self._guests = [*(guest for guest in self._guests if guest != member_id), member_id]
            self._link(member_id, PeerAddress(introduction.raft_endpoint))
            for guest in self._guests[:-MAX_GUESTS]:
                self._part(guest)
        if member_id in self._links:
            self._links[member_id].connect_now()

    def send(self, outgoing: Outgoing) -> None:
        """Send one message, never blocking; it may get lost."""
        message = outgoing.message
        if isinstance(message, (PreVoteResponse, VoteResponse)):
            self._events.answer_vote(outgoing.to, message)
        elif outgoing.to in self._links:
            self._links[outgoing.to].send(message)

    def address(self, member_id: int) -> PeerAddress | None:
        """Return where a member is; None for a stranger."""
        link = self._links.get(member_id)
        return None if link is None else link.address

    def refusals(self) -> dict[int, str]:
        """Return why members and this one do not talk, by member; those that talk are absent."""
        return {member_id: link.refusal for member_id, link in sorted(self._links.items()) if link.refusal}

    async def run(self) -> None:
        """Keep all streams open until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for member_id in self._links:
                self._open(member_id)
            await asyncio.get_running_loop().create_future()

    def _link(self, member_id: int, address: PeerAddress) -> None:
        known = self._links.get(member_id)
        if known is not None and known.address == address:
            return
        self._close(member_id)
        self._links[member_id] = PeerLink(
            member_id, address, self._open_channel, self._greeting, self._events, self._vote_timeout_s
        )
        self._open(member_id)

    def _open(self, member_id: int) -> None:
        if self._group is not None:
            self._running[member_id] = self._group.create_task(self._links[member_id].run())

    def _close(self, member_id: int) -> None:
        self._links.pop(member_id, None)
        running = self._running.pop(member_id, None)
        if running is not None:
            running.cancel()
            self._events.unreachable(member_id)

    def _part(self, member_id: int) -> None:
        if member_id not in self._configuration.ids:
            self._guests = [guest for guest in self._guests if guest != member_id]
            self._close(member_id)
