"""`primacy downtime`: what automatic recovery leaves alone for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption, parse_optional_span
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin, resolve_target
from services.ctl.commands.registry.options import (
    FreshOption,
    OnlyTargetArgument,
    OwnerOption,
    ReasonOption,
    TargetArgument,
    WhyOption,
)
from services.ctl.commands.registry.showing import show_item, show_items
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
)
from services.ctl.views.registry import downtime_lines

app = typer.Typer(name="downtime", help="What automatic recovery leaves alone for a while.", no_args_is_help=True)


@app.command()
def begin(
    target: TargetArgument,
    reason: WhyOption,
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, at most a year and a day.")] = "10m",
    owner: OwnerOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Begin a downtime, in the place of the one the target has."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    duration = parse_optional_span(span)

    async def change(suite: Suite) -> pb.Downtime:
        request = pb.BeginDowntimeRequest(target=await resolve_target(suite, target), duration=duration, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.BeginDowntime, request))).downtime

    show_item(session, change, downtime_lines)


@app.command()
def end(
    target: TargetArgument,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """End a downtime before its time. Code 3 when there is none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def change(suite: Suite) -> pb.Downtime:
        request = pb.EndDowntimeRequest(target=await resolve_target(suite, target), **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.EndDowntime, request))).downtime

    show_item(session, change, downtime_lines, "ended")


@app.command("list")
def show(
    target: OnlyTargetArgument = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List downtimes, also those that begin later."""
    session = Session.of(nodes, output, timeout)

    async def listed(suite: Suite) -> Sequence[pb.Downtime]:
        asked = await resolve_target(suite, target) if target else None
        request = pb.ListDowntimesRequest(target=asked)
        return (await list_all(suite, lambda stub: stub.ListDowntimes, request, fresh=fresh)).downtimes

    show_items(session, "downtimes", listed, downtime_lines)
