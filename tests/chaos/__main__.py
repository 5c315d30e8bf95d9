"""Kill real members under load, campaign after campaign.

`python -m tests.chaos --minutes M` goes on for so long; `--kills N` until N processes were killed, with `--minutes` as
the longest time. Ends with 1 if anything is wrong or the kills were not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from pathlib import Path
from typing import Final

from tests.chaos.campaign import run_campaign
from tests.chaos.outcome import Outcome, summary
from tests.chaos.plan import Plan

CAMPAIGN_S: Final = 240.0
"""Long enough that groups are not born all the time, short enough that histories are searched in seconds."""
_SIZES: Final = (3, 5)


def _killed(outcomes: list[Outcome]) -> int:
    return sum(outcome.schedule.kills for outcome in outcomes)


async def _run(options: argparse.Namespace) -> list[Outcome]:
    outcomes: list[Outcome] = []
    until = time.monotonic() + options.minutes * 60
    sizes = [options.members] if options.members else _SIZES
    while (
        (left := until - time.monotonic()) > 0
        and _killed(outcomes) < options.kills
        and len(outcomes) < options.campaigns
    ):
        number = len(outcomes)
        seconds, kills = min(left, options.campaign), options.kills - _killed(outcomes)
        begun = time.monotonic()
        plan = Plan(options.seed + number, sizes[number % len(sizes)], seconds, options.poll_ms, kills)
        outcome = await run_campaign(plan, keep=options.keep)
        outcomes.append(outcome)
        for violation in outcome.report:
            print(violation, flush=True)
        line = summary([outcome], seconds=time.monotonic() - begun)
        print(f"seed={plan.seed} members={plan.size} {line} | {outcome.traced}", file=sys.stderr, flush=True)
    return outcomes


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=math.inf, help="how long, all campaigns together")
    parser.add_argument("--kills", type=float, default=math.inf, help="go on until so many processes were killed")
    parser.add_argument("--campaigns", type=float, default=math.inf, help="at most so many")
    parser.add_argument("--seed", type=int, default=1, help="of the first campaign; each further one has the next")
    parser.add_argument("--members", type=int, default=0, help="members of each group; 0 = 3 and 5 in turn")
    parser.add_argument("--campaign", type=float, default=CAMPAIGN_S, help="seconds of faults in one campaign")
    parser.add_argument("--poll-ms", type=float, default=2.0, help="how often the observer asks each member")
    parser.add_argument("--keep", type=Path, default=None, help="where to leave logs, traces and stores")
    options = parser.parse_args()
    if options.minutes == options.kills == options.campaigns:
        parser.error("say when to end: --minutes, --kills or --campaigns")
    return options


def main() -> int:
    """Run campaigns until enough was done; print what is wrong, and one line in the end."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    options, begun = _options(), time.monotonic()
    outcomes = asyncio.run(_run(options))
    print(summary(outcomes, seconds=time.monotonic() - begun))
    short = math.isfinite(options.kills) and _killed(outcomes) < options.kills
    if short:
        print(f"{_killed(outcomes)} processes were killed in time, not {options.kills:.0f}")
    return 1 if short or any(outcome.violations for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
