"""Queues of the streams to peers, who is reached, and how answers find their callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api.server import ERRORS
from services.consensus.raft.configuration import Configuration, GroupMember, configuration_of
from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    Message,
    Removed,
    TimeoutNow,
    VoteRefusal,
    VoteResponse,
)
from services.consensus.raft.outputs import Outgoing
from services.consensus.wire.greeting import Greeting, GroupView, Self
from services.consensus.wire.lane import MAX_QUEUE, LaneQueue
from services.consensus.wire.peers import PeerAddress, PeerEvents, Peers
from services.consensus.wire.raft_server import RaftServicer, VoteDesk
from services.shared.runtime.grpc_server import ErrorInterceptor
from tests.support.eventually import eventually


def beat(round_: int) -> Heartbeat:
    return Heartbeat(1, 1, 0, 0, 0, round_)


def ack(match_index: int) -> AppendAck:
    return AppendAck(1, 1, match_index, 0, 0)


def append(prev_index: int) -> AppendRequest:
    return AppendRequest(1, 1, prev_index, 1, (), 0, 0, 0)


async def drain(queue: LaneQueue, count: int) -> list[object]:
    return [await queue.get() for _ in range(count)]


async def test_newer_heartbeat_and_ack_replace_unsent_older_ones() -> None:
    queue = LaneQueue()
    refusal = AppendReject(1, 1, 5, 4, 1, 0, 0)
    for message in (beat(1), ack(7), refusal, beat(2), ack(8)):
        queue.put(message)
    assert await drain(queue, 3) == [refusal, beat(2), ack(8)]


async def test_queue_is_bounded_and_drops_the_oldest() -> None:
    queue = LaneQueue()
    for index in range(MAX_QUEUE + 2):
        queue.put(append(index))
    assert await drain(queue, MAX_QUEUE) == [append(index) for index in range(2, MAX_QUEUE + 2)]


async def test_answer_goes_to_the_call_that_asked() -> None:
    desk = VoteDesk()
    pre_vote = desk.expect(2, pre_vote=True, term=5)
    vote = desk.expect(2, pre_vote=False, term=5)
    answer = VoteResponse(1, 5, 5, VoteRefusal.NONE)
    desk.answer(2, VoteResponse(1, 4, 4, VoteRefusal.NONE))
    desk.answer(2, answer)
    assert vote.result() == answer
    assert not pre_vote.done()


async def test_repeated_question_takes_over() -> None:
    desk = VoteDesk()
    first, second = (desk.expect(2, pre_vote=False, term=5) for _ in range(2))
    desk.answer(2, VoteResponse(1, 5, 5, VoteRefusal.NONE))
    assert first.cancelled()
    assert second.done()


# Streams between members that are objects of this process, over real connections.


class End:
    """One member's side of the wire, with what it heard."""

    def __init__(self, member_id: int, configuration: Configuration, index: int = 1) -> None:
        self.member_id = member_id
        self.view = GroupView(1, configuration, index, configuration, index)
        self.received: list[Message] = []
        self.lost: list[int] = []
        self.distrusted: list[str] = []

    async def start(self, port: int = 0) -> None:
        votes = VoteDesk()
        self.server = grpc.aio.server(interceptors=(ErrorInterceptor("consensus", ERRORS),))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.endpoint = f"127.0.0.1:{self.port}"
        myself = Self(self.member_id, f"store{self.member_id}", "boot", self.endpoint)
        self.greeting = Greeting(myself, "g", lambda: self.view, lambda _: None)
        self.peers = Peers(
            self.member_id,
            self.greeting,
            self._open,
            PeerEvents(self.received.append, self.lost.append, votes.answer, self.distrusted.append),
            vote_timeout_s=1,
        )
        nobody: Any = None
        servicer = RaftServicer(
            self.greeting, votes, nobody, nobody, self.received.append, self.peers.heard, vote_timeout_s=1
        )
        pb_grpc.add_RaftServiceServicer_to_server(servicer, self.server)
        await self.server.start()
        self.running = asyncio.ensure_future(self.peers.run())

    def follow(self, configuration: Configuration, index: int) -> None:
        self.view = GroupView(1, configuration, index, configuration, index)
        self.peers.configure(configuration)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait((self.running,))
        await self.server.stop(None)

    def send(self, to: int, message: Message) -> None:
        self.peers.send(Outgoing(to, message))

    @staticmethod
    def _open(address: PeerAddress) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(address.endpoint, options=(("grpc.use_local_subchannel_pool", 1),))


def group_of(*ends: End) -> Configuration:
    return configuration_of(
        GroupMember(end.member_id, name=f"node{end.member_id}", raft_endpoint=end.endpoint) for end in ends
    )


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, ...]]:
    """Three members that know nobody yet."""
    made = tuple(End(member_id, Configuration(())) for member_id in (1, 2, 3))
    for end in made:
        await end.start()
    yield made
    for end in made:
        await end.stop()


async def delivered(sender: End, receiver: End, message: Message) -> None:
    """Send until it arrives: what is sent before the streams are open is lost."""

    async def arrived() -> bool:
        sender.send(receiver.member_id, message)
        await asyncio.sleep(0.01)
        return message in receiver.received

    await eventually(arrived, within=5)


async def test_member_is_reached_once_the_configuration_has_it(ends: tuple[End, ...]) -> None:
    one, two, three = ends
    both = group_of(one, two)
    one.follow(both, 1)
    two.follow(both, 1)
    await delivered(one, two, beat(1))
    one.send(3, beat(9))
    everybody = group_of(one, two, three)
    for end in ends:
        end.follow(everybody, 5)
    await delivered(one, three, beat(2))
    await delivered(one, three, append(4))
    assert beat(9) not in three.received


async def test_member_that_is_behind_answers_a_leader_it_does_not_know(ends: tuple[End, ...]) -> None:
    one, two, three = ends
    two.follow(group_of(two, three), 1)
    one.follow(group_of(one, two, three), 7)
    await delivered(one, two, beat(1))
    await delivered(two, one, AppendAck(2, 1, 3, 0, 0))


async def test_changed_endpoint_is_followed(ends: tuple[End, ...]) -> None:
    one, two, three = ends
    elsewhere = GroupMember(2, name="node2", raft_endpoint=three.endpoint)
    one.follow(group_of(one).with_member(elsewhere, 1), 1)
    two.follow(group_of(one, two), 1)
    await eventually(lambda: "endpoint wrong" in one.peers.refusals().get(2, "") or None, within=5)
    one.follow(group_of(one, two), 2)
    await delivered(one, two, beat(1))
    assert one.peers.refusals() == {}


async def test_removed_member_is_told_when_it_knocks(ends: tuple[End, ...]) -> None:
    one, two, three = ends
    three.follow(group_of(one, two, three), 1)
    without = group_of(one, two)
    one.view = GroupView(4, without, 9, without, 9)
    await eventually(lambda: Removed(1, 4, 9) in three.received or None, within=5)


async def test_member_removed_while_its_stream_is_open_is_told_at_its_next_word(ends: tuple[End, ...]) -> None:
    one, two, three = ends
    everybody = group_of(*ends)
    for end in ends:
        end.follow(everybody, 1)
    await delivered(three, one, Heartbeat(3, 1, 0, 0, 0, 1))
    one.follow(group_of(one, two), 9)
    three.send(1, Heartbeat(3, 1, 0, 0, 0, 2))
    await eventually(lambda: Removed(1, 1, 9) in three.received or None, within=5)
    assert Heartbeat(3, 1, 0, 0, 0, 2) not in one.received


async def test_timeout_now_arrives(ends: tuple[End, ...]) -> None:
    one, two, _ = ends
    both = group_of(one, two)
    one.follow(both, 1)
    two.follow(both, 1)
    await delivered(one, two, TimeoutNow(1, 6))


async def test_broken_stream_is_reported_and_opened_again(ends: tuple[End, ...]) -> None:
    one, two, _ = ends
    both = group_of(one, two)
    one.follow(both, 1)
    two.follow(both, 1)
    await delivered(one, two, beat(1))
    await two.stop()
    await eventually(lambda: 2 in one.lost or None, within=5)
    await two.start(two.port)
    await delivered(one, two, beat(2))
