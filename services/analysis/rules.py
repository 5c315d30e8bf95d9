"""The decision table: an ordered list of rules, the first that holds decides; and the table of structure warnings.

Both are data, in the order of sections 4 and 7 of the failure analysis they follow. Members of a replication group are
judged by their own table alone: the group elects its primary, and a dead member is to its asynchronous replicas what a
dead intermediate is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.analysis import conditions as when
from services.analysis.circumstances import Circumstances
from services.analysis.conditions import Condition
from services.analysis.kinds import FindingKind, StructureWarning
from services.analysis.model import RuleTrace, WarningTrace


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

_SILENT_CO: Final = (when.IS_CO_PRIMARY, when.DOES_NOT_ANSWER)

CO_PRIMARY_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        FindingKind.DEAD_CO_PRIMARY,
        (*_SILENT_CO, when.HAS_REPLICAS, when.ALL_VALID, when.NONE_REPLICATING),
    ),
    Rule(
        FindingKind.DEAD_CO_PRIMARY_AND_SOME_REPLICAS,
        (*_SILENT_CO, when.HAS_REPLICAS, when.SOME_VALID, when.NONE_REPLICATING),
    ),
    Rule(
        FindingKind.UNREACHABLE_CO_PRIMARY,
        (*_SILENT_CO, when.ANSWERED_NOTHING, when.ANY_VALID, when.ANY_REPLICATING),
    ),
    Rule(
        FindingKind.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING,
        (when.IS_CO_PRIMARY, when.ANSWERS, when.HAS_REPLICAS, when.NONE_REPLICATING),
    ),
)

_SILENT_REPLICA: Final = (when.IS_NO_PRIMARY, when.DOES_NOT_ANSWER)
_ANSWERING_REPLICA: Final = (when.IS_NO_PRIMARY, when.ANSWERS)

# Also for co-primaries that no rule above fits: their codes must be those of the reference.
INTERMEDIATE_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        FindingKind.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT,
        (
            *_SILENT_REPLICA,
            when.ONE_REPLICA,
            when.ALL_VALID,
            when.ONE_FAILING_TO_CONNECT,
            when.NONE_REPLICATING,
        ),
    ),
    Rule(
        FindingKind.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA,
        (*_SILENT_REPLICA, when.ONE_REPLICA, when.ALL_VALID, when.NONE_REPLICATING),
    ),
    Rule(
        FindingKind.DEAD_INTERMEDIATE,
        (*_SILENT_REPLICA, when.SEVERAL_REPLICAS, when.ALL_VALID, when.NONE_REPLICATING),
    ),
    Rule(
        FindingKind.DEAD_INTERMEDIATE_AND_SOME_REPLICAS,
        (*_SILENT_REPLICA, when.SOME_VALID, when.NONE_REPLICATING),
    ),
    Rule(FindingKind.DEAD_INTERMEDIATE_AND_REPLICAS, (*_SILENT_REPLICA, when.HAS_REPLICAS, when.NONE_VALID)),
    Rule(
        FindingKind.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS,
        (*_SILENT_REPLICA, when.ALL_LAGGING, when.NOT_ALL_DELAYED, when.ANY_REPLICATING),
    ),
    Rule(
        FindingKind.UNREACHABLE_INTERMEDIATE,
        (*_SILENT_REPLICA, when.ANSWERED_NOTHING, when.ANY_VALID, when.ANY_REPLICATING),
    ),
    Rule(
        FindingKind.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD,
        (
            *_ANSWERING_REPLICA,
            when.SEVERAL_REPLICAS,
            when.NONE_REPLICATING,
            when.ANY_FAILING_TO_CONNECT,
            when.ALL_CONNECTING_FAIL,
        ),
    ),
    Rule(
        FindingKind.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING,
        (*_ANSWERING_REPLICA, when.HAS_REPLICAS, when.ANY_VALID, when.NONE_REPLICATING),
    ),
    # These two ask for no role and no answer: whoever got so far may have them, also a replica nobody reads from.
    Rule(FindingKind.BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY, (when.IS_BINLOG_SERVER, when.CANNOT_REACH_SOURCE)),
    Rule(FindingKind.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY, (when.IS_FIRST_TIER, when.CANNOT_REACH_SOURCE)),
)

GROUP_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        FindingKind.DEAD_GROUP_MEMBER_WITH_REPLICAS,
        (when.IS_GROUP_MEMBER, when.DOES_NOT_ANSWER, when.HAS_REPLICAS, when.NONE_REPLICATING),
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    *(
        Rule(rule.kind, (when.IS_NO_GROUP_MEMBER, *rule.conditions))
        for rule in (*PRIMARY_RULES, *CO_PRIMARY_RULES, *INTERMEDIATE_RULES)
    ),
    *GROUP_RULES,
)


@dataclass(frozen=True, slots=True)
class WarningRule:
    """What is warned of when all conditions hold."""

    warning: StructureWarning
    conditions: tuple[Condition, ...]

    def holds(self, circumstances: Circumstances) -> bool:
        """Return whether every condition holds."""
        return all(condition.holds(circumstances) for condition in self.conditions)


WARNING_RULES: Final[tuple[WarningRule, ...]] = (
    WarningRule(StructureWarning.NO_LOGGING_REPLICAS, (when.IS_PRIMARY, when.SEVERAL_REPLICAS, when.NONE_LOGGING)),
    WarningRule(
        StructureWarning.NO_FAILOVER_SUPPORT,
        (
            when.IS_PRIMARY,
            when.SEVERAL_REPLICAS,
            when.NOT_ORACLE_GTID,
            when.NOT_MARIADB_GTID,
            when.NOT_BINLOG_SERVERS,
            when.NO_PSEUDO_GTID,
        ),
    ),
    WarningRule(
        StructureWarning.STATEMENT_AND_MIXED_LOGGING_REPLICAS,
        (when.IS_PRIMARY, when.ANY_STATEMENT_BASED, when.ANY_MIXED_BASED),
    ),
    WarningRule(
        StructureWarning.STATEMENT_AND_ROW_LOGGING_REPLICAS,
        (when.IS_PRIMARY, when.ANY_STATEMENT_BASED, when.ANY_ROW_BASED),
    ),
    WarningRule(
        StructureWarning.MIXED_AND_ROW_LOGGING_REPLICAS, (when.IS_PRIMARY, when.ANY_MIXED_BASED, when.ANY_ROW_BASED)
    ),
    WarningRule(StructureWarning.MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS, (when.IS_PRIMARY, when.SEVERAL_VERSIONS)),
    WarningRule(StructureWarning.DIFFERENT_GTID_MODES, (when.HAS_REPLICAS, when.GTID_MODES_DIFFER)),
    WarningRule(StructureWarning.ERRANT_GTID, (when.ANY_ERRANT,)),
    WarningRule(StructureWarning.READ_ONLY_PRIMARY, (when.IS_PRIMARY, when.READ_ONLY)),
    WarningRule(
        StructureWarning.NOT_ENOUGH_SEMI_SYNC_REPLICAS,
        (when.IS_PRIMARY, when.SEMI_SYNC_ENABLED, when.SEMI_SYNC_FALLEN_BACK, when.COMMITS_WAIT, when.TOO_FEW_CLIENTS),
    ),
)


def judge(circumstances: Circumstances, rules: Sequence[Rule] = RULES) -> FindingKind:
    """Return the kind of the first rule that holds; `NO_PROBLEM` when none does."""
    return next((rule.kind for rule in rules if rule.holds(circumstances)), FindingKind.NO_PROBLEM)


def warn(circumstances: Circumstances, rules: Sequence[WarningRule] = WARNING_RULES) -> tuple[StructureWarning, ...]:
    """Return all structure warnings that hold, in order."""
    return tuple(rule.warning for rule in rules if rule.holds(circumstances))


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


def trace_warnings(circumstances: Circumstances) -> tuple[WarningTrace, ...]:
    """Return every structure warning, in order, with each of its conditions and what it saw."""
    return tuple(
        WarningTrace(
            number,
            rule.warning,
            tuple(condition.trace(circumstances) for condition in rule.conditions),
            holds=rule.holds(circumstances),
        )
        for number, rule in enumerate(WARNING_RULES, start=1)
    )
