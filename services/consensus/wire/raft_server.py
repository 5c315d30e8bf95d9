"""The peers' side of the wire: hello first, then frames to the member loop (16)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.raft.messages import Message, PreVoteResponse, VoteResponse
from services.consensus.wire.convert_raft import (
    MalformedFrame,
    message_of,
    timeout_now_from_proto,
    vote_request_from_proto,
    vote_response_to_proto,
)
from services.consensus.wire.forward import ForwardDesk
from services.consensus.wire.greeting import Greeting, Introduction, PeerRefused
from services.consensus.wire.snapshot_transfer import SnapshotReceiver
from services.shared.runtime.errors import DependencyUnavailable

T = TypeVar("T")

HELLO_S: Final = 2.0
"""How long a stream may stay silent before its first frame."""


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
        votes: VoteDesk,
        snapshots: SnapshotReceiver,
        forwarded: ForwardDesk,
        receive: Callable[[Message], None],
        heard: Callable[[Introduction], None],
        *,
        vote_timeout_s: float,
    ) -> None:
        """Take what serves each call.

        Args:
            greeting: Decides who is let in.
            votes: Brings answers of the core.
            snapshots: Takes snapshots.
            forwarded: Answers calls that members forward.
            receive: Takes messages for the core.
            heard: Told when a member opened a stream.
            vote_timeout_s: Longest wait for the answer to a candidate.
        """
        self._greeting = greeting
        self._votes = votes
        self._snapshots = snapshots
        self._forwarded = forwarded
        self._receive = receive
        self._heard = heard
        self._vote_timeout_s = vote_timeout_s

    async def Vote(self, request: pb.VoteRequest, context: Any) -> pb.VoteResponse:
        """Answer a candidate."""
        self._greeting.check(request.hello, certified_names(context))
        message = vote_request_from_proto(request)
        future = self._votes.expect(message.sender, pre_vote=request.pre_vote, term=message.term)
        self._receive(message)
        await asyncio.wait((future,), timeout=self._vote_timeout_s)
        if not future.done() or future.cancelled():
            future.cancel()
            raise DependencyUnavailable("vote", "it did not become durable in time, or was asked for again")
        return vote_response_to_proto(future.result())

    async def TimeoutNow(self, request: pb.TimeoutNowRequest, context: Any) -> pb.TimeoutNowResponse:
        """Take over from a leader that has surrendered (8.1)."""
        self._greeting.check(request.hello, certified_names(context))
        self._receive(timeout_now_from_proto(request))
        return pb.TimeoutNowResponse()

    async def Append(
        self, request_iterator: AsyncIterator[pb.AppendRequest], context: Any
    ) -> AsyncIterator[pb.AppendResponse]:
        """Take a member's messages until its stream ends."""
        first = await first_of(request_iterator)
        if first is None:
            return
        caller = self._greeting.check(first.hello, certified_names(context))
        yield pb.AppendResponse(hello=self._greeting.make(caller.member_id, first.hello.lane))
        self._heard(caller)
        async for frame in request_iterator:
            try:
                message = message_of(frame, caller.member_id)
            except MalformedFrame as error:
                raise PeerRefused(str(error)) from error
            self._greeting.recheck(caller)
            self._receive(message)

    async def InstallSnapshot(
        self, request_iterator: AsyncIterator[pb.InstallSnapshotRequest], context: Any
    ) -> AsyncIterator[pb.InstallSnapshotResponse]:
        """Take a snapshot."""
        first = await first_of(request_iterator)
        if first is None:
            return
        caller = self._greeting.check(first.hello, certified_names(context))
        async for response in self._snapshots.receive(caller.member_id, first.snapshot, request_iterator):
            yield response

    async def Forward(
        self, request_iterator: AsyncIterator[pb.ForwardRequest], context: Any
    ) -> AsyncIterator[pb.ForwardResponse]:
        """Answer calls that a member forwards."""
        first = await first_of(request_iterator)
        if first is None:
            return
        self._greeting.check(first.hello, certified_names(context))
        async for response in self._forwarded.serve(request_iterator):
            yield response


async def first_of(requests: AsyncIterator[T]) -> T | None:
    """Return the first frame of a stream; None when it ended without one.

    Raises:
        PeerRefused: It did not come in time.
    """
    try:
        async with asyncio.timeout(HELLO_S):
            return await anext(requests, None)
    except TimeoutError:
        raise PeerRefused(f"no hello within {HELLO_S:g} s") from None


def certified_names(context: grpc.aio.ServicerContext[Any, Any]) -> frozenset[str] | None:
    """Return the names in the caller's certificate; None without TLS."""
    facts = context.auth_context()
    if tuple(facts.get("transport_security_type", ())) != (b"ssl",):
        return None
    names = (*facts.get("x509_subject_alternative_name", ()), *facts.get("x509_common_name", ()))
    return frozenset(name.decode("utf-8", "replace") for name in names)
