"""The coverage tables for primaries (failure analysis, section 5), over every topology of up to three replicas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from services.analysis.model import FindingKind, Limits
from services.shared.topology.instance import Instance
from tests.unit.analysis.builders import State, a_primary, a_replica, verdict

K = FindingKind
Profile = tuple[State, bool, bool]
"""State of a replica, whether it lags more than the limit, whether it is delayed on purpose."""

PROFILES: Sequence[Profile] = tuple(itertools.product(State, (False, True), (False, True)))
LIMITS = Limits()


def replicas_of(profiles: Sequence[Profile]) -> list[Instance]:
    """Return replicas of these profiles."""
    return [
        a_replica(number, state, lag=60 if lags else 3, delay=60 if delayed else 0)
        for number, (state, lags, delayed) in enumerate(profiles, start=1)
    ]


def expected(profiles: Sequence[Profile], *, answers: bool, partial: bool) -> FindingKind:
    """Return what the two tables say; written after the tables, not after the rules."""
    states = [state for state, _, _ in profiles]
    replicas = len(states)
    valid = replicas - states.count(State.DEAD)
    replicating = states.count(State.REPLICATING)
    if answers:
        return _expected_answering(replicas, valid, replicating)
    if replicas == 0:
        return K.DEAD_PRIMARY_WITHOUT_REPLICAS
    if replicating == 0:
        return {replicas: K.DEAD_PRIMARY, 0: K.DEAD_PRIMARY_AND_REPLICAS}.get(valid, K.DEAD_PRIMARY_AND_SOME_REPLICAS)
    if all(lags for _, lags, _ in profiles) and not all(delayed for _, _, delayed in profiles):
        return K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS
    if not partial or State.FAILING in states:
        return K.UNREACHABLE_PRIMARY
    return K.NO_PROBLEM


def _expected_answering(replicas: int, valid: int, replicating: int) -> FindingKind:
    if replicating > 0 or replicas == 0:
        return K.NO_PROBLEM
    if replicas == 1:
        return K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING if valid else K.PRIMARY_SINGLE_REPLICA_DEAD
    if valid == replicas:
        return K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING
    return K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD if valid else K.NO_PROBLEM


@pytest.mark.parametrize("replica_count", range(4))
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "half-way"])
@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answering"])
def test_coverage_tables_hold_for_every_topology(answers: bool, partial: bool, replica_count: int) -> None:
    subject = a_primary(answers=answers, partial=partial)
    for profiles in itertools.combinations_with_replacement(PROFILES, replica_count):
        found = verdict(subject, replicas_of(profiles), LIMITS)
        assert found is expected(profiles, answers=answers, partial=partial), profiles
