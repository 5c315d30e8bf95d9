"""What all commands share: their common options, and running one against the nodes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from services.ctl.arguments import parse_seconds
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.nodes import DEFAULT_NODES, Node, parse_nodes
from services.ctl.output import Output, json_line
from services.ctl.render import Renderer
from services.ctl.settings import CtlSettings
from services.ctl.text import Line
from services.shared.runtime.settings import load_settings

NodesOption = Annotated[
    str,
    typer.Option(
        "--nodes",
        "-n",
        envvar="PRIMACY_NODES",
        metavar="HOST[:PORT],...",
        help="Nodes to ask, in this order; PORT is the first of the node's four service ports.",
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or json: one object a line.")]
TimeoutOption = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="Deadline of each call, such as 500ms or 5s.")
]

DEFAULT_TIMEOUT = "5s"
__all__ = [
    "DEFAULT_NODES",
    "DEFAULT_TIMEOUT",
    "NodesOption",
    "Output",
    "OutputOption",
    "Session",
    "TimeoutOption",
    "run",
]


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command: whom to ask and how to answer."""

    nodes: tuple[Node, ...]
    output: Output
    timeout_s: float
    renderer: Renderer

    @classmethod
    def of(cls, nodes: str, output: Output, timeout: str = DEFAULT_TIMEOUT) -> Session:
        """Parse the common options.

        Raises:
            CtlError: One of them is malformed.
        """
        try:
            asked = parse_nodes(nodes)
        except ValueError as error:
            raise CtlError(str(error), Exit.USAGE) from None
        return cls(asked, output, parse_seconds(timeout), Renderer())

    def show(self, lines: Callable[[], Iterable[Line]], value: Message | Mapping[str, Any]) -> None:
        """Answer: the lines for people, or the value as one line of JSON."""
        if self.output is Output.JSON:
            print(json_line(value), flush=True)
        else:
            self.renderer.print(lines())


def run(session: Session, work: Callable[[Suite], Awaitable[Exit]]) -> None:
    """Run a command's work with a client and end with the exit code it returns."""
    try:
        code = asyncio.run(_with_suite(session, work))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    if code is not Exit.OK:
        raise typer.Exit(int(code))


async def _with_suite(session: Session, work: Callable[[Suite], Awaitable[Exit]]) -> Exit:
    settings = load_settings(CtlSettings, os.environ)
    async with Suite(session.nodes, session.timeout_s, settings) as suite:
        return await work(suite)
