"""What is read again, how often, and for which findings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.analysis.emergency import Emergencies
from services.analysis.kinds import FindingKind
from services.analysis.model import Finding
from services.shared.topology.key import InstanceKey
from tests.unit.analysis.builders import PRIMARY, at

K = FindingKind
SOURCE, REPLICA = InstanceKey("top", 3306), InstanceKey("db1", 3306)


def finding(kind: FindingKind) -> Finding:
    """Return a finding that began at the start of the story."""
    return Finding(PRIMARY, kind, sources=(SOURCE,), replicas=(REPLICA,), detect_time=at(0))


# Section 6.2; the source of a primary is nobody, so its replicas are read in its place.
READ = {
    K.UNREACHABLE_PRIMARY: (PRIMARY, REPLICA),
    K.DEAD_PRIMARY_AND_REPLICAS: (PRIMARY, REPLICA),
    K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS: (PRIMARY,),
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING: (PRIMARY,),
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD: (PRIMARY,),
    K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY: (SOURCE,),
}


@pytest.mark.parametrize("kind", FindingKind)
def test_a_finding_asks_for_what_the_reference_reads(kind: FindingKind) -> None:
    assert Emergencies().due([finding(kind)], at(2), limit=9) == READ.get(kind, ())


def test_an_instance_is_read_once_a_second_whoever_asks() -> None:
    emergencies = Emergencies()
    both = [finding(K.UNREACHABLE_PRIMARY), finding(K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING)]
    assert emergencies.due(both, at(2), limit=9) == (PRIMARY, REPLICA)
    assert emergencies.due(both, at(2.9), limit=9) == ()
    assert emergencies.due(both, at(3), limit=9) == (PRIMARY, REPLICA)


def test_a_young_finding_is_left_to_the_burst() -> None:
    assert Emergencies().due([finding(K.UNREACHABLE_PRIMARY)], at(0.9), limit=9) == ()


def test_downtime_leaves_servers_alone() -> None:
    emergencies = Emergencies()
    young = finding(K.UNREACHABLE_PRIMARY)
    for skipped in (replace(young, downtimed=True), replace(young, replicas_downtimed=True)):
        assert emergencies.due([skipped], at(2), limit=9) == ()


def test_what_does_not_fit_is_due_next_time() -> None:
    emergencies = Emergencies()
    assert emergencies.due([finding(K.UNREACHABLE_PRIMARY)], at(2), limit=1) == (PRIMARY,)
    assert emergencies.due([finding(K.UNREACHABLE_PRIMARY)], at(2), limit=1) == (REPLICA,)


def test_a_clock_that_goes_back_stops_nothing() -> None:
    emergencies = Emergencies()
    emergencies.due([finding(K.UNREACHABLE_PRIMARY)], at(100), limit=9)
    assert emergencies.due([finding(K.UNREACHABLE_PRIMARY)], at(2), limit=9) == (PRIMARY, REPLICA)
