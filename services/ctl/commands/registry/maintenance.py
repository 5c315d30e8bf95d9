"""`primacy maintenance`: instances and clusters taken for exclusive work."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.client import Suite
from services.ctl.commands.registry.asking import (
    FreshOption,
    OwnerOption,
    ReasonOption,
    RequestIdOption,
    WhyOption,
    ask_leader,
    consistency,
    list_all,
    origin,
    parse_span,
    resolve_target,
    stub,
)
from services.ctl.failure import Exit
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.text import line
from services.ctl.views.registry import maintenance_lines

app = typer.Typer(name="maintenance", help="Take a server or a cluster for exclusive work.", no_args_is_help=True)


@app.command()
def begin(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="HOST:PORT, or a cluster: its id or exact alias.")],
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
    duration = parse_span(span)

    async def work(suite: Suite) -> Exit:
        request = pb.BeginMaintenanceRequest(
            target=await resolve_target(suite, target), duration=duration, maintenance_id=prolong, **common
        )
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).BeginMaintenance(request, timeout=timeout_s)
        )
        session.show(lambda: maintenance_lines([done.maintenance]), done.maintenance)
        return Exit.OK

    run(session, work)


@app.command()
def end(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="HOST:PORT, or a cluster: its id or exact alias.")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.EndMaintenanceRequest(target=await resolve_target(suite, target), maintenance_id=only, **common)
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).EndMaintenance(request, timeout=timeout_s)
        )
        session.show(lambda: [line("ended: ", *maintenance_lines([done.maintenance]))], done.maintenance)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    target: Annotated[str, typer.Argument(metavar="[TARGET]", help="HOST:PORT, or a cluster; default: all.")] = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List maintenances."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        asked = await resolve_target(suite, target) if target else None
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListMaintenances(
                    pb.ListMaintenancesRequest(
                        page_size=1000, page_token=token, consistency=consistency(fresh=fresh), target=asked
                    ),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.maintenances]
        session.show(lambda: maintenance_lines(found), {"maintenances": found})
        return Exit.OK

    run(session, work)
