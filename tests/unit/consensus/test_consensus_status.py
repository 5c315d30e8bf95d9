"""What a member says stands in its way, and what operators should look at (19)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, GroupMember, configuration_of
from services.consensus.raft.model import MILLISECOND, NOBODY, Role, StoreHealth
from services.consensus.raft.outputs import CoreStatus, LeaderLease, PeerProgress, ReplicationState
from services.consensus.raft.status import (
    Blocker,
    Circumstances,
    blockers,
    configuration_warnings,
    lag,
    spare,
    warnings,
)

E = 300 * MILLISECOND


def group(size: int) -> Configuration:
    return configuration_of(
        GroupMember(number, name=f"node{number}", raft_endpoint=f"h:{number}") for number in range(1, size + 1)
    )


def status(size: int = 3, **values: Any) -> CoreStatus:
    calm = CoreStatus(
        member_id=1,
        role=Role.LEADER,
        term=3,
        voted_for=1,
        leader=1,
        commit_index=20,
        applied_index=20,
        last_index=20,
        last_term=3,
        durable_index=20,
        promise_until=0,
        leader_contact_at=1,
        lease=LeaderLease(3, 1, 1),
        peers=(),
        quorum_have=size,
        quorum_need=size // 2 + 1,
        store_health=StoreHealth.OK,
        configuration=group(size),
    )
    return replace(calm, **values)


def peer(number: int, **values: Any) -> PeerProgress:
    return replace(PeerProgress(number, 20, 21, ReplicationState.REPLICATE, 1, 20, StoreHealth.OK), **values)


def test_nothing_stands_in_the_way_of_a_calm_group() -> None:
    assert blockers(Circumstances(status(), StoreHealth.OK)) == ()
    assert warnings(status(), E, NO_MEMBERS) == ()


@pytest.mark.parametrize(
    ("values", "health", "expected"),
    [
        pytest.param({"quorum_have": 1}, StoreHealth.OK, Blocker.NO_QUORUM, id="no-quorum"),
        pytest.param({"leader": NOBODY}, StoreHealth.OK, Blocker.NO_LEADER, id="no-leader"),
        pytest.param({}, StoreHealth.STALLED, Blocker.STORE_STALLED, id="stalled"),
        pytest.param({}, StoreHealth.FULL, Blocker.STORE_FAILED, id="full"),
        pytest.param({}, StoreHealth.FAILED, Blocker.STORE_FAILED, id="failed"),
        pytest.param({"quarantine": "behind"}, StoreHealth.OK, Blocker.QUARANTINED, id="quarantine"),
        pytest.param({"clock_drift_exceeded": True}, StoreHealth.OK, Blocker.CLOCK_DRIFT, id="drift"),
        pytest.param({"ready": False}, StoreHealth.OK, Blocker.NOT_READY, id="not-ready"),
        pytest.param({"commit_index": 20_000}, StoreHealth.OK, Blocker.CATCHING_UP, id="behind"),
        pytest.param({"removed": True}, StoreHealth.OK, Blocker.REMOVED, id="removed"),
    ],
)
def test_each_trouble_has_a_blocker_of_its_own(values: dict[str, Any], health: StoreHealth, expected: Blocker) -> None:
    assert blockers(Circumstances(status(**values), health)) == (expected,)


def test_slow_store_blocks_nothing() -> None:
    assert blockers(Circumstances(status(), StoreHealth.SLOW)) == ()


def test_version_above_what_this_member_speaks_blocks() -> None:
    seen = Circumstances(status(), StoreHealth.OK, group_version=2, max_group_version=1)
    assert blockers(seen) == (Blocker.VERSION,)


@pytest.mark.parametrize(("size", "warns"), [(1, False), (2, True), (3, False), (4, True), (5, False)])
def test_even_number_of_voters_is_warned_of(size: int, warns: bool) -> None:
    assert bool(configuration_warnings(group(size))) is warns


def test_timers_too_short_for_the_round_trip_are_warned_of() -> None:
    far = status(peers=(peer(2, rtt_ns=29 * MILLISECOND), peer(3, rtt_ns=31 * MILLISECOND)))
    assert warnings(far, E, NO_MEMBERS) == (
        "the round trip to node3 takes 31 ms: raise election_min to at least 310 ms",
    )


def test_list_in_the_settings_that_differs_from_the_group_is_warned_of() -> None:
    assert warnings(status(), E, group(3)) == ()
    assert len(warnings(status(), E, group(5))) == 1


def test_leader_without_a_voter_to_spare_names_who_is_missing() -> None:
    lonely = status(quorum_have=2, peers=(peer(2), peer(3, heard_at=None)))
    assert warnings(lonely, E, NO_MEMBERS) == ("no further voter may be lost; not heard in this term: node3",)
    assert warnings(replace(lonely, role=Role.FOLLOWER), E, NO_MEMBERS) == ()


def test_spare_and_lag_are_never_negative() -> None:
    assert spare(status(quorum_have=1)) == 0
    assert lag(status(last_index=20), peer(2, match_index=25)) == 0
    assert lag(status(last_index=20), peer(2, match_index=5)) == 15
