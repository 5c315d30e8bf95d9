"""Kill real members under load: `python -m tests.chaos --minutes M [--seed S] [--members 3]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from tests.chaos.campaign import run_campaign
from tests.chaos.outcome import Outcome, summary

_CAMPAIGN_S = 60.0


async def _run(options: argparse.Namespace) -> list[Outcome]:
    outcomes: list[Outcome] = []
    until = time.monotonic() + options.minutes * 60
    sizes = [options.members] if options.members else [3, 5]
    while (left := until - time.monotonic()) > 0:
        seed, size = options.seed + len(outcomes), sizes[len(outcomes) % len(sizes)]
        outcome = await run_campaign(
            seed, size, min(left, options.campaign), poll_ms=options.poll_ms, keep=options.keep
        )
        outcomes.append(outcome)
        for violation in outcome.violations:
            print(f"seed={seed} members={size}: {violation}", flush=True)
        print(f"seed={seed} members={size} {summary([outcome])} | {outcome.traced}", file=sys.stderr, flush=True)
    return outcomes


def main() -> int:
    """Run campaigns until time is up; print what is wrong, and one line in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, all campaigns together")
    parser.add_argument("--seed", type=int, default=1, help="of the first campaign; each further one has the next")
    parser.add_argument("--members", type=int, default=0, help="members of each group; 0 = 3 and 5 in turn")
    parser.add_argument("--campaign", type=float, default=_CAMPAIGN_S, help="seconds of faults in one campaign")
    parser.add_argument("--poll-ms", type=float, default=2.0, help="how often the observer asks each member")
    parser.add_argument("--keep", type=Path, default=None, help="where to leave logs, traces and stores")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    outcomes = asyncio.run(_run(parser.parse_args()))
    print(summary(outcomes))
    return 1 if any(outcome.violations for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
