"""Requests that change the group: what is parsed, what is refused, and that a repeated one means the same."""

from __future__ import annotations

from typing import Any

import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.api.convert_group import (
    changed_member_from_request,
    member_id_from_request,
    member_to_proto,
    new_member_from_request,
    settings_from_request,
    settings_to_proto,
)
from services.consensus.raft.configuration import GroupMember, MemberKind
from services.consensus.state.group_settings import GroupSettings
from services.shared.runtime.errors import InvalidField

REQUEST = "6f2c1d0e-7a57-4c1c-9f0b-0d4f0c6a5b11"


def asked(**values: Any) -> pb.Member:
    return pb.Member(**{"name": "node4", "raft_endpoint": "h4:2", "api_endpoint": "h4:1", **values})


def test_new_member_is_a_learner_of_usual_preference() -> None:
    member = new_member_from_request(asked(member_id=4), "member", REQUEST)
    assert member == GroupMember(
        4, name="node4", raft_endpoint="h4:2", api_endpoint="h4:1", kind=MemberKind.LEARNER, preference=50
    )


def test_absent_id_is_drawn_from_the_request_so_that_a_repetition_means_the_same_member() -> None:
    first = new_member_from_request(asked(), "member", REQUEST)
    assert first.member_id > 0
    assert new_member_from_request(asked(), "member", REQUEST) == first
    assert new_member_from_request(asked(), "member", REQUEST[:-1] + "2").member_id != first.member_id


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"name": ""}, "member.name", id="no-name"),
        pytest.param({"raft_endpoint": ""}, "member.raft_endpoint", id="no-raft-endpoint"),
        pytest.param({"raft_endpoint": "host"}, "member.raft_endpoint", id="no-port"),
        pytest.param({"api_endpoint": "h:99999"}, "member.api_endpoint", id="port-too-large"),
        pytest.param({"preference": 101}, "member.preference", id="preference"),
        pytest.param({"member_id": 2**63}, "member.member_id", id="id-beyond-the-column"),
    ],
)
def test_malformed_member_is_refused_by_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        new_member_from_request(asked(**values), "member", REQUEST)
    assert refused.value.field == field


def test_update_leaves_what_is_not_given() -> None:
    known = GroupMember(4, "store", "node4", "h4:2", "h4:1", "h4:3", "east", 30, MemberKind.LEARNER)
    assert changed_member_from_request(pb.Member(member_id=4), known) == known
    moved = changed_member_from_request(pb.Member(member_id=4, raft_endpoint="h5:2", preference=0), known)
    assert moved == GroupMember(4, "store", "node4", "h5:2", "h4:1", "h4:3", "east", 0, MemberKind.LEARNER)


def test_promotion_in_waiting_survives_an_update() -> None:
    known = GroupMember(4, name="node4", kind=MemberKind.LEARNER, auto_promote=True)
    assert changed_member_from_request(pb.Member(member_id=4, site="west"), known).auto_promote


@pytest.mark.parametrize("member_id", [0, 2**63])
def test_id_no_member_can_have_is_refused(member_id: int) -> None:
    with pytest.raises(InvalidField):
        member_id_from_request(member_id)


def test_settings_are_the_same_there_and_back() -> None:
    settings = GroupSettings(60_000_000, 300_000_000, 600_000_000, 10_000)
    assert settings_from_request(settings_to_proto(settings)) == settings
    assert settings_from_request(pb.GroupSettings()) == GroupSettings(0, 0, 0, 0)


def test_member_shows_what_it_counts_for() -> None:
    shown = member_to_proto(GroupMember(1, kind=MemberKind.LEARNER, preference=0))
    assert shown is not None
    assert (shown.kind, shown.preference) == (pb.MEMBER_KIND_LEARNER, 0)
