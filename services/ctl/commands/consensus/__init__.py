"""`primacy consensus …`: the Raft group itself, gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import typer

from services.ctl.commands.consensus.add import add
from services.ctl.commands.consensus.lead import step_down, transfer
from services.ctl.commands.consensus.members import members, promote, remove, update
from services.ctl.commands.consensus.replace import cancel_replacement, replace
from services.ctl.commands.consensus.rescue import backup, inspect, recover
from services.ctl.commands.consensus.settings import raise_version, settings
from services.ctl.commands.consensus.status import status
from services.ctl.commands.consensus.watch import watch
from services.ctl.failure import EXIT_CODES

_COMMANDS: Final[tuple[Callable[..., Any], ...]] = (
    status,
    members,
    watch,
    add,
    promote,
    remove,
    update,
    replace,
    cancel_replacement,
    transfer,
    step_down,
    settings,
    raise_version,
    inspect,
    backup,
    recover,
)

consensus = typer.Typer(
    name="consensus",
    help="The Raft group: its members, who leads, its settings, its stores.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
for _command in _COMMANDS:
    consensus.command()(_command)
