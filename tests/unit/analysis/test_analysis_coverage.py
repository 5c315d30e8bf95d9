"""The coverage tables (failure analysis, section 5), over every topology of up to three replicas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.analysis.kinds import FindingKind
from services.analysis.model import Limits
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.group import GroupMemberRole, GroupMemberState, GroupState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
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


def expected_below(profiles: Sequence[Profile], *, answers: bool, partial: bool) -> FindingKind:
    """Return what the table for neither primaries nor co-primaries says."""
    states = [state for state, _, _ in profiles]
    replicas = len(states)
    valid = replicas - states.count(State.DEAD)
    replicating, failing = states.count(State.REPLICATING), states.count(State.FAILING)
    if answers:
        if valid == 0 or replicating > 0:
            return K.NO_PROBLEM
        if replicas > 1 and failing == valid:
            return K.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD
        return K.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING
    if replicas == 0:
        return K.NO_PROBLEM
    if replicating == 0:
        return _expected_dead_below(replicas, valid, failing)
    if all(lags for _, lags, _ in profiles) and not all(delayed for _, _, delayed in profiles):
        return K.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS
    return K.NO_PROBLEM if partial else K.UNREACHABLE_INTERMEDIATE


def _expected_dead_below(replicas: int, valid: int, failing: int) -> FindingKind:
    if valid == 0:
        return K.DEAD_INTERMEDIATE_AND_REPLICAS
    if valid < replicas:
        return K.DEAD_INTERMEDIATE_AND_SOME_REPLICAS
    if replicas > 1:
        return K.DEAD_INTERMEDIATE
    if failing:
        return K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT
    return K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA


@pytest.mark.parametrize("replica_count", range(4))
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "half-way"])
@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answering"])
def test_the_table_for_intermediates_holds_for_every_topology(answers: bool, partial: bool, replica_count: int) -> None:
    source = ReplicationChannel(InstanceKey("top", 3306))
    subject = replace(a_primary(answers=answers, partial=partial), channels=(source,), depth=2)
    for profiles in itertools.combinations_with_replacement(PROFILES, replica_count):
        found = verdict(subject, replicas_of(profiles), LIMITS)
        assert found is expected_below(profiles, answers=answers, partial=partial), profiles


def expected_beside(profiles: Sequence[Profile], *, answers: bool, partial: bool) -> FindingKind:
    """Return what section 4.2 says of a co-primary, which leaves the rest to the table for intermediates."""
    states = [state for state, _, _ in profiles]
    replicas = len(states)
    valid = replicas - states.count(State.DEAD)
    replicating = states.count(State.REPLICATING)
    if replicas and replicating == 0:
        if answers:
            return K.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING
        if valid:
            return K.DEAD_CO_PRIMARY if valid == replicas else K.DEAD_CO_PRIMARY_AND_SOME_REPLICAS
    if not answers and replicating and not partial:
        return K.UNREACHABLE_CO_PRIMARY
    return expected_below(profiles, answers=answers, partial=partial)


@pytest.mark.parametrize("replica_count", range(4))
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "half-way"])
@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answering"])
@pytest.mark.parametrize("own_word", [False, True], ids=["a-replica-says-so", "it-says-so"])
def test_co_primaries_hold_for_every_topology(own_word: bool, answers: bool, partial: bool, replica_count: int) -> None:
    source = ReplicationChannel(InstanceKey("other", 3306))
    subject = replace(a_primary(answers=answers, partial=partial), channels=(source,), depth=2, co_primary=own_word)
    for profiles in itertools.combinations_with_replacement(PROFILES, replica_count):
        replicas = replicas_of(profiles)
        if not own_word:
            if not replicas:
                continue
            replicas = [replace(replicas[0], co_primary=True), *replicas[1:]]
        found = verdict(subject, replicas, LIMITS)
        assert found is expected_beside(profiles, answers=answers, partial=partial), profiles


@pytest.mark.parametrize("state", GroupMemberState)
@pytest.mark.parametrize("role", GroupMemberRole)
@pytest.mark.parametrize("answers", [False, True], ids=["silent", "answering"])
def test_group_members_have_one_code(answers: bool, role: GroupMemberRole, state: GroupMemberState) -> None:
    subject = replace(a_primary(answers=answers), group=GroupState("g", state=state, role=role), depth=0)
    for profiles in itertools.combinations_with_replacement(PROFILES, 2):
        states = [each for each, _, _ in profiles]
        if state is not GroupMemberState.OFFLINE:
            dead = not answers and State.REPLICATING not in states
            wanted = K.DEAD_GROUP_MEMBER_WITH_REPLICAS if dead else K.NO_PROBLEM
        elif role is GroupMemberRole.PRIMARY:
            wanted = expected(profiles, answers=answers, partial=False)
        else:
            wanted = expected_below(profiles, answers=answers, partial=False)
        assert verdict(subject, replicas_of(profiles), LIMITS) is wanted, profiles
