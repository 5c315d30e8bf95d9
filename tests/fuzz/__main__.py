"""`make fuzz MINUTES=m`: attack a group for so long, from seed after seed."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Final

from tests.fuzz.campaign import campaign

_ROUND_S: Final = 60.0


def main() -> None:
    """Run rounds of a minute until the time is over; the seed of a round that fails is printed."""
    parser = argparse.ArgumentParser(description="Attack a group of consensus members.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    until = time.monotonic() + options.minutes * 60
    seed = options.seed
    while (left := until - time.monotonic()) > 0:
        try:
            count = asyncio.run(campaign(seed, min(_ROUND_S, left)))
        except AssertionError as error:
            sys.exit(f"seed {seed}: {error}")
        sys.stdout.write(f"seed {seed}: {count} attacks, nothing broke\n")
        sys.stdout.flush()
        seed += 1


if __name__ == "__main__":
    main()
