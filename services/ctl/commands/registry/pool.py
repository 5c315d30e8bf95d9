"""`primacy pool`: named sets of instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption, parse_endpoint, parse_optional_span
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin
from services.ctl.commands.registry.options import (
    ExpiryOption,
    FreshOption,
    ItemNameArgument,
    OnlyInstanceArgument,
    OwnerOption,
    ReasonOption,
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
from services.ctl.views.registry import pool_lines

app = typer.Typer(name="pool", help="Pools: named sets of instances.", no_args_is_help=True)


@app.command("set")
def set_pool(
    name: ItemNameArgument,
    instances: Annotated[list[str], typer.Argument(metavar="HOST:PORT...")],
    span: ExpiryOption = "",
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
    endpoints, duration = [parse_endpoint(instance) for instance in instances], parse_optional_span(span)

    async def change(suite: Suite) -> pb.Pool:
        request = pb.SetPoolRequest(name=name, instances=endpoints, expire_after=duration, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetPool, request))).pool

    show_item(session, change, pool_lines)


@app.command()
def delete(
    name: ItemNameArgument,
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

    async def change(suite: Suite) -> pb.Pool:
        request = pb.DeletePoolRequest(name=name, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeletePool, request))).pool

    show_item(session, change, pool_lines, "deleted")


@app.command("list")
def show(
    instance: OnlyInstanceArgument = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List pools, or only those that have an instance."""
    session = Session.of(nodes, output, timeout)
    asked = parse_endpoint(instance) if instance else None

    async def listed(suite: Suite) -> Sequence[pb.Pool]:
        request = pb.ListPoolsRequest(instance=asked)
        return (await list_all(suite, lambda stub: stub.ListPools, request, fresh=fresh)).pools

    show_items(session, "pools", listed, pool_lines)
