"""`python -m demo [--svg FILE]`: kill a primary and watch the suite promote a replica.

Exits with 0 only if writes resumed on the successor, none that was acknowledged is lost, and every surviving replica
follows it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.failure import StoryFailed
from demo.narrator import Narrator
from demo.story import tell
from services.ctl.failure import CtlError
from tests.support.lab import LabError


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return the exit code."""
    options = _parser().parse_args(arguments)
    narrator = Narrator()
    try:
        asyncio.run(tell(narrator))
    except (StoryFailed, LabError, CtlError) as error:
        narrator.failed(str(error))
        return 1
    except KeyboardInterrupt:
        narrator.failed("interrupted; everything the demo started is gone")
        return 130
    if options.svg:
        narrator.save_svg(options.svg)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Kill a primary, watch a replica take over.")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw what was shown as a picture")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
