"""`primacy name`: what clusters are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin, resolve_cluster
from services.ctl.commands.registry.options import (
    ClusterArgument,
    FreshOption,
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
from services.ctl.views.registry import name_lines

app = typer.Typer(name="name", help="Names of clusters: alias and domain.", no_args_is_help=True)


@app.command("set")
def set_name(
    cluster: ClusterArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS")],
    domain: Annotated[str, typer.Option(help="Its domain.")] = "",
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Name a cluster. Code 1 when another one has the alias."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def change(suite: Suite) -> pb.ClusterName:
        request = pb.SetClusterNameRequest(
            cluster_id=await resolve_cluster(suite, cluster), alias=alias, domain=domain, **common
        )
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetClusterName, request))).cluster_name

    show_item(session, change, name_lines)


@app.command()
def delete(
    cluster: ClusterArgument,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Delete the name of a cluster. Code 3 when it has none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def change(suite: Suite) -> pb.ClusterName:
        request = pb.DeleteClusterNameRequest(cluster_id=await resolve_cluster(suite, cluster), **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeleteClusterName, request))).cluster_name

    show_item(session, change, name_lines, "deleted")


@app.command("list")
def show(
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List names of clusters."""
    session = Session.of(nodes, output, timeout)

    async def listed(suite: Suite) -> Sequence[pb.ClusterName]:
        request = pb.ListClusterNamesRequest()
        return (await list_all(suite, lambda stub: stub.ListClusterNames, request, fresh=fresh)).cluster_names

    show_items(session, "cluster_names", listed, name_lines)
