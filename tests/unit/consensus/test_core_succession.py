"""When a leader hands over by itself (8.2, 8.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.consensus.raft.configuration import GroupMember, MemberKind, configuration_of
from services.consensus.raft.model import MILLISECOND, Role, StoreHealth
from services.consensus.raft.outputs import CoreStatus, LeaderLease, PeerProgress, ReplicationState
from services.consensus.raft.succession import PAUSE_NS, Handover, HandoverReason, Succession, fit_successors

SECOND = 1_000 * MILLISECOND
NOW = 1_000 * SECOND
GROUP = configuration_of(
    [
        GroupMember(1, preference=50),
        GroupMember(2, preference=50),
        GroupMember(3, preference=80),
        GroupMember(4, preference=0),
        GroupMember(5, preference=99, kind=MemberKind.LEARNER),
    ]
)


def _peer(member_id: int, match_index: int = 100, heard_at: int | None = NOW) -> PeerProgress:
    return PeerProgress(
        member_id, match_index, match_index + 1, ReplicationState.REPLICATE, heard_at, match_index, StoreHealth.OK
    )


def _status(*peers: PeerProgress, role: Role = Role.LEADER, ready: bool = True) -> CoreStatus:
    return CoreStatus(
        member_id=1,
        role=role,
        term=1,
        voted_for=1,
        leader=1,
        commit_index=100,
        applied_index=100,
        last_index=100,
        last_term=1,
        durable_index=100,
        promise_until=0,
        leader_contact_at=NOW,
        lease=LeaderLease(1, 1, 0),
        peers=peers,
        quorum_have=3,
        quorum_need=3,
        store_health=StoreHealth.OK,
        configuration=GROUP,
        ready=ready,
    )


def _watch() -> Succession:
    return Succession(election_min=300 * MILLISECOND, stable_ns=30 * SECOND, grace_ns=3 * SECOND)


def _fit(*peers: PeerProgress) -> list[int]:
    return [peer.member_id for peer in fit_successors(peers, GROUP, 100, NOW - SECOND)]


@pytest.mark.parametrize(
    ("peer", "fit"),
    [
        pytest.param(_peer(2), True, id="well"),
        pytest.param(_peer(2, match_index=36), True, id="within-64-entries"),
        pytest.param(_peer(2, match_index=35), False, id="behind"),
        pytest.param(replace(_peer(2), ready=False), False, id="not-ready"),
        pytest.param(replace(_peer(2), quarantined=True), False, id="quarantined"),
        pytest.param(replace(_peer(2), store_health=StoreHealth.STALLED), False, id="store-stalled"),
        pytest.param(replace(_peer(2), store_health=StoreHealth.SLOW), True, id="store-slow"),
        pytest.param(_peer(2, heard_at=None), False, id="never-heard"),
        pytest.param(_peer(2, heard_at=NOW - SECOND), False, id="silent"),
        pytest.param(_peer(4), False, id="preference-0"),
        pytest.param(_peer(5), False, id="learner"),
        pytest.param(_peer(6), False, id="former-member"),
    ],
)
def test_who_is_fit(peer: PeerProgress, fit: bool) -> None:
    assert _fit(peer) == ([peer.member_id] if fit else [])


def test_best_comes_first() -> None:
    """8.1: preference, then match."""
    assert _fit(_peer(2, match_index=100), _peer(3, match_index=50)) == [3, 2]
    assert _fit(_peer(1, match_index=50), _peer(2, match_index=60)) == [2, 1]
    assert _fit(_peer(2), _peer(1)) == [1, 2]


def _decide(watch: Succession, status: CoreStatus, at: int, *, busy: bool = False) -> Handover | None:
    fresh = tuple(replace(peer, heard_at=at) for peer in status.peers)
    return watch.decide(replace(status, peers=fresh), at, busy=busy)


def test_preferred_voter_takes_over_when_it_was_fit_for_long_enough() -> None:
    watch, status = _watch(), _status(_peer(2), _peer(3))
    assert _decide(watch, status, NOW) is None
    assert _decide(watch, status, NOW + 29 * SECOND) is None
    assert _decide(watch, status, NOW + 30 * SECOND) == Handover(3, HandoverReason.PREFERENCE)


def test_unfit_moment_starts_the_wait_anew() -> None:
    watch, status = _watch(), _status(_peer(3))
    _decide(watch, status, NOW)
    _decide(watch, _status(replace(_peer(3), ready=False)), NOW + 20 * SECOND)
    _decide(watch, status, NOW + 21 * SECOND)
    assert _decide(watch, status, NOW + 50 * SECOND) is None
    assert _decide(watch, status, NOW + 51 * SECOND) is not None


def test_leader_of_preference_0_hands_over_at_once() -> None:
    """8.2: it leads as a last resort only."""
    tie_breaker = replace(_status(_peer(2)), member_id=4)
    assert _decide(_watch(), tie_breaker, NOW) == Handover(2, HandoverReason.PREFERENCE)


def test_equal_preference_changes_nothing() -> None:
    watch, status = _watch(), _status(_peer(2))
    _decide(watch, status, NOW)
    assert _decide(watch, status, NOW + 100 * SECOND) is None


def test_preference_waits_for_a_recovery_and_for_five_minutes() -> None:
    watch, status = _watch(), _status(_peer(3))
    _decide(watch, status, NOW)
    assert _decide(watch, status, NOW + 40 * SECOND, busy=True) is None
    assert _decide(watch, status, NOW + 50 * SECOND) is not None
    assert _decide(watch, status, NOW + 60 * SECOND) is None
    assert _decide(watch, status, NOW + 50 * SECOND + PAUSE_NS) is not None


def test_unready_leader_hands_over_after_the_grace_even_during_a_recovery() -> None:
    watch, status = _watch(), _status(_peer(2), ready=False)
    assert _decide(watch, status, NOW) is None
    assert _decide(watch, status, NOW + 2 * SECOND) is None
    assert _decide(watch, status, NOW + 3 * SECOND, busy=True) == Handover(2, HandoverReason.READINESS)


def test_readiness_in_between_starts_the_grace_anew() -> None:
    watch = _watch()
    _decide(watch, _status(_peer(2), ready=False), NOW)
    _decide(watch, _status(_peer(2)), NOW + 2 * SECOND)
    _decide(watch, _status(_peer(2), ready=False), NOW + 3 * SECOND)
    assert _decide(watch, _status(_peer(2), ready=False), NOW + 5 * SECOND) is None


def test_silence_is_measured_by_the_group_settings_of_the_day() -> None:
    watch, status = _watch(), _status(_peer(2, heard_at=NOW - 500 * MILLISECOND), ready=False)
    watch.decide(status, NOW - 100 * SECOND, busy=False)
    assert watch.decide(status, NOW, busy=False) is None
    watch.retime(1 * SECOND)
    assert watch.decide(status, NOW, busy=False) == Handover(2, HandoverReason.READINESS)


def test_leader_outside_its_configuration_prefers_nobody() -> None:
    others = configuration_of([member for member in GROUP.members if member.member_id != 1])
    watch, status = _watch(), replace(_status(_peer(3)), configuration=others)
    _decide(watch, status, NOW)
    assert _decide(watch, status, NOW + 60 * SECOND) is None


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(_status(replace(_peer(2), ready=False), ready=False), id="nobody-is-ready"),
        pytest.param(_status(_peer(2), ready=False, role=Role.FOLLOWER), id="does-not-lead"),
        pytest.param(replace(_status(_peer(2), ready=False), draining=True), id="hands-over-already"),
    ],
)
def test_it_stays_when_it_cannot_hand_over(status: CoreStatus) -> None:
    watch = _watch()
    _decide(watch, status, NOW)
    assert _decide(watch, status, NOW + 60 * SECOND) is None
