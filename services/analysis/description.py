"""Findings as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.analysis.circumstances import Circumstances
from services.analysis.model import FindingKind

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
}
_NEVER_READ: Final = (
    "; it was never read, so whether it is a primary is not known, and a person has to decide what to do about it"
)


def describe(kind: FindingKind, circumstances: Circumstances) -> str:
    """Return a sentence that says what is wrong, with the numbers it rests on."""
    counts, semi_sync = circumstances.counts, circumstances.semi_sync
    sentence = _SENTENCES[kind].format(
        it=circumstances.instance,
        n=counts.replicas,
        valid=counts.valid,
        replicating=counts.replicating,
        wanted=semi_sync.wait_for_replica_count,
        clients=semi_sync.clients,
    )
    if circumstances.silent:
        sentence += f"; {len(circumstances.silent)} claim to replicate, but nothing reaches them any more"
    if kind is not FindingKind.NO_PROBLEM and not circumstances.read_before:
        sentence += _NEVER_READ
    return sentence
