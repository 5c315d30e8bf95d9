"""Programs of the services that work without a running service: started here, and ended as they end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import typer

from services.ctl.failure import Exit


def run_program(
    module: str,
    arguments: Sequence[str],
    *,
    capture: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a module of ours to its end; no shell.

    Args:
        module: As after `python -m`.
        arguments: Its arguments.
        capture: Keep what it prints to standard output; otherwise that goes where ours does.
        environment: Added to ours.
    """
    return subprocess.run(  # noqa: S603  Our own program.
        (sys.executable, "-m", module, *arguments),
        check=False,
        text=True,
        stdout=subprocess.PIPE if capture else None,
        env={**os.environ, **(environment or {})},
    )


def end_as(done: subprocess.CompletedProcess[str], exits: Mapping[int, Exit]) -> None:
    """End the command as a program ended; go on when it succeeded.

    Args:
        done: The program.
        exits: What its codes mean; any other is an internal error.
    """
    code = exits.get(done.returncode, Exit.INTERNAL)
    if code is not Exit.OK:
        raise typer.Exit(int(code))
