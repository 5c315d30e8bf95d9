"""Settings of consensus: who is in the group, and which durations go together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.consensus.raft.configuration import NO_MEMBERS
from services.consensus.raft.model import MILLISECOND
from services.consensus.settings import ConsensusSettings

MEMBERS: list[dict[str, Any]] = [
    {"member_id": number, "name": f"node{number}", "raft_endpoint": f"h{number}:2", "api_endpoint": f"h{number}:1"}
    for number in (2, 1, 3)
]


def made(**values: Any) -> ConsensusSettings:
    return ConsensusSettings.model_validate({"node": "node1", "members": MEMBERS, **values})


def test_node_picks_the_member() -> None:
    settings = made(node="node3")
    assert settings.member.member_id == 3
    assert [member.member_id for member in settings.group] == [1, 2, 3]
    assert settings.configuration().voters == (1, 2, 3)
    assert settings.core().member_id == 3


def test_group_is_the_same_on_every_node_and_whatever_the_addresses() -> None:
    moved = [{**member, "raft_endpoint": f"other{member['member_id']}:2"} for member in MEMBERS]
    assert made(node="node1").group_id == made(node="node2", members=moved).group_id
    assert made().group_id != made(members=MEMBERS[:2]).group_id
    assert made().group_id != made(group_name="staging").group_id


def test_node_without_members_is_a_group_of_its_own() -> None:
    settings = made(members=[], node="laptop", listen="127.0.0.1:1", raft_listen="127.0.0.1:2")
    assert settings.member.name == "laptop"
    assert (settings.member.api_endpoint, settings.member.raft_endpoint) == ("127.0.0.1:1", "127.0.0.1:2")
    assert settings.configuration().voters == (1,)


def test_durations_reach_the_core_in_nanoseconds() -> None:
    core = made(heartbeat="50ms", election_min="250ms", election_max="500ms", clock_drift=0.02).core()
    assert (core.heartbeat, core.election_min, core.election_max) == (
        50 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
    )
    assert core.clock_drift_ppm == 20_000


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"node": "node9"}, "none is named", id="not-a-member"),
        pytest.param({"members": [MEMBERS[0], {**MEMBERS[1], "member_id": 2}]}, "member_id is used twice", id="id"),
        pytest.param({"members": [MEMBERS[0], {**MEMBERS[1], "raft_endpoint": "h2:2"}]}, "used twice", id="endpoint"),
        pytest.param({"members": [{**MEMBERS[1], "member_id": 0}]}, "greater than or equal to 1", id="zero"),
        pytest.param({"members": [{**MEMBERS[1], "weight": 3}]}, "weight", id="unknown-field"),
        pytest.param({"heartbeat": "100ms"}, "heartbeat", id="heartbeat-above-a-quarter"),
        pytest.param({"election_max": "901ms"}, "election_max", id="election-max-above-three-times"),
        pytest.param({"election_max": "440ms"}, "one and a half", id="election-max-too-close"),
        pytest.param({"lease_margin": "9ms"}, "at least one tick", id="margin-below-a-tick"),
        pytest.param({"election_min": "300"}, "unit", id="duration-without-unit"),
        pytest.param({"max_uncommitted": "16MB"}, "not a size", id="size-in-no-unit-of-ours"),
        pytest.param({"metrics_listen": "nowhere"}, "host:port", id="metrics-without-port"),
        pytest.param({"join": True, "member_id": 4}, "of a new group", id="join-with-members"),
        pytest.param({"join": True, "members": []}, "needs member_id", id="join-without-id"),
        pytest.param({"member_id": 4}, "goes with join", id="id-without-join"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        made(**values)


def test_password_in_the_store_url_is_not_shown() -> None:
    assert "secret" not in repr(made(store_url="mysql://primacy:secret@db/own"))


def test_member_that_joins_knows_nobody_and_belongs_to_no_group_yet() -> None:
    settings = made(members=[], join=True, member_id=4, node="node4", api_endpoint="h4:1", raft_endpoint="h4:2")
    assert (settings.member.member_id, settings.member.name) == (4, "node4")
    assert (settings.member.api_endpoint, settings.member.raft_endpoint) == ("h4:1", "h4:2")
    assert (settings.group_id, settings.configuration()) == ("", NO_MEMBERS)
    assert settings.core().member_id == 4


def test_profile_for_distant_members_fills_in_what_is_not_given() -> None:
    far = made(profile="wan").core()
    assert (far.heartbeat, far.election_min, far.election_max) == (
        200 * MILLISECOND,
        1_200 * MILLISECOND,
        2_400 * MILLISECOND,
    )
    assert made(profile="wan", heartbeat="150ms").core().heartbeat == 150 * MILLISECOND


def test_preference_and_bounds_reach_whom_they_are_for() -> None:
    settings = made(members=[{**member, "preference": 10 * member["member_id"]} for member in MEMBERS])
    assert [member.preference for member in settings.configuration().members] == [10, 20, 30]
    bounded = made(max_inflight=7, max_batch=9, max_uncommitted="1MiB").core()
    assert (bounded.max_inflight, bounded.max_batch, bounded.max_uncommitted) == (7, 9, 1 << 20)


def test_member_that_came_back_waits_to_be_added_under_its_new_id_where_it_was() -> None:
    settings = made(node="node2").rejoined(77)
    member = settings.member
    assert (member.member_id, member.name, member.raft_endpoint, member.api_endpoint) == (77, "node2", "h2:2", "h2:1")
    assert (settings.configuration(), settings.group_id) == (NO_MEMBERS, "")
    assert settings.core().member_id == 77


def test_exporter_of_spans_has_to_be_installed() -> None:
    assert made(spans_exporter="console").spans_exporter == "console"
    with pytest.raises(ValidationError, match="installed: console"):
        made(spans_exporter="carrier-pigeon")
