"""Who is let in, and what strangers are told (W1, M7, 14.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.raft.configuration import NO_MEMBERS, GroupMember, configuration_of
from services.consensus.wire.greeting import Greeting, GroupView, MemberRemoved, PeerRefused, Self

MYSELF = Self(1, "i1", "b1", "n1:50055", (1, 2))
GROUP = configuration_of(
    (GroupMember(1, name="node1"), GroupMember(2, "i2", name="node2"), GroupMember(3, name="node3"))
)
VIEW = GroupView(4, GROUP, 7, GROUP, 7)


def greeting_of(view: GroupView, group_id: str = "g") -> tuple[Greeting, list[str]]:
    adopted: list[str] = []
    return Greeting(MYSELF, group_id, lambda: view, adopted.append), adopted


def hello(**change: Any) -> pb.Hello:
    facts = {
        "protocol_min": 1,
        "protocol_max": 2,
        "group_id": "g",
        "member_id": 2,
        "to_member_id": 1,
        "incarnation": "i2",
        "configuration_index": 7,
        "group_version_min": 1,
        "group_version_max": 1,
        "raft_endpoint": "n2:50055",
    }
    return pb.Hello(**{**facts, **change})


def test_member_is_let_in_and_remembered() -> None:
    greeting, _ = greeting_of(VIEW)
    assert greeting.check(hello(), None).member_id == 2
    assert greeting.check(hello(), frozenset({"node2", "other"})).member_id == 2
    assert greeting.introductions[2].incarnation == "i2"
    assert greeting.introductions[2].group_versions == (1, 1)


def test_own_hello_says_what_this_member_is() -> None:
    greeting, _ = greeting_of(VIEW)
    made = greeting.make(2, pb.Hello.LANE_DATA)
    assert (made.group_id, made.member_id, made.to_member_id, made.incarnation) == ("g", 1, 2, "i1")
    assert (made.configuration_index, made.group_version_min, made.group_version_max) == (7, 1, 2)
    assert (made.raft_endpoint, made.lane) == ("n1:50055", pb.Hello.LANE_DATA)


@pytest.mark.parametrize(
    ("change", "names", "says"),
    [
        pytest.param({"protocol_min": 2}, None, "protocol", id="too-new"),
        pytest.param({"protocol_max": 0, "protocol_min": 0}, None, "protocol", id="too-old"),
        pytest.param({"group_id": "h"}, None, "this is group g", id="another-group"),
        pytest.param({"group_id": ""}, None, "names no group", id="no-group"),
        pytest.param({"to_member_id": 3}, None, "endpoint", id="wrong-address"),
        pytest.param({"member_id": 9, "configuration_index": 0}, None, "add it first", id="stranger"),
        pytest.param({"member_id": 9}, None, "taken out", id="removed"),
        pytest.param({"member_id": 1}, None, "not another member", id="itself"),
        pytest.param({"member_id": 0}, None, "not another member", id="nobody"),
        pytest.param({}, frozenset({"node3"}), "certificate", id="certificate-of-another"),
        pytest.param({}, frozenset(), "certificate", id="certificate-without-names"),
        pytest.param({"incarnation": "i9"}, None, "had store i2, not i9", id="lost-its-store"),
        pytest.param({"group_version_max": 3, "group_version_min": 2}, None, "speaks version 1", id="versions"),
    ],
)
def test_stranger_is_refused_with_a_reason(change: dict[str, Any], names: frozenset[str] | None, says: str) -> None:
    greeting, _ = greeting_of(VIEW)
    with pytest.raises(PeerRefused, match=says):
        greeting.check(hello(**change), names)
    assert greeting.introductions == {}


def test_member_that_cannot_speak_the_groups_version_is_refused() -> None:
    greeting, _ = greeting_of(replace(VIEW, group_version=2))
    with pytest.raises(PeerRefused, match="speaks version 2"):
        greeting.check(hello(), None)


def test_removed_member_learns_since_when() -> None:
    greeting, _ = greeting_of(VIEW)
    with pytest.raises(MemberRemoved) as told:
        greeting.check(hello(member_id=9, configuration_index=3), None)
    assert (told.value.term, told.value.configuration_index) == (4, 7)


def test_member_of_a_newer_configuration_is_let_in() -> None:
    greeting, _ = greeting_of(VIEW)
    assert greeting.check(hello(member_id=9, configuration_index=8), None).raft_endpoint == "n2:50055"


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(replace(VIEW, committed=GROUP.without(2, 7)), id="only-newest"),
        pytest.param(replace(VIEW, newest=GROUP.without(2, 7)), id="only-committed"),
    ],
)
def test_member_of_either_configuration_is_let_in(view: GroupView) -> None:
    greeting, _ = greeting_of(view)
    assert greeting.check(hello(configuration_index=1), None).member_id == 2


def test_incarnation_seen_first_holds_until_the_group_records_one() -> None:
    greeting, _ = greeting_of(VIEW)
    greeting.check(hello(member_id=3, incarnation="first"), None)
    with pytest.raises(PeerRefused, match="lost what it promised"):
        greeting.check(hello(member_id=3, incarnation="second"), None)


def test_member_without_a_group_joins_the_one_that_greets_it() -> None:
    greeting, adopted = greeting_of(GroupView(0, NO_MEMBERS, 0, NO_MEMBERS, 0), group_id="")
    greeting.check(hello(), None)
    assert adopted == ["g"]
    assert greeting.make(2).group_id == "g"
    with pytest.raises(PeerRefused, match="this is group g"):
        greeting.check(hello(group_id="h"), None)
    assert adopted == ["g"]


def test_refused_caller_is_no_group_to_join() -> None:
    greeting, adopted = greeting_of(GroupView(), group_id="")
    with pytest.raises(PeerRefused):
        greeting.check(hello(to_member_id=2), None)
    assert adopted == []


def test_answer_of_another_member_is_refused() -> None:
    greeting, _ = greeting_of(VIEW)
    with pytest.raises(PeerRefused, match="member 2 answers where member 3 was called"):
        greeting.check_answer(hello(), 3)
    assert greeting.check_answer(hello(), 2).member_id == 2


def test_member_let_in_before_is_refused_once_removed() -> None:
    views = [VIEW]
    greeting = Greeting(MYSELF, "g", lambda: views[-1], lambda _: None)
    caller = greeting.check(hello(), None)
    greeting.recheck(caller)
    less = GROUP.without(2, 7)
    views.append(replace(VIEW, newest=less, newest_index=8))
    greeting.recheck(caller)
    views.append(GroupView(4, less, 8, less, 8))
    with pytest.raises(MemberRemoved):
        greeting.recheck(caller)
