"""`primacy maintenance`: instances and clusters taken for exclusive work."""

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
from services.ctl.views.registry import maintenance_lines

app = typer.Typer(name="maintenance", help="Take a server or a cluster for exclusive work.", no_args_is_help=True)


@app.command()
def begin(
    target: TargetArgument,
    reason: WhyOption,
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long at most, up to 30 days.")] = "10m",
    prolong: Annotated[int, typer.Option(metavar="ID", min=0, help="Prolong this maintenance instead.")] = 0,
    owner: OwnerOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Take an instance or a cluster. Code 1 when somebody else has it."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    duration = parse_optional_span(span)

    async def change(suite: Suite) -> pb.Maintenance:
        request = pb.BeginMaintenanceRequest(
            target=await resolve_target(suite, target), duration=duration, maintenance_id=prolong, **common
        )
        return (await suite.leader(REGISTRY.call(lambda stub: stub.BeginMaintenance, request))).maintenance

    show_item(session, change, maintenance_lines)


@app.command()
def end(
    target: TargetArgument,
    only: Annotated[int, typer.Option("--id", metavar="ID", min=0, help="Only this maintenance.")] = 0,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Let it go. Code 3 when nobody has it."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def change(suite: Suite) -> pb.Maintenance:
        request = pb.EndMaintenanceRequest(target=await resolve_target(suite, target), maintenance_id=only, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.EndMaintenance, request))).maintenance

    show_item(session, change, maintenance_lines, "ended")


@app.command("list")
def show(
    target: OnlyTargetArgument = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List maintenances."""
    session = Session.of(nodes, output, timeout)

    async def listed(suite: Suite) -> Sequence[pb.Maintenance]:
        asked = await resolve_target(suite, target) if target else None
        request = pb.ListMaintenancesRequest(target=asked)
        return (await list_all(suite, lambda stub: stub.ListMaintenances, request, fresh=fresh)).maintenances

    show_items(session, "maintenances", listed, maintenance_lines)
