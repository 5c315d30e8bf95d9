"""Queues of the streams to peers, and who is let in."""

from __future__ import annotations

from typing import Any

import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.messages import AppendAck, AppendReject, AppendRequest, Heartbeat, VoteRefusal, VoteResponse
from services.consensus.peers import MAX_QUEUE, LaneQueue
from services.consensus.raft_server import Greeting, PeerRefused, VoteDesk


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


@pytest.fixture
def greeting() -> Greeting:
    """Member 1 of a group of two."""
    return Greeting("g", 1, "i1", "b1", {1: "node1", 2: "node2"})


def hello(**change: Any) -> pb.Hello:
    facts = {"protocol_min": 1, "protocol_max": 2, "group_id": "g", "member_id": 2, "to_member_id": 1}
    return pb.Hello(**{**facts, **change})


def test_member_of_the_group_is_let_in(greeting: Greeting) -> None:
    assert greeting.check(hello(), None) == 2
    assert greeting.check(hello(), frozenset({"node2", "other"})) == 2


@pytest.mark.parametrize(
    ("change", "names", "says"),
    [
        pytest.param({"protocol_min": 2}, None, "protocol", id="too-new"),
        pytest.param({"protocol_max": 0, "protocol_min": 0}, None, "protocol", id="too-old"),
        pytest.param({"group_id": "h"}, None, "group", id="another-group"),
        pytest.param({"to_member_id": 3}, None, "endpoint", id="wrong-address"),
        pytest.param({"member_id": 9}, None, "not another member", id="stranger"),
        pytest.param({"member_id": 1}, None, "not another member", id="itself"),
        pytest.param({}, frozenset({"node3"}), "certificate", id="certificate-of-another"),
    ],
)
def test_stranger_is_refused(
    greeting: Greeting, change: dict[str, Any], names: frozenset[str] | None, says: str
) -> None:
    with pytest.raises(PeerRefused, match=says):
        greeting.check(hello(**change), names)


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
