"""The peers' side of the wire: hello first, then frames to the member loop (16)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.convert_raft import (
    MalformedFrame,
    message_of,
    vote_request_from_proto,
    vote_response_to_proto,
)
from services.consensus.messages import Message, PreVoteResponse, VoteResponse
from services.shared.runtime.errors import DependencyUnavailable, DomainError

PROTOCOL: Final = 1


@dataclass
class PeerRefused(DomainError):
    """A caller that is not a member of this group, or not one this member can talk to (W1)."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Greeting:
    """Makes and checks the first frame of a stream."""

    def __init__(self, group_id: str, member_id: int, incarnation: str, boot_id: str, names: Mapping[int, str]) -> None:
        """Take who this member is, and the names of all members by id."""
        self._group_id = group_id
        self._member_id = member_id
        self._incarnation = incarnation
        self._boot_id = boot_id
        self._names = names

    def make(self, to_member_id: int, lane: pb.Hello.Lane.ValueType) -> pb.Hello:
        """Return the hello to a member."""
        return pb.Hello(
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            group_id=self._group_id,
            member_id=self._member_id,
            to_member_id=to_member_id,
            incarnation=self._incarnation,
            boot_id=self._boot_id,
            lane=lane,
        )

    def check(self, hello: pb.Hello, certified_names: frozenset[str] | None) -> int:
        """Return who speaks.

        Args:
            hello: What it says of itself.
            certified_names: Names in its certificate; None without TLS.

        Raises:
            PeerRefused: Protocol, group, member, or certificate do not fit.
        """
        if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
            raise PeerRefused(f"protocol {hello.protocol_min}..{hello.protocol_max} is not spoken here, {PROTOCOL} is")
        if hello.group_id != self._group_id:
            raise PeerRefused(f"this is group {self._group_id}, not {hello.group_id}: do the lists of members differ?")
        if hello.to_member_id != self._member_id:
            raise PeerRefused(f"this is member {self._member_id}, not {hello.to_member_id}: is its endpoint wrong?")
        name = self._names.get(hello.member_id)
        if name is None or hello.member_id == self._member_id:
            raise PeerRefused(f"member {hello.member_id} is not another member of this group")
        if certified_names is not None and name not in certified_names:
            raise PeerRefused(f"the certificate is not that of member {name}")
        return hello.member_id


class VoteDesk:
    """Brings the core's answers to the calls that wait for them."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, bool, int], asyncio.Future[PreVoteResponse | VoteResponse]] = {}

    def expect(self, member_id: int, *, pre_vote: bool, term: int) -> asyncio.Future[PreVoteResponse | VoteResponse]:
        """Return the answer to come; a repeated question takes over from the one before."""
        key = (member_id, pre_vote, term)
        before = self._waiting.get(key)
        if before is not None:
            before.cancel()
        future: asyncio.Future[PreVoteResponse | VoteResponse] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        future.add_done_callback(lambda done: self._forget(key, done))
        return future

    def answer(self, member_id: int, message: PreVoteResponse | VoteResponse) -> None:
        """Take an answer of the core; nobody may be waiting any more."""
        key = (member_id, isinstance(message, PreVoteResponse), message.request_term)
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result(message)

    def _forget(self, key: tuple[int, bool, int], done: asyncio.Future[Any]) -> None:
        if self._waiting.get(key) is done:
            del self._waiting[key]


class RaftServicer(pb_grpc.RaftServiceServicer):
    """Serves the other members."""

    def __init__(
        self,
        greeting: Greeting,
        desk: VoteDesk,
        receive: Callable[[Message], None],
        heard: Callable[[int], None],
        vote_timeout_s: float,
    ) -> None:
        self._greeting = greeting
        self._desk = desk
        self._receive = receive
        self._heard = heard
        self._vote_timeout_s = vote_timeout_s

    async def Vote(self, request: pb.VoteRequest, context: Any) -> pb.VoteResponse:  # noqa: N802
        """Answer a candidate."""
        self._greeting.check(request.hello, certified_names(context))
        message = vote_request_from_proto(request)
        future = self._desk.expect(message.sender, pre_vote=request.pre_vote, term=message.term)
        self._receive(message)
        await asyncio.wait((future,), timeout=self._vote_timeout_s)
        if not future.done() or future.cancelled():
            future.cancel()
            raise DependencyUnavailable("vote", "it did not become durable in time, or was asked for again")
        return vote_response_to_proto(future.result())

    async def Append(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AppendRequest], context: Any
    ) -> AsyncIterator[pb.AppendResponse]:
        """Take a member's messages until its stream ends."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        sender = self._greeting.check(first.hello, certified_names(context))
        yield pb.AppendResponse(hello=self._greeting.make(sender, first.hello.lane))
        self._heard(sender)
        async for frame in request_iterator:
            try:
                self._receive(message_of(frame, sender))
            except MalformedFrame as error:
                raise PeerRefused(str(error)) from error


def certified_names(context: grpc.aio.ServicerContext[Any, Any]) -> frozenset[str] | None:
    """Return the names in the caller's certificate; None without TLS."""
    facts = context.auth_context()
    if tuple(facts.get("transport_security_type", ())) != (b"ssl",):
        return None
    names = (*facts.get("x509_subject_alternative_name", ()), *facts.get("x509_common_name", ()))
    return frozenset(name.decode("utf-8", "replace") for name in names)
