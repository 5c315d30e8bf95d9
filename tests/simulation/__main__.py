"""Run seeds: `python -m tests.simulation --seeds N [--from K]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.defects import Defect
from tests.simulation.failure import SimulationFailure
from tests.simulation.world import run_seed


def main() -> int:
    """Run the seeds the command line names; print one line per failure and one in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--from", type=int, default=1, dest="first", help="first seed")
    parser.add_argument("--seconds", type=float, default=8.0, help="virtual seconds with faults in each run")
    parser.add_argument("--defect", type=Defect, choices=list(Defect), default=Defect.NONE, help="build a mistake in")
    parser.add_argument("--trail", type=int, default=0, help="how many of the last events a failure tells")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    options = parser.parse_args()
    begun, events, commits, leaders, statements, failures, seed = time.monotonic(), 0, 0, 0, 0, 0, options.first
    for seed in range(options.first, options.first + options.seeds):
        try:
            result = run_seed(seed, options.seconds, options.defect, options.trail)
        except SimulationFailure as failure:
            failures += 1
            print(failure, flush=True)
            if not options.keep_going:
                break
        else:
            events += result.event_count
            commits += result.commit_count
            leaders += result.leader_count
            statements += result.statement_count
    seconds = time.monotonic() - begun
    print(
        f"seeds={seed - options.first + 1} failures={failures} events={events} commits={commits} leaders={leaders} "
        f"statements={statements} seconds={seconds:.1f} events_per_s={events / max(seconds, 0.001):.0f}"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
