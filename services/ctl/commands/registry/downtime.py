"""`primacy downtime`: what automatic recovery leaves alone for a while."""

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
from services.ctl.views.registry import downtime_lines

app = typer.Typer(name="downtime", help="What automatic recovery leaves alone for a while.", no_args_is_help=True)


@app.command()
def begin(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="HOST:PORT, or a cluster: its id or exact alias.")],
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
    duration = parse_span(span)

    async def work(suite: Suite) -> Exit:
        request = pb.BeginDowntimeRequest(target=await resolve_target(suite, target), duration=duration, **common)
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).BeginDowntime(request, timeout=timeout_s)
        )
        session.show(lambda: downtime_lines([done.downtime]), done.downtime)
        return Exit.OK

    run(session, work)


@app.command()
def end(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="HOST:PORT, or a cluster: its id or exact alias.")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.EndDowntimeRequest(target=await resolve_target(suite, target), **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).EndDowntime(request, timeout=timeout_s))
        session.show(lambda: [line("ended: ", *downtime_lines([done.downtime]))], done.downtime)
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
    """List downtimes, also those that begin later."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        asked = await resolve_target(suite, target) if target else None
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListDowntimes(
                    pb.ListDowntimesRequest(
                        page_size=1000, page_token=token, consistency=consistency(fresh=fresh), target=asked
                    ),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.downtimes]
        session.show(lambda: downtime_lines(found), {"downtimes": found})
        return Exit.OK

    run(session, work)
