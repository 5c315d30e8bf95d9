"""`primacy topology`: the tree."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.discovery.v1 import discovery_pb2 as pb

from services.ctl.api import DISCOVERY
from services.ctl.client import Suite
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
from services.ctl.views.tree import topology_lines
from services.shared.topology.convert.snapshot import snapshot_from_proto


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
        found = (await suite.first(DISCOVERY.call(lambda stub: stub.GetTopology, request))).snapshot
        session.show(lambda: topology_lines(snapshot_from_proto(found)), found)
        return Exit.OK

    run(session, work)
