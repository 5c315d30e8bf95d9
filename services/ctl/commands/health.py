"""`primacy health`: one service, for the probes of containers and load balancers."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from services.ctl.arguments import parse_seconds
from services.ctl.failure import CtlError, Exit
from services.ctl.health import EXIT_CODES, SERVING, check
from services.ctl.output import json_line
from services.ctl.session import Output, OutputOption, TimeoutOption
from services.ctl.settings import CtlSettings
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.settings import load_settings, parse_host_port


def health(
    endpoint: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the service listens.")],
    name: Annotated[str, typer.Option(help="A health name, such as primacy.leader; default: the whole process.")] = "",
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "2s",
) -> None:
    """Ask one service whether it serves.

    Code 0 when it does, 5 when it does not, 3 when it does not know the name, 4 when it does not answer.
    """
    state = asyncio.run(_ask(_parse(endpoint), parse_seconds(timeout), name))
    value = {"endpoint": endpoint, "name": name, "state": state, "serving": state == SERVING}
    print(json_line(value) if output is Output.JSON else state)
    if state != SERVING:
        raise typer.Exit(EXIT_CODES[state])


async def _ask(endpoint: str, timeout_s: float, name: str) -> str:
    async with open_channel(endpoint, load_settings(CtlSettings, os.environ)) as channel:
        return await check(channel, timeout_s, name)


def _parse(endpoint: str) -> str:
    try:
        return parse_host_port(endpoint)
    except ValueError as error:
        raise CtlError(str(error), Exit.USAGE) from None
