"""`primacy analyze`: what the rules say of a topology in a file.

The work is done by `python -m services.analysis.offline`, whose rules they are: the command line only starts it.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from services.ctl.failure import Exit
from services.ctl.program import end_as, run_program
from services.ctl.session import Output, OutputOption

_OFFLINE: Final = "services.analysis.offline"
_EXITS: Final = {0: Exit.OK, 2: Exit.USAGE}


def analyze(
    snapshot: Annotated[
        str, typer.Option(metavar="FILE", help="As `primacy topology --output json` writes it; - for standard input.")
    ],
    downtimed: Annotated[
        bool, typer.Option("--downtimed", help="Also show what downtime tells to leave alone.")
    ] = False,
    healthy: Annotated[bool, typer.Option("--healthy", help="Also show instances in which nothing is wrong.")] = False,
    advice: Annotated[bool, typer.Option("--advice", help="Also show what is weak beyond the decision table.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Judge a topology in a file; asks no node.

    The rules are those of the running service. The file may also have `settings` that steer the rules (such as
    {"recover_non_writeable_primary": true}) and `memory`, what earlier readings showed: see AnalysisSettings and
    AnalysisMemory in analysis.proto. Code 0 whatever was found; 2 when the file is malformed.
    """
    chosen = {"--downtimed": downtimed, "--healthy": healthy, "--advice": advice}
    flags = [flag for flag, wanted in chosen.items() if wanted]
    end_as(run_program(_OFFLINE, ("--output", output.value, *flags, "--", snapshot)), _EXITS)
