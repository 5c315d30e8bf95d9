"""Each line of each table matters: without it, or with its effect undone, an example is judged otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from services.analysis.analyst import Analyst
from services.analysis.case import read_case
from services.analysis.gates import GATES, Effect, Gate, Verdict, closed_gates
from services.analysis.kinds import CONSEQUENCES, FindingKind
from services.analysis.rules import RULES, WARNING_RULES, Rule, WarningRule, judge, warn
from tests.unit.analysis.builders import START
from tests.unit.analysis.examples import FINDINGS, SUPPRESSIONS, WARNINGS, files

K = FindingKind


@cache
def verdicts() -> Mapping[str, Verdict]:
    """Return what the tables say of the subject of each example."""
    found = {}
    for name, example in files().items():
        case = read_case(example.text())
        analyst = Analyst(case.limits)
        analyst.take(case.snapshot, case.now or START)
        analyst.take_over(case.memories, case.now or START)
        verdict = analyst.verdict(example.subject, case.now or START)
        assert verdict is not None
        found[name] = verdict
    return found


def file_of(kind: FindingKind) -> str:
    """Return the name of the example of a finding."""
    return "NoWriteableMaster" if kind is K.READ_ONLY_PRIMARY else kind.value


@pytest.mark.parametrize("place", range(len(RULES)))
def test_a_table_without_the_rule_judges_an_example_otherwise(place: int) -> None:
    rest = [*RULES[:place], *RULES[place + 1 :]]
    changed = [name for name, seen in verdicts().items() if judge(seen.circumstances, rest) is not seen.kind]
    assert FINDINGS[RULES[place].kind].kind is RULES[place].kind
    assert changed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind.value)
def test_a_rule_alone_finds_its_example(rule: Rule) -> None:
    name = "UnreachableMaster-half-way" if rule is RULES[6] else file_of(rule.kind)
    assert judge(verdicts()[name].circumstances, [rule]) is rule.kind


@pytest.mark.parametrize("rule", WARNING_RULES, ids=lambda rule: rule.warning.value)
def test_a_table_without_the_warning_warns_otherwise(rule: WarningRule) -> None:
    rest = [each for each in WARNING_RULES if each is not rule]
    seen = verdicts()[rule.warning.value]
    assert warn(seen.circumstances) == WARNINGS[rule.warning].warnings == (rule.warning,)
    assert warn(seen.circumstances, rest) == ()


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_table_without_the_gate_lets_an_example_pass(gate: Gate) -> None:
    rest = [each for each in GATES if each is not gate]
    passed = [
        name
        for name, seen in verdicts().items()
        if gate.name in closed_gates(seen, gate.effect) and gate.name not in closed_gates(seen, gate.effect, rest)
    ]
    if gate.name == "recovery":
        assert set(passed) >= {file_of(kind) for kind in FINDINGS if not kind.actionable}
        assert not set(passed) & {file_of(kind) for kind in FINDINGS if kind.actionable}
    else:
        assert passed == [f"suppressed-by-{gate.name}"]


# Columns of the reference's decision table (sections 4 and 9.1), by its names.
ACTIONABLE = {
    "DeadMaster": "DEAD_PRIMARY",
    "DeadMasterAndSomeReplicas": "DEAD_PRIMARY",
    "LockedSemiSyncMaster": "LOCKED_SEMI_SYNC",
    "MasterWithTooManySemiSyncReplicas": "TOO_MANY_SEMI_SYNC",
    "NoWriteableMasterStructureWarning": "READ_ONLY_PRIMARY",
    "DeadCoMaster": "DEAD_CO_PRIMARY",
    "DeadCoMasterAndSomeReplicas": "DEAD_CO_PRIMARY",
    "DeadIntermediateMasterWithSingleReplicaFailingToConnect": "DEAD_INTERMEDIATE",
    "DeadIntermediateMaster": "DEAD_INTERMEDIATE",
    "DeadIntermediateMasterAndSomeReplicas": "DEAD_INTERMEDIATE",
    "AllIntermediateMasterReplicasFailingToConnectOrDead": "DEAD_INTERMEDIATE",
    "DeadReplicationGroupMemberWithReplicas": "GROUP_MEMBER",
}
REGISTERED_ONLY = {
    "DeadMasterAndReplicas",
    "UnreachableMasterWithLaggingReplicas",
    "UnreachableMaster",
    "AllMasterReplicasNotReplicating",
    "AllMasterReplicasNotReplicatingOrDead",
    "DeadIntermediateMasterAndReplicas",
    "UnreachableIntermediateMasterWithLaggingReplicas",
}
EMERGENCIES = {
    "DeadMasterAndReplicas": ["READ_INSTANCE", "READ_REPLICAS"],
    "UnreachableMaster": ["READ_INSTANCE", "READ_REPLICAS"],
    "UnreachableMasterWithLaggingReplicas": ["RESTART_REPLICATION"],
    "UnreachableIntermediateMasterWithLaggingReplicas": ["RESTART_REPLICATION"],
    "LockedSemiSyncMasterHypothesis": ["READ_INSTANCE", "NOTE_POSITION"],
    "AllMasterReplicasNotReplicating": ["READ_INSTANCE"],
    "AllMasterReplicasNotReplicatingOrDead": ["READ_INSTANCE"],
    "FirstTierReplicaFailingToConnectToMaster": ["READ_SOURCE"],
}
GRACED = {
    "DeadMaster",
    "DeadMasterAndSomeReplicas",
    "LockedSemiSyncMaster",
    "DeadIntermediateMasterWithSingleReplicaFailingToConnect",
    "DeadIntermediateMaster",
    "DeadIntermediateMasterAndSomeReplicas",
}
ABOUT_REPLICAS = {
    "AllMasterReplicasNotReplicating",
    "AllMasterReplicasNotReplicatingOrDead",
    "MasterSingleReplicaDead",
    "AllCoMasterReplicasNotReplicating",
    "DeadIntermediateMasterWithSingleReplica",
    "DeadIntermediateMasterWithSingleReplicaFailingToConnect",
    "DeadIntermediateMasterAndReplicas",
    "DeadIntermediateMasterAndSomeReplicas",
    "AllIntermediateMasterReplicasFailingToConnectOrDead",
    "AllIntermediateMasterReplicasNotReplicating",
}


def test_consequences_are_those_of_the_reference() -> None:
    told = {kind.value: kind.consequence for kind in FindingKind}
    assert {code: each.recovery.name for code, each in told.items() if each.recovery} == ACTIONABLE
    assert {code for code, each in told.items() if each.registered} == REGISTERED_ONLY | ACTIONABLE.keys()
    emergencies = {code: [one.name for one in each.emergency] for code, each in told.items() if each.emergency}
    assert emergencies == EMERGENCIES
    assert {code for code, each in told.items() if each.graced} == GRACED
    assert {code for code, each in told.items() if each.about_replicas} == ABOUT_REPLICAS
    assert all(consequence != type(consequence)() for consequence in CONSEQUENCES.values())


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_effects_differ(name: str) -> None:
    seen = verdicts()[f"suppressed-by-{name}"]
    expected = {
        "maintenance": Effect.OMITS,
        "ignored_host": Effect.OMITS,
        "downtime": Effect.SKIPS,
        "replicas_downtime": Effect.SKIPS,
        "never_read": Effect.DISARMS,
        "grace": Effect.DISARMS,
    }[name]
    assert [effect for effect in Effect if name in closed_gates(seen, effect)] == [expected]
