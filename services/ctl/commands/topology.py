"""`primacy topology`: the tree."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.nodes import Service
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
from services.ctl.views.tree import topology_lines
from services.shared.topology.convert import snapshot_from_proto


def topology(
    cluster: Annotated[str, typer.Argument(metavar="[CLUSTER]", help="Its id or exact alias; default: all.")] = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Draw clusters as trees.

    In brackets: [lag,status,version,rw|ro,binlog format,>>,GTID,semi:...]; `-` = does not apply, `?` = not known, `>>`
    = logs what it replicates. Behind them: what is wrong.
    """
    session = Session.of(nodes, output, timeout)
    request = pb.GetTopologyRequest(cluster=cluster)

    async def work(suite: Suite) -> Exit:
        response = await suite.first(
            Service.DISCOVERY,
            lambda channel, timeout_s: discovery_pb2_grpc.DiscoveryServiceStub(channel).GetTopology(
                request, timeout=timeout_s
            ),
        )
        session.show(lambda: topology_lines(snapshot_from_proto(response.snapshot)), response.snapshot)
        return Exit.OK

    run(session, work)
