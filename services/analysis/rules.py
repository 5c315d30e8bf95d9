"""The decision table: an ordered list of rules, the first that holds decides.

The table is data, in the order of section 4 of the failure analysis it follows; each rule names its role, so tables of
further roles are appended, never interleaved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.analysis import conditions as when
from services.analysis.circumstances import Circumstances
from services.analysis.conditions import Condition
from services.analysis.model import FindingKind, RuleTrace


@dataclass(frozen=True, slots=True)
class Rule:
    """What is found when all conditions hold."""

    kind: FindingKind
    conditions: tuple[Condition, ...]

    def holds(self, circumstances: Circumstances) -> bool:
        """Return whether every condition holds."""
        return all(condition.holds(circumstances) for condition in self.conditions)


_SILENT: Final = (when.IS_PRIMARY, when.DOES_NOT_ANSWER)
_ANSWERING: Final = (when.IS_PRIMARY, when.ANSWERS)
_SEMI_SYNC: Final = (when.IS_PRIMARY, when.SEMI_SYNC_ENABLED, when.SEMI_SYNC_WORKING, when.COMMITS_WAIT)

PRIMARY_RULES: Final[tuple[Rule, ...]] = (
    Rule(FindingKind.DEAD_PRIMARY_WITHOUT_REPLICAS, (*_SILENT, when.NO_REPLICAS)),
    Rule(FindingKind.DEAD_PRIMARY, (*_SILENT, when.ALL_VALID, when.NONE_REPLICATING)),
    Rule(
        FindingKind.DEAD_PRIMARY_AND_REPLICAS,
        (*_SILENT, when.HAS_REPLICAS, when.NONE_VALID, when.NONE_REPLICATING),
    ),
    Rule(FindingKind.DEAD_PRIMARY_AND_SOME_REPLICAS, (*_SILENT, when.SOME_VALID, when.NONE_REPLICATING)),
    Rule(
        FindingKind.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS,
        (*_SILENT, when.ALL_LAGGING, when.NOT_ALL_DELAYED, when.ANY_REPLICATING),
    ),
    Rule(
        FindingKind.UNREACHABLE_PRIMARY,
        (*_SILENT, when.ANSWERED_NOTHING, when.ANY_VALID, when.ANY_REPLICATING),
    ),
    # A half-way failure may be a passing weakness; a replica that cannot connect either says that it is not.
    Rule(
        FindingKind.UNREACHABLE_PRIMARY,
        (*_SILENT, when.ANSWERED_PARTLY, when.ANY_FAILING_TO_CONNECT, when.ANY_VALID, when.ANY_REPLICATING),
    ),
    # The semi-synchronous rules do not ask whether the primary answers: a locked one may well not.
    Rule(FindingKind.LOCKED_SEMI_SYNC_PRIMARY, (*_SEMI_SYNC, when.TOO_FEW_CLIENTS, when.STANDS_STILL)),
    Rule(FindingKind.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS, (*_SEMI_SYNC, when.TOO_FEW_CLIENTS, when.NOT_PROVEN_STILL)),
    Rule(
        FindingKind.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS,
        (when.ENFORCES_EXACT_SEMI_SYNC, *_SEMI_SYNC, when.TOO_MANY_CLIENTS),
    ),
    Rule(
        FindingKind.READ_ONLY_PRIMARY,
        (when.RECOVERS_READ_ONLY, *_ANSWERING, when.READ_ONLY, when.ANY_REPLICATING),
    ),
    Rule(
        FindingKind.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING,
        (*_ANSWERING, when.ONE_REPLICA, when.ALL_VALID, when.NONE_REPLICATING),
    ),
    Rule(FindingKind.PRIMARY_SINGLE_REPLICA_DEAD, (*_ANSWERING, when.ONE_REPLICA, when.NONE_VALID)),
    Rule(
        FindingKind.ALL_PRIMARY_REPLICAS_NOT_REPLICATING,
        (*_ANSWERING, when.SEVERAL_REPLICAS, when.ALL_VALID, when.NONE_REPLICATING),
    ),
    Rule(
        FindingKind.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD,
        (*_ANSWERING, when.SEVERAL_REPLICAS, when.SOME_VALID, when.NONE_REPLICATING),
    ),
)

RULES: Final[tuple[Rule, ...]] = PRIMARY_RULES


def judge(circumstances: Circumstances, rules: Sequence[Rule] = RULES) -> FindingKind:
    """Return the kind of the first rule that holds; `NO_PROBLEM` when none does."""
    return next((rule.kind for rule in rules if rule.holds(circumstances)), FindingKind.NO_PROBLEM)


def trace(circumstances: Circumstances, rules: Sequence[Rule] = RULES) -> tuple[RuleTrace, ...]:
    """Return every rule, in order, with each of its conditions and what it saw."""
    traces: list[RuleTrace] = []
    decided = False
    for number, rule in enumerate(rules, start=1):
        holds = rule.holds(circumstances)
        seen = tuple(condition.trace(circumstances) for condition in rule.conditions)
        traces.append(RuleTrace(number, rule.kind, seen, holds=holds, decides=holds and not decided))
        decided = decided or holds
    return tuple(traces)
