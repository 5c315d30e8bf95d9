"""`primacy name`: what clusters are called."""

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
    ask_leader,
    consistency,
    list_all,
    origin,
    resolve_cluster,
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
from services.ctl.views.registry import name_lines

app = typer.Typer(name="name", help="Names of clusters: alias and domain.", no_args_is_help=True)


@app.command("set")
def set_name(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="Its id or exact alias.")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.SetClusterNameRequest(
            cluster_id=await resolve_cluster(suite, cluster), alias=alias, domain=domain, **common
        )
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).SetClusterName(request, timeout=timeout_s)
        )
        session.show(lambda: name_lines([done.cluster_name]), done.cluster_name)
        return Exit.OK

    run(session, work)


@app.command()
def delete(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="Its id or exact alias.")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.DeleteClusterNameRequest(cluster_id=await resolve_cluster(suite, cluster), **common)
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).DeleteClusterName(request, timeout=timeout_s)
        )
        session.show(lambda: [line("deleted: ", *name_lines([done.cluster_name]))], done.cluster_name)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List names of clusters."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListClusterNames(
                    pb.ListClusterNamesRequest(page_size=1000, page_token=token, consistency=consistency(fresh=fresh)),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.cluster_names]
        session.show(lambda: name_lines(found), {"cluster_names": found})
        return Exit.OK

    run(session, work)
