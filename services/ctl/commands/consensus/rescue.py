"""`primacy consensus inspect|backup|recover`: the store of one member, on this machine.

The work is done by `python -m services.consensus.rescue`, whose store it is: the command line only starts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from services.ctl.failure import Exit
from services.ctl.program import end_as, run_program
from services.ctl.session import Output, OutputOption

_STORE_URL: Final = "PRIMACY_CONSENSUS_STORE_URL"
_RESCUE: Final = "services.consensus.rescue"
_EXITS: Final = {0: Exit.OK, 2: Exit.USAGE, 64: Exit.REFUSED, 74: Exit.WRONG, 75: Exit.UNAVAILABLE, 78: Exit.REFUSED}
StoreOption = Annotated[
    str,
    typer.Option(
        envvar=_STORE_URL,
        metavar="URL",
        help="The member's store, as its setting store_url has it; from the environment, so that no password shows.",
    ),
]


def inspect(store: StoreOption, output: OutputOption = Output.TEXT) -> None:
    """Show what a member's store holds: last term and index, members, digest. Changes nothing."""
    _run("inspect", store, output)


def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; must not exist.")],
    store: StoreOption,
    output: OutputOption = Output.TEXT,
) -> None:
    """Copy a member's store while it runs. The copy is meant for `recover`, not for putting back under the member."""
    _run("backup", store, output, "--to", str(to))


def recover(
    store: StoreOption,
    i_accept_loss: Annotated[
        bool, typer.Option("--i-accept-loss", help="Do it: what only the lost members knew is gone.")
    ] = False,
    acknowledged_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the member kept how far it had acknowledged.")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a stopped member the only one of a new group, after a majority was lost for good.

    Do so on the surviving store with the highest last term and index (`primacy consensus inspect`). Without
    --i-accept-loss it only tells what it would do. Then add members; the old ones can never come back by accident.
    """
    more = ["--i-accept-loss"] if i_accept_loss else []
    if acknowledged_file is not None:
        more += ["--acknowledged-file", str(acknowledged_file)]
    _run("recover", store, output, *more)


def _run(command: str, store: str, output: Output, *arguments: str) -> None:
    """Run one command of the rescue and end as it ended; its output goes where ours does."""
    given = (command, "--output", output.value, *arguments)
    end_as(run_program(_RESCUE, given, environment={_STORE_URL: store}), _EXITS)
