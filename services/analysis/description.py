"""Findings as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.analysis.circumstances import Circumstances
from services.analysis.kinds import FindingKind, StructureWarning

_SENTENCES: Final[Mapping[FindingKind, str]] = {
    FindingKind.NO_PROBLEM: "nothing is wrong with {it}",
    FindingKind.DEAD_PRIMARY_WITHOUT_REPLICAS: "{it} does not answer and has no replicas",
    FindingKind.DEAD_PRIMARY: "{it} does not answer and none of its replicas replicates ({valid} of {n} answer)",
    FindingKind.DEAD_PRIMARY_AND_REPLICAS: "neither {it} nor any of its {n} replicas answers",
    FindingKind.DEAD_PRIMARY_AND_SOME_REPLICAS: (
        "{it} does not answer, {valid} of {n} replicas answer and none of them replicates"
    ),
    FindingKind.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS: (
        "{it} does not answer us; {replicating} of {n} replicas still replicate from it and all of them lag"
    ),
    FindingKind.UNREACHABLE_PRIMARY: "{it} does not answer us, but {replicating} of {n} replicas replicate from it",
    FindingKind.LOCKED_SEMI_SYNC_PRIMARY: (
        "commits on {it} wait for {wanted} semi-synchronous replicas, it has {clients}, and its binary log stands still"
    ),
    FindingKind.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS: (
        "commits on {it} wait for {wanted} semi-synchronous replicas and it has {clients}: it may be locked"
    ),
    FindingKind.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS: (
        "{it} has {clients} semi-synchronous replicas, more than the {wanted} its commits wait for"
    ),
    FindingKind.READ_ONLY_PRIMARY: "{it} is read-only, with {replicating} of {n} replicas replicating from it",
    FindingKind.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING: "the only replica of {it} answers but does not replicate",
    FindingKind.PRIMARY_SINGLE_REPLICA_DEAD: "the only replica of {it} does not answer",
    FindingKind.ALL_PRIMARY_REPLICAS_NOT_REPLICATING: "all {n} replicas of {it} answer but none replicates",
    FindingKind.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD: (
        "none of the {n} replicas of {it} replicates, and only {valid} of them answer"
    ),
    FindingKind.DEAD_CO_PRIMARY: "{it}, a co-primary, does not answer and none of its {n} replicas replicates",
    FindingKind.DEAD_CO_PRIMARY_AND_SOME_REPLICAS: (
        "{it}, a co-primary, does not answer, {valid} of {n} replicas answer and none of them replicates"
    ),
    FindingKind.UNREACHABLE_CO_PRIMARY: (
        "{it}, a co-primary, does not answer us, but {replicating} of {n} replicas replicate from it"
    ),
    FindingKind.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING: (
        "{it}, a co-primary, answers, and none of its {n} replicas replicates"
    ),
    FindingKind.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT: (
        "{it}, an intermediate, does not answer and its only replica cannot connect to it"
    ),
    FindingKind.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA: (
        "{it}, an intermediate, does not answer and its only replica does not replicate"
    ),
    FindingKind.DEAD_INTERMEDIATE: (
        "{it}, an intermediate, does not answer; all {n} replicas answer and none replicates"
    ),
    FindingKind.DEAD_INTERMEDIATE_AND_SOME_REPLICAS: (
        "{it}, an intermediate, does not answer, {valid} of {n} replicas answer and none of them replicates"
    ),
    FindingKind.DEAD_INTERMEDIATE_AND_REPLICAS: ("neither {it}, an intermediate, nor any of its {n} replicas answers"),
    FindingKind.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS: (
        "{it}, an intermediate, does not answer us; {replicating} of {n} replicas still replicate and all of them lag"
    ),
    FindingKind.UNREACHABLE_INTERMEDIATE: (
        "{it}, an intermediate, does not answer us, but {replicating} of {n} replicas replicate from it"
    ),
    FindingKind.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD: (
        "{it}, an intermediate, answers; of its {n} replicas {valid} answer and none of those can connect to it"
    ),
    FindingKind.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING: (
        "{it}, an intermediate, answers; {valid} of its {n} replicas answer and none replicates"
    ),
    FindingKind.BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY: "{it}, a binlog server, cannot connect to its source",
    FindingKind.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY: (
        "{it}, which reads directly from a primary, cannot connect to it"
    ),
    FindingKind.DEAD_GROUP_MEMBER_WITH_REPLICAS: (
        "{it}, a member of a replication group, does not answer and none of its {n} replicas replicates"
    ),
    FindingKind.PRIMARY_WITHOUT_REPLICAS: "{it} is a primary nobody replicates from",
}
_WARNINGS: Final[Mapping[StructureWarning, str]] = {
    StructureWarning.NO_LOGGING_REPLICAS: "no replica writes what it replicates to a binary log",
    StructureWarning.NO_FAILOVER_SUPPORT: "replicas do not share a way to follow a new primary",
    StructureWarning.STATEMENT_AND_MIXED_LOGGING_REPLICAS: "replicas log in the formats STATEMENT and MIXED",
    StructureWarning.STATEMENT_AND_ROW_LOGGING_REPLICAS: "replicas log in the formats STATEMENT and ROW",
    StructureWarning.MIXED_AND_ROW_LOGGING_REPLICAS: "replicas log in the formats MIXED and ROW",
    StructureWarning.MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS: (
        "replicas with a binary log have {versions} major versions"
    ),
    StructureWarning.DIFFERENT_GTID_MODES: "GTID modes of it and its replicas differ",
    StructureWarning.ERRANT_GTID: "{errant_at} has transactions its source never had: {errant}",
    StructureWarning.READ_ONLY_PRIMARY: "it is read-only",
    StructureWarning.NOT_ENOUGH_SEMI_SYNC_REPLICAS: (
        "it has fallen back to asynchronous: commits would wait for {wanted} semi-synchronous replicas, "
        "it has {clients}"
    ),
}
_LONGEST_SET: Final = 200
"""Characters of a GTID set that are told; the rest is in the topology."""
_NEVER_READ: Final = (
    "; it was never read, so whether it is a primary is not known, and a person has to decide what to do about it"
)


def describe(kind: FindingKind, warnings: Sequence[StructureWarning], circumstances: Circumstances) -> str:
    """Return a sentence that says what is wrong, with the numbers it rests on; then what is weak."""
    facts = _facts(circumstances)
    sentence = _SENTENCES[kind].format(**facts)
    if kind is FindingKind.NO_PROBLEM and warnings:
        sentence = "{it} works".format(**facts)
    if circumstances.silent:
        sentence += f"; {len(circumstances.silent)} claim to replicate, but nothing reaches them any more"
    sentence += "".join(f"; {_WARNINGS[warning].format(**facts)}" for warning in warnings)
    if kind is not FindingKind.NO_PROBLEM and not circumstances.read_before:
        sentence += _NEVER_READ
    return sentence


def _facts(circumstances: Circumstances) -> dict[str, object]:
    counts, semi_sync = circumstances.counts, circumstances.semi_sync
    errant = circumstances.gtids.errant
    return {
        "it": circumstances.instance,
        "n": counts.replicas,
        "valid": counts.valid,
        "replicating": counts.replicating,
        "versions": counts.major_versions,
        "wanted": semi_sync.wait_for_replica_count,
        "clients": semi_sync.clients,
        "errant": errant if len(errant) <= _LONGEST_SET else f"{errant[:_LONGEST_SET]}…",
        "errant_at": circumstances.gtids.errant_at,
    }
