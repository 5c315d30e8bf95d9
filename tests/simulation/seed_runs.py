"""Many seeds on all cores, and the one line that sums them up."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.defect import Defect
from tests.simulation.failure import SimulationFailure
from tests.simulation.weights import Suite
from tests.simulation.world import RunResult, run_seed

REPEAT_EVERY = 100
"""Every so many seeds one is run twice, and must leave the same trace."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run a seed."""

    seconds: float = 8.0
    suite: Suite = Suite.FULL
    defect: Defect = Defect.NONE
    trail: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to: a result, or why it failed."""

    seed: int
    result: RunResult | None
    rule: str = ""
    failure: str = ""


@dataclass(slots=True)
class Total:
    """The sum of many seeds."""

    seeds: int = 0
    violations: int = 0
    events: int = 0
    commits: int = 0
    leaders: int = 0
    statements: int = 0
    operations: int = 0
    changes: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count a seed."""
        self.seeds += 1
        result = outcome.result
        if result is None:
            self.violations += 1
            return
        self.events += result.event_count
        self.commits += result.commit_count
        self.leaders += result.leader_count
        self.statements += result.statement_count
        self.operations += result.operation_count
        self.changes += result.change_count
        self.faults.update(dict(result.faults))

    def line(self, seconds: float) -> str:
        """Return everything in a line."""
        faults = ",".join(f"{name}:{count}" for name, count in sorted(self.faults.items()))
        return (
            f"seeds={self.seeds} events={self.events} committed={self.commits} leaders={self.leaders} "
            f"statements={self.statements} operations={self.operations} member_changes={self.changes} "
            f"faults={faults} violations={self.violations} seconds={seconds:.1f} "
            f"events_per_s={self.events / max(seconds, 0.001):.0f}"
        )


def run_one(plan: Plan, seed: int) -> Outcome:
    """Run a seed; one in a hundred twice, to see that it replays exactly."""
    try:
        result = run_seed(seed, plan.seconds, plan.defect, plan.trail, plan.suite)
        if seed % REPEAT_EVERY == 0 and run_seed(seed, plan.seconds, plan.defect, 0, plan.suite) != result:
            return Outcome(seed, None, "REPLAY", f"seed {seed} does not replay exactly")
    except SimulationFailure as failure:
        return Outcome(seed, None, failure.rule, str(failure))
    except Exception as error:
        error.add_note(f"seed {seed}, {plan}")
        raise
    return Outcome(seed, result)


def run_seeds(plan: Plan, seeds: Iterable[int], jobs: int = 0) -> Iterator[Outcome]:
    """Run seeds in order of their number, several at a time.

    Args:
        plan: How.
        seeds: Which.
        jobs: Processes; 0 = one per core.
    """
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        yield from map(partial(run_one, plan), seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(partial(run_one, plan), seeds, chunksize=4)
