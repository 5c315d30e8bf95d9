"""What came of campaigns, and the line that says it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.nemesis import Schedule


@dataclass
class Outcome:
    """What came of a campaign.

    Attributes:
        schedule: What was done.
        acknowledged: Writes that clients were told of.
        lost: Of those, how many are not there.
        doubled: Writes that happened more than once.
        overlaps: Leases of two members seen valid at the same time.
        elections_ns: From the death of a leader to the first commit of its successor.
        operations: Operations in the history that was checked.
        statements: Statements that executors sent.
        violations: What is wrong; empty = nothing.
    """

    seed: int
    members: int
    schedule: Schedule = field(default_factory=Schedule)
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    overlaps: int = 0
    elections_ns: list[int] = field(default_factory=list)
    operations: int = 0
    statements: int = 0
    sightings: int = 0
    traced: str = ""
    violations: list[str] = field(default_factory=list)


def summary(outcomes: list[Outcome]) -> str:
    """Return one line about all campaigns."""
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update({fault.value: count for fault, count in outcome.schedule.done.items()})
    elections = sorted(each / 1e6 for outcome in outcomes for each in outcome.elections_ns)
    facts = {
        "campaigns": len(outcomes),
        "kills": sum(outcome.schedule.kills for outcome in outcomes),
        "acknowledged": sum(outcome.acknowledged for outcome in outcomes),
        "lost": sum(outcome.lost for outcome in outcomes),
        "doubled": sum(outcome.doubled for outcome in outcomes),
        "overlaps": sum(outcome.overlaps for outcome in outcomes),
        "elections": len(elections),
        "election_p50_ms": round(_at(elections, 0.5)),
        "election_p99_ms": round(_at(elections, 0.99)),
        "operations": sum(outcome.operations for outcome in outcomes),
        "statements": sum(outcome.statements for outcome in outcomes),
        "sightings": sum(outcome.sightings for outcome in outcomes),
        **dict(sorted(faults.items())),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
    }
    return " ".join(f"{name}={value}" for name, value in facts.items())


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
