"""Say nothing to a group over thousands of connections, then attack it: `python -m tests.fuzz --minutes M`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.fuzz.campaign import Round, attacked_group, campaign
from tests.fuzz.silence import FEW_FILES, Silence, keep_silent, told

_ROUND_S: Final = 60.0


async def _silences(count: int) -> list[Silence]:
    """Say nothing to a member that may open what it needs, and to one that may not."""
    found = []
    for member_files in (None, FEW_FILES):
        async with attacked_group() as group:
            silence = await keep_silent(group, count, member_files=member_files)
        found.append(silence)
        for violation in silence.violations:
            print(f"silence: {violation}\n  again: python -m tests.fuzz --minutes 0 --connections {count}", flush=True)
        print(f"silence: {silence}", file=sys.stderr, flush=True)
    return found


def _rounds(seed: int, minutes: float) -> list[Round]:
    """Run rounds of a minute until the time is over."""
    until = time.monotonic() + minutes * 60
    rounds: list[Round] = []
    while (left := until - time.monotonic()) > 0:
        found = asyncio.run(campaign(seed + len(rounds), min(_ROUND_S, left)))
        rounds.append(found)
        for violation in found.violations:
            print(f"seed={found.seed}: {violation}\n  again: python -m tests.fuzz --minutes 1 --seed {found.seed}")
        print(f"seed={found.seed} attacks={found.endings.total()} {told(found.endings)}", file=sys.stderr, flush=True)
    return rounds


def main() -> int:
    """Say nothing, then attack; print what is wrong, and one line in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to attack")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first round")
    parser.add_argument("--connections", type=int, default=10_000, help="that say nothing at the same time; 0 = none")
    options = parser.parse_args()
    silences = asyncio.run(_silences(options.connections)) if options.connections else []
    rounds = _rounds(options.seed, options.minutes)
    print(summary(silences, rounds))
    return 1 if _violations(silences, rounds) else 0


def _violations(silences: Sequence[Silence], rounds: Sequence[Round]) -> int:
    return sum(len(each.violations) for each in silences) + sum(len(each.violations) for each in rounds)


def summary(silences: Sequence[Silence], rounds: Sequence[Round]) -> str:
    """Return one line about everything."""
    endings = sum((each.endings for each in rounds), Counter[str]())
    facts = {
        "attacks": endings.total(),
        "rounds": len(rounds),
        "grown_mb": f"{max((each.grown_kb for each in rounds), default=0) / 1024:.1f}",
        "endings": told(endings),
        "violations": _violations(silences, rounds),
    }
    attacked = " ".join(f"{name}={value}" for name, value in facts.items())
    return " | ".join((attacked, *(f"silence: {each}" for each in silences)))


if __name__ == "__main__":
    sys.exit(main())
