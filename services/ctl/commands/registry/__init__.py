"""What people tell the registry, gathered: one group of commands for each noun."""

from __future__ import annotations

from typing import Final

import typer

from services.ctl.commands.registry import downtime, maintenance, name, policy, pool, rule, setting, tag

GROUPS: Final[tuple[typer.Typer, ...]] = tuple(
    module.app for module in (downtime, maintenance, rule, tag, pool, name, policy, setting)
)
