"""The decision table: a positive case per rule, its order, and that every rule and condition matters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from services.analysis.circumstances import Circumstances
from services.analysis.counts import ReplicaCounts
from services.analysis.kinds import FindingKind
from services.analysis.model import Limits
from services.analysis.rules import RULES, Rule, judge, trace
from services.shared.topology.server import SemiSync
from tests.unit.analysis.builders import PRIMARY, State, a_primary, a_replica, circumstances

K = FindingKind
WAITING = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=0)
CROWDED = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=2)
EXACT = Limits(enforce_exact_semi_sync_replicas=True)
WRITEABLE = Limits(recover_non_writeable_primary=True)
STILL = timedelta(seconds=11)


def see(
    *,
    answers: bool = True,
    counts: tuple[int, int, int] = (2, 2, 2),
    failing: int = 0,
    lagging: int = 0,
    delayed: int = 0,
    partial: bool = False,
    semi_sync: SemiSync | None = None,
    standstill: timedelta | None = None,
    read_only: bool = False,
    limits: Limits | None = None,
    primary: bool = True,
    co_primary: bool = False,
    group: bool = False,
    binlog_server: bool = False,
    cannot_connect: bool = False,
    depth: int | None = None,
) -> Circumstances:
    """Return circumstances; `counts` are replicas, valid, replicating."""
    replicas, valid, replicating = counts
    return Circumstances(
        instance=PRIMARY,
        primary=primary,
        co_primary=co_primary,
        group_member=group,
        binlog_server=binlog_server,
        cannot_reach_source=cannot_connect,
        depth=depth,
        answers=answers,
        partial=partial,
        read_only=read_only,
        counts=ReplicaCounts(replicas, valid, replicating, failing, lagging, delayed),
        semi_sync=semi_sync or SemiSync(),
        standstill=standstill,
        limits=limits or Limits(),
    )


def replica(**changes: object) -> Circumstances:
    """Return the circumstances of an instance that reads from another."""
    return see(primary=False, **changes)  # type: ignore[arg-type]


def co_primary(**changes: object) -> Circumstances:
    """Return the circumstances of one of two primaries that read from each other."""
    return replica(co_primary=True, **changes)


# The order of the reference's table: section 4, rules 1 to 30 and G1.
ORDER = (
    K.DEAD_PRIMARY_WITHOUT_REPLICAS,
    K.DEAD_PRIMARY,
    K.DEAD_PRIMARY_AND_REPLICAS,
    K.DEAD_PRIMARY_AND_SOME_REPLICAS,
    K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS,
    K.UNREACHABLE_PRIMARY,
    K.UNREACHABLE_PRIMARY,
    K.LOCKED_SEMI_SYNC_PRIMARY,
    K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS,
    K.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS,
    K.READ_ONLY_PRIMARY,
    K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING,
    K.PRIMARY_SINGLE_REPLICA_DEAD,
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING,
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD,
    K.DEAD_CO_PRIMARY,
    K.DEAD_CO_PRIMARY_AND_SOME_REPLICAS,
    K.UNREACHABLE_CO_PRIMARY,
    K.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING,
    K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT,
    K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA,
    K.DEAD_INTERMEDIATE,
    K.DEAD_INTERMEDIATE_AND_SOME_REPLICAS,
    K.DEAD_INTERMEDIATE_AND_REPLICAS,
    K.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS,
    K.UNREACHABLE_INTERMEDIATE,
    K.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD,
    K.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING,
    K.BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY,
    K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY,
    K.DEAD_GROUP_MEMBER_WITH_REPLICAS,
)

# Which rule decides, by its number; 0 for none.
CASES = [
    pytest.param(1, see(answers=False, counts=(0, 0, 0)), id="dead-and-nobody-reads-from-it"),
    pytest.param(2, see(answers=False, counts=(2, 2, 0)), id="dead-all-replicas-answer"),
    pytest.param(2, see(answers=False, counts=(2, 2, 0), partial=True), id="dead-half-way-changes-nothing"),
    pytest.param(2, see(answers=False, counts=(2, 2, 0), lagging=2), id="dead-lag-changes-nothing"),
    pytest.param(2, see(answers=False, counts=(2, 2, 0), semi_sync=WAITING), id="dead-wins-over-semi-sync"),
    pytest.param(3, see(answers=False, counts=(2, 0, 0)), id="dead-with-all-replicas"),
    pytest.param(4, see(answers=False, counts=(3, 2, 0)), id="dead-with-some-replicas"),
    pytest.param(5, see(answers=False, counts=(2, 2, 1), lagging=2), id="unreachable-and-all-lag"),
    pytest.param(5, see(answers=False, counts=(2, 2, 1), lagging=2, partial=True), id="unreachable-lag-half-way"),
    pytest.param(5, see(answers=False, counts=(2, 2, 1), lagging=2, delayed=1), id="unreachable-one-is-delayed"),
    pytest.param(6, see(answers=False, counts=(2, 2, 1)), id="unreachable"),
    pytest.param(6, see(answers=False, counts=(2, 2, 1), lagging=2, delayed=2), id="unreachable-all-are-delayed"),
    pytest.param(6, see(answers=False, counts=(2, 2, 1), semi_sync=WAITING), id="unreachable-wins-over-semi-sync"),
    pytest.param(7, see(answers=False, counts=(2, 2, 1), failing=1, partial=True), id="unreachable-half-way"),
    pytest.param(8, see(semi_sync=WAITING, standstill=STILL), id="locked"),
    pytest.param(8, see(semi_sync=WAITING, standstill=STILL, answers=False, partial=True), id="locked-half-way"),
    pytest.param(8, see(semi_sync=WAITING, standstill=STILL, counts=(1, 1, 0)), id="locked-wins-over-replicas"),
    pytest.param(9, see(semi_sync=WAITING), id="perhaps-locked"),
    pytest.param(9, see(semi_sync=WAITING, standstill=timedelta(seconds=10)), id="perhaps-locked-at-the-limit"),
    pytest.param(10, see(semi_sync=CROWDED, limits=EXACT), id="too-many-semi-sync"),
    pytest.param(11, see(read_only=True, limits=WRITEABLE), id="read-only"),
    pytest.param(12, see(counts=(1, 1, 0)), id="single-replica-not-replicating"),
    pytest.param(13, see(counts=(1, 0, 0)), id="single-replica-dead"),
    pytest.param(14, see(counts=(2, 2, 0)), id="no-replica-replicates"),
    pytest.param(15, see(counts=(2, 1, 0)), id="no-replica-replicates-or-answers"),
    pytest.param(0, see(), id="healthy"),
    pytest.param(0, see(counts=(0, 0, 0)), id="lonely"),
    pytest.param(0, see(counts=(2, 0, 0)), id="alive-with-all-replicas-dead"),
    pytest.param(0, see(answers=False, counts=(2, 2, 1), partial=True), id="a-passing-weakness"),
    pytest.param(0, see(semi_sync=CROWDED), id="too-many-semi-sync-is-opt-in"),
    pytest.param(0, see(read_only=True), id="read-only-is-opt-in"),
    pytest.param(0, see(answers=False, read_only=True, limits=WRITEABLE, partial=True), id="read-only-must-answer"),
    pytest.param(16, co_primary(answers=False, counts=(1, 1, 0)), id="dead-co-primary"),
    pytest.param(16, co_primary(answers=False, counts=(2, 2, 0), partial=True), id="dead-co-primary-half-way"),
    pytest.param(17, co_primary(answers=False, counts=(3, 1, 0)), id="dead-co-primary-with-some-replicas"),
    pytest.param(18, co_primary(answers=False, counts=(2, 2, 1)), id="unreachable-co-primary"),
    pytest.param(18, co_primary(answers=False, counts=(2, 2, 1), lagging=2), id="unreachable-co-primary-all-lag"),
    pytest.param(19, co_primary(counts=(1, 1, 0)), id="co-primary-replica-does-not-replicate"),
    pytest.param(19, co_primary(counts=(2, 0, 0)), id="co-primary-replicas-dead"),
    pytest.param(24, co_primary(answers=False, counts=(2, 0, 0)), id="dead-co-primary-and-replicas-falls-through"),
    pytest.param(
        25, co_primary(answers=False, partial=True, counts=(2, 2, 1), lagging=2), id="half-way-co-primary-all-lag"
    ),
    pytest.param(20, replica(answers=False, counts=(1, 1, 0), failing=1), id="dead-intermediate-single-failing"),
    pytest.param(21, replica(answers=False, counts=(1, 1, 0)), id="dead-intermediate-single"),
    pytest.param(22, replica(answers=False, counts=(2, 2, 0), failing=2), id="dead-intermediate"),
    pytest.param(23, replica(answers=False, counts=(2, 1, 0)), id="dead-intermediate-with-some-replicas"),
    pytest.param(24, replica(answers=False, counts=(1, 0, 0)), id="dead-intermediate-and-single-replica"),
    pytest.param(24, replica(answers=False, counts=(2, 0, 0)), id="dead-intermediate-and-replicas"),
    pytest.param(25, replica(answers=False, counts=(2, 2, 1), lagging=2), id="unreachable-intermediate-all-lag"),
    pytest.param(26, replica(answers=False, counts=(2, 2, 1)), id="unreachable-intermediate"),
    pytest.param(
        26, replica(answers=False, counts=(2, 2, 1), lagging=2, delayed=2), id="unreachable-intermediate-delayed"
    ),
    pytest.param(27, replica(counts=(2, 2, 0), failing=2), id="intermediate-nobody-can-connect-to"),
    pytest.param(27, replica(counts=(2, 1, 0), failing=1), id="intermediate-nobody-can-connect-to-or-dead"),
    pytest.param(28, replica(counts=(2, 2, 0), failing=1), id="intermediate-nobody-replicates-from"),
    pytest.param(28, replica(counts=(1, 1, 0), failing=1), id="intermediate-whose-only-replica-fails"),
    pytest.param(
        29, replica(binlog_server=True, cannot_connect=True, depth=1, counts=(0, 0, 0)), id="binlog-server-fails"
    ),
    pytest.param(30, replica(cannot_connect=True, depth=1, counts=(0, 0, 0)), id="first-tier-fails"),
    pytest.param(30, replica(cannot_connect=True, depth=1, answers=False, counts=(0, 0, 0)), id="first-tier-dead"),
    pytest.param(31, see(group=True, answers=False, counts=(2, 2, 0)), id="dead-group-primary"),
    pytest.param(31, replica(group=True, answers=False, counts=(2, 0, 0)), id="dead-group-secondary"),
    pytest.param(0, see(group=True, counts=(2, 2, 0)), id="group-member-answers"),
    pytest.param(0, see(group=True, answers=False, counts=(2, 2, 1)), id="group-member-is-heard"),
    pytest.param(0, see(group=True, answers=False, counts=(0, 0, 0)), id="group-member-nobody-reads-from"),
    pytest.param(0, see(group=True, semi_sync=WAITING), id="group-members-have-no-other-code"),
    pytest.param(0, replica(answers=False, counts=(0, 0, 0)), id="dead-leaf"),
    pytest.param(0, replica(cannot_connect=True, depth=2, counts=(0, 0, 0)), id="second-tier-fails"),
    pytest.param(0, replica(cannot_connect=True, counts=(0, 0, 0)), id="tier-not-known"),
    pytest.param(0, replica(answers=False, partial=True, counts=(2, 2, 1), failing=1), id="half-way-intermediate"),
    pytest.param(0, replica(counts=(2, 0, 0)), id="intermediate-with-dead-replicas"),
    pytest.param(0, replica(read_only=True, limits=WRITEABLE), id="replicas-are-read-only"),
]


def deciding(seen: Circumstances) -> int:
    """Return the number of the rule that decides, 0 for none."""
    return next((rule.number for rule in trace(seen) if rule.decides), 0)


@pytest.mark.parametrize(("number", "seen"), CASES)
def test_rule_decides(number: int, seen: Circumstances) -> None:
    assert deciding(seen) == number
    assert judge(seen) == ((K.NO_PROBLEM, *ORDER)[number])


def test_rules_come_in_the_order_of_the_reference() -> None:
    assert tuple(rule.kind for rule in RULES) == ORDER


def test_every_kind_but_two_has_a_rule() -> None:
    assert {rule.kind for rule in RULES} == set(K) - {K.NO_PROBLEM, K.PRIMARY_WITHOUT_REPLICAS}


KNOWN = [
    (number, seen)
    for number, seen in (case.values for case in CASES)
    if isinstance(number, int) and isinstance(seen, Circumstances)
]


@pytest.mark.parametrize("number", range(1, len(RULES) + 1))
def test_a_table_without_the_rule_fails_a_case(number: int) -> None:
    mutant = RULES[: number - 1] + RULES[number:]
    wrong = [seen for decides, seen in KNOWN if judge(seen, mutant) is not (K.NO_PROBLEM, *ORDER)[decides]]
    assert wrong


# Replicas, valid, replicating, failing to connect: all there are with up to two replicas.
COUNTS = [
    (replicas, valid, replicating, failing)
    for replicas in range(3)
    for valid in range(replicas + 1)
    for replicating in range(valid + 1)
    for failing in range(valid - replicating + 1)
]
SEMI_SYNC = [
    (SemiSync(), None),
    (WAITING, None),
    (WAITING, STILL),
    (CROWDED, None),
    *(
        (SemiSync(source_enabled=enabled, source_status=status, wait_for_replica_count=wanted, clients=clients), still)
        for still in (None, STILL)
        for enabled, status, wanted, clients in (
            (False, True, 1, 0),
            (True, False, 1, 0),
            (True, True, 1, 1),
            (True, True, 0, 1),
            (False, True, 1, 2),
            (True, False, 1, 2),
        )
    ),
]
ROLES: Sequence[dict[str, object]] = (
    {},
    {"primary": False},
    {"primary": False, "cannot_connect": True, "depth": 1},
    {"primary": False, "cannot_connect": True, "depth": 2},
    {"primary": False, "cannot_connect": False, "depth": 1},
    {"primary": False, "cannot_connect": True, "depth": 2, "binlog_server": True},
    {"primary": False, "cannot_connect": False, "depth": 2, "binlog_server": True},
    {"primary": False, "co_primary": True},
    {"group": True},
    {"primary": False, "group": True, "cannot_connect": True, "depth": 1},
    {"primary": False, "group": True, "cannot_connect": True, "binlog_server": True},
    {"primary": False, "group": True, "co_primary": True},
)
GRID = [
    see(
        answers=answers,
        counts=(replicas, valid, replicating),
        failing=failing,
        lagging=lagging,
        delayed=delayed,
        partial=partial,
        semi_sync=semi_sync,
        standstill=standstill,
        read_only=read_only,
        limits=limits,
        **role,  # type: ignore[arg-type]
    )
    for (replicas, valid, replicating, failing), answers, partial, read_only, role in itertools.product(
        COUNTS, (True, False), (True, False), (True, False), ROLES
    )
    for lagging in {0, replicas}
    for delayed in {0, replicas}
    for semi_sync, standstill in (SEMI_SYNC if role in ({}, {"primary": False}, {"group": True}) else SEMI_SYNC[:2])
    for limits in (Limits(), Limits(enforce_exact_semi_sync_replicas=True, recover_non_writeable_primary=True))
]
# Each circumstance with the place of the rule that decides; one after the last where none does.
DECIDED = [(seen, next((index for index, rule in enumerate(RULES) if rule.holds(seen)), len(RULES))) for seen in GRID]

# Conditions that earlier rules or other conditions of the same rule imply; they are kept because the reference has
# them and people read the table.
IMPLIED = {
    (3, "it has replicas"),  # Rules 1 and 2 took all without.
    (3, "no replica replicates"),  # Only replicas that answer are counted as replicating.
    (4, "some replicas answer, others do not"),  # Rules 2 and 3 took all and none.
    (5, "a replica replicates"),  # Rules 1 to 4 took all silent primaries nobody replicates from.
    (6, "a replica answers"),
    (6, "a replica replicates"),
    (7, "a replica answers"),
    (7, "a replica replicates"),
    (7, "the last probe failed half-way"),  # Rule 6 took the others.
    (8, "commits wait for replicas"),  # There are no fewer than zero clients.
    (9, "commits wait for replicas"),
    (9, "its binary log is not proven to stand still"),  # Rule 8 took the others.
    (12, "it answers"),  # Rules 1 to 4 again.
    (13, "it answers"),
    (14, "it answers"),
    (15, "it answers"),
    (15, "it has several replicas"),  # One alone cannot be some.
    (17, "it has replicas"),  # Some of none there are not.
    (18, "a replica answers"),
    (18, "a replica replicates"),
    (20, "every replica answers"),  # One that fails to connect answers, and does not replicate.
    (20, "no replica replicates"),
    *((number, "it is a replica") for number in range(20, 29)),  # Rules 1 to 15 took the primaries.
    (25, "a replica replicates"),
    (26, "a replica answers"),
    (26, "a replica replicates"),
    (27, "it answers"),  # Rules 20 to 24 took the silent ones nobody replicates from.
    (27, "no replica replicates"),  # All that answer fail to connect.
    (28, "it answers"),
    (28, "it has replicas"),  # One answers.
    (31, "it is a member of a replication group"),  # The others with these facts have other codes.
}


def weakened() -> Iterator[tuple[int, str, Rule]]:
    """Yield each rule without one of its conditions, with its place in the table and the condition."""
    for index, rule in enumerate(RULES):
        for left_out in rule.conditions:
            kept = tuple(condition for condition in rule.conditions if condition is not left_out)
            yield index, left_out.text, Rule(rule.kind, kept)


def changes_a_verdict(place: int, rule: Rule) -> bool:
    """Return whether putting `rule` in the place of the one there changes what is found somewhere."""
    kinds = (*ORDER, K.NO_PROBLEM)
    return any(decides > place and kinds[decides] is not rule.kind and rule.holds(seen) for seen, decides in DECIDED)


def test_every_condition_matters_unless_it_is_known_to_be_implied() -> None:
    idle = {(index + 1, text) for index, text, rule in weakened() if not changes_a_verdict(index, rule)}
    assert idle == IMPLIED


def overlapping() -> Iterator[tuple[int, int, Circumstances]]:
    """Yield each pair of rules that find different things and hold at once, where the earlier decides."""
    found: set[tuple[int, int]] = set()
    for seen in GRID:
        decides, *others = [index for index, rule in enumerate(RULES) if rule.holds(seen)] or [0]
        for later in others:
            if (decides, later) not in found and RULES[decides].kind is not RULES[later].kind:
                found.add((decides, later))
                yield decides, later, seen


def test_a_rule_moved_before_one_it_overlaps_with_changes_the_verdict() -> None:
    pairs = list(overlapping())
    assert {(0, 1), (1, 8), (4, 5), (4, 6), (7, 10), (8, 10), (9, 10), (8, 13)} <= {pair[:2] for pair in pairs}
    for decides, later, seen in pairs:
        rest = [rule for rule in RULES if rule is not RULES[later]]
        moved = [*rest[:decides], RULES[later], *rest[decides:]]
        assert judge(seen, moved) is RULES[later].kind is not judge(seen)


def test_trace_shows_every_rule_and_one_that_decides() -> None:
    rules = trace(see(answers=False, counts=(2, 2, 1), lagging=2))
    assert [rule.number for rule in rules] == list(range(1, 32))
    assert [rule.number for rule in rules if rule.decides] == [5]
    assert [rule.number for rule in rules if rule.holds] == [5, 6]
    for rule in rules:
        assert rule.holds == all(condition.holds for condition in rule.conditions)


@pytest.mark.parametrize("seen", [*GRID[::997], see(standstill=STILL), see(semi_sync=SemiSync(source_enabled=None))])
def test_every_condition_says_what_it_saw(seen: Circumstances) -> None:
    for rule in trace(seen):
        for condition in rule.conditions:
            assert condition.text
            assert condition.seen


def test_unreachable_primary_explains_why_it_is_not_dead() -> None:
    seen = circumstances(a_primary(answers=False), [a_replica(1), a_replica(2, State.STOPPED)])
    assert judge(seen) is K.UNREACHABLE_PRIMARY
    dead = trace(seen)[1]
    assert dead.kind is K.DEAD_PRIMARY
    refuting = [condition for condition in dead.conditions if not condition.holds]
    assert [(condition.text, condition.seen) for condition in refuting] == [
        ("no replica replicates", "1 of 2 direct replicas replicate")
    ]
