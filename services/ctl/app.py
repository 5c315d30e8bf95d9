"""The commands, gathered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import typer

from services.ctl.commands.analyze import analyze
from services.ctl.commands.consensus import consensus
from services.ctl.commands.discover import discover
from services.ctl.commands.explain import explain
from services.ctl.commands.findings import findings
from services.ctl.commands.health import health
from services.ctl.commands.plan import plan
from services.ctl.commands.primaries import primaries
from services.ctl.commands.recover import recover
from services.ctl.commands.recoveries import recoveries
from services.ctl.commands.registry import GROUPS
from services.ctl.commands.status import status
from services.ctl.commands.topology import topology
from services.ctl.commands.up import up
from services.ctl.failure import EXIT_CODES

_COMMANDS: Final[tuple[Callable[..., Any], ...]] = (
    up,
    status,
    health,
    discover,
    topology,
    findings,
    explain,
    analyze,
    plan,
    recover,
    recoveries,
    primaries,
)

app = typer.Typer(
    name="primacy",
    help="Keeps MySQL and MariaDB replication topologies alive.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(consensus)
for _group in GROUPS:
    app.add_typer(_group)
