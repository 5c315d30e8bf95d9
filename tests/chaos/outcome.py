"""What came of campaigns, and the line that says it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.nemesis import Schedule
from tests.chaos.plan import Plan


@dataclass
class Outcome:
    """What came of a campaign.

    Attributes:
        plan: What was to be done.
        schedule: What was done.
        acknowledged: Writes that clients were told of.
        lost: Of those, how many are not there.
        doubled: Writes that happened more than once.
        overlaps: Leases of two members seen valid at the same time.
        elections_ns: From the death of a leader to the first commit of its successor.
        snapshots: Snapshots that members took in place of entries.
        operations: Operations in the history that was checked.
        statements: Statements that executors sent.
        sightings: Answers in which the observer saw a valid lease.
        rows_compared: State rows on each disk that were compared with those of the other members.
        traced: What the offline check replayed.
        spent_s: Where the time went, seconds.
        kept: Where logs, traces and stores were left.
        violations: What is wrong; empty = nothing.
    """

    plan: Plan
    schedule: Schedule = field(default_factory=Schedule)
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    overlaps: int = 0
    elections_ns: list[int] = field(default_factory=list)
    snapshots: int = 0
    operations: int = 0
    statements: int = 0
    sightings: int = 0
    rows_compared: int = 0
    traced: str = ""
    spent_s: Counter[str] = field(default_factory=Counter)
    kept: Path | None = None
    violations: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def spends(self, part: str) -> Iterator[None]:
        """Count the time of a part of the campaign."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent_s[part] += round(time.monotonic() - begun)

    @property
    def report(self) -> Iterator[str]:
        """What is wrong, a text each, and how to look at it."""
        for violation in self.violations:
            where = f"\n  left in {self.kept}" if self.kept else ""
            yield f"seed={self.plan.seed} members={self.plan.size}: {violation}\n  again: {self.plan.command}{where}"


def summary(outcomes: Sequence[Outcome], *, seconds: float) -> str:
    """Return one line about all campaigns.

    Args:
        outcomes: Of each campaign.
        seconds: How long they took, everything included.
    """
    faults: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    for outcome in outcomes:
        faults.update({fault.value: count for fault, count in outcome.schedule.done.items()})
        spent.update(outcome.spent_s)
    elections = sorted(each / 1e6 for outcome in outcomes for each in outcome.elections_ns)
    facts = {
        "kills": sum(outcome.schedule.kills for outcome in outcomes),
        "acknowledged": sum(outcome.acknowledged for outcome in outcomes),
        "lost": sum(outcome.lost for outcome in outcomes),
        "doubled": sum(outcome.doubled for outcome in outcomes),
        "overlaps": sum(outcome.overlaps for outcome in outcomes),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "campaigns": len(outcomes),
        "seconds": round(seconds),
        **{f"{part}_s": taken for part, taken in spent.items()},
        "rows_compared": sum(outcome.rows_compared for outcome in outcomes),
        "elections": len(elections),
        "election_p50_ms": round(_at(elections, 0.5)),
        "election_p99_ms": round(_at(elections, 0.99)),
        "snapshots": sum(outcome.snapshots for outcome in outcomes),
        "operations": sum(outcome.operations for outcome in outcomes),
        "statements": sum(outcome.statements for outcome in outcomes),
        "sightings": sum(outcome.sightings for outcome in outcomes),
        **dict(sorted(faults.items())),
    }
    return " ".join(f"{name}={value}" for name, value in facts.items())


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
