"""`primacy pool`: named sets of instances."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.arguments import parse_endpoint
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import (
    FreshOption,
    OwnerOption,
    ReasonOption,
    RequestIdOption,
    ask_leader,
    consistency,
    list_all,
    origin,
    parse_span,
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
from services.ctl.views.registry import pool_lines

app = typer.Typer(name="pool", help="Pools: named sets of instances.", no_args_is_help=True)


@app.command("set")
def set_pool(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    instances: Annotated[list[str], typer.Argument(metavar="HOST:PORT...")],
    span: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long; default: until deleted.")] = "",
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Say which instances a pool has; replaces what it had."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    endpoints, duration = [parse_endpoint(instance) for instance in instances], parse_span(span)

    async def work(suite: Suite) -> Exit:
        request = pb.SetPoolRequest(name=name, instances=endpoints, expire_after=duration, **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).SetPool(request, timeout=timeout_s))
        session.show(lambda: pool_lines([done.pool]), done.pool)
        return Exit.OK

    run(session, work)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Delete a pool. Code 3 when there is none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def work(suite: Suite) -> Exit:
        request = pb.DeletePoolRequest(name=name, **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).DeletePool(request, timeout=timeout_s))
        session.show(lambda: [line("deleted: ", *pool_lines([done.pool]))], done.pool)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    instance: Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Default: all.")] = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List pools, or only those that have an instance."""
    session = Session.of(nodes, output, timeout)
    asked = parse_endpoint(instance) if instance else None

    async def work(suite: Suite) -> Exit:
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListPools(
                    pb.ListPoolsRequest(
                        page_size=1000, page_token=token, consistency=consistency(fresh=fresh), instance=asked
                    ),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.pools]
        session.show(lambda: pool_lines(found), {"pools": found})
        return Exit.OK

    run(session, work)
