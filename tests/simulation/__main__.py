"""Run seeds: `python -m tests.simulation --seeds N [--from K]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.defect import Defect
from tests.simulation.seed_runs import Plan, Total, run_seeds
from tests.simulation.weights import Suite


def main() -> int:
    """Run the seeds the command line names; print each failure, and one line in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--from", type=int, default=1, dest="first", help="first seed")
    parser.add_argument("--seconds", type=float, default=8.0, help="virtual seconds with faults in each run")
    parser.add_argument("--suite", type=Suite, choices=list(Suite), default=Suite.FULL, help="which rules must hold")
    parser.add_argument("--defect", type=Defect, choices=list(Defect), default=Defect.NONE, help="build a mistake in")
    parser.add_argument("--trail", type=int, default=0, help="how many of the last events a failure tells")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0 = one per core")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    options = parser.parse_args()
    plan = Plan(options.seconds, options.suite, options.defect, options.trail)
    begun, total = time.monotonic(), Total()
    for outcome in run_seeds(plan, range(options.first, options.first + options.seeds), options.jobs):
        total.add(outcome)
        if outcome.failure:
            print(outcome.failure, flush=True)
            if not options.keep_going:
                break
    print(total.line(time.monotonic() - begun))
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
