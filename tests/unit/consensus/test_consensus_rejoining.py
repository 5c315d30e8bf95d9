"""When a member that lost its store may begin anew (14.6)."""

from __future__ import annotations

import pytest
from google.protobuf import duration_pb2
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.group_caller import group_seen
from services.consensus.raft.configuration import GroupMember, MemberKind, configuration_of
from services.consensus.rejoin import GroupSeen, rejoin_blocker


def seen(*unfit: int, changing: bool = False, lost_id: int = 2) -> GroupSeen:
    """Return a group of voters a, b, c and a learner d, as its leader sees it; b lost its store."""
    members = (
        GroupMember(1, name="a"),
        GroupMember(lost_id, name="b"),
        GroupMember(3, name="c"),
        GroupMember(4, name="d", kind=MemberKind.LEARNER),
    )
    return GroupSeen(configuration_of(members), frozenset(unfit), changing)


@pytest.mark.parametrize(
    ("group", "name", "blocker"),
    [
        pytest.param(seen(2), "b", "", id="all-others-are-well"),
        pytest.param(seen(), "b", "", id="it-is-heard-but-distrusts-itself"),
        pytest.param(seen(2, 3), "b", "not all others are well: c", id="another-voter-is-not"),
        pytest.param(seen(2, 4), "b", "", id="learners-do-not-count"),
        pytest.param(seen(2, changing=True), "b", "the group is being changed", id="a-change-is-under-way"),
        pytest.param(seen(2), "e", "no member is named e: it was taken out of the group", id="taken-out"),
        pytest.param(seen(9, lost_id=9), "b", "", id="it-had-come-back-and-is-lost-again"),
        pytest.param(seen(lost_id=9), "b", "b is member 9 by now, and that one is well", id="its-place-is-taken"),
    ],
)
def test_store_is_given_up_only_while_nothing_depends_on_it(group: GroupSeen, name: str, blocker: str) -> None:
    assert rejoin_blocker(group, 2, name) == blocker


def peer(member_id: int, **fields: object) -> pb.PeerStatus:
    known = {"last_contact": duration_pb2.Duration(nanos=1), "store_health": "ok", **fields}
    return pb.PeerStatus(member=pb.Member(member_id=member_id), **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "unfit"),
    [
        pytest.param(peer(3), set(), id="well"),
        pytest.param(peer(3, store_health="slow"), set(), id="slow"),
        pytest.param(peer(3, last_contact=None), {3}, id="never-heard"),
        pytest.param(peer(3, last_contact=duration_pb2.Duration(seconds=4)), {3}, id="silent"),
        pytest.param(peer(3, quarantined=True), {3}, id="distrusts-itself"),
        pytest.param(peer(3, store_health="full"), {3}, id="cannot-write"),
    ],
)
def test_leader_tells_who_is_well(status: pb.PeerStatus, unfit: set[int]) -> None:
    assert group_seen(pb.GetStatusResponse(peers=[peer(1), status])).unfit == unfit


@pytest.mark.parametrize(
    ("status", "changing"),
    [
        pytest.param(pb.GetStatusResponse(), False, id="nothing"),
        pytest.param(pb.GetStatusResponse(draining=True), True, id="handover"),
        pytest.param(pb.GetStatusResponse(replacements=[pb.Replacement()]), True, id="replacement"),
    ],
)
def test_leader_tells_whether_the_group_is_being_changed(status: pb.GetStatusResponse, changing: bool) -> None:
    assert group_seen(status).changing is changing
