"""`primacy findings`: what is wrong now."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.analysis.v1 import analysis_pb2 as pb

from services.ctl.api import ANALYSIS
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.paging import all_pages
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
from services.ctl.views.findings import findings_lines
from services.shared.runtime.clock import utc_now


def findings(
    cluster: Annotated[str, typer.Argument(metavar="[CLUSTER]", help="Its id or exact alias; default: all.")] = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List what is wrong; code 5 when something is."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        found = await list_findings(suite, cluster)
        staleness = found.staleness.ToTimedelta() if found.HasField("staleness") else None
        session.show(lambda: findings_lines(found.findings, staleness, utc_now()), found)
        return Exit.WRONG if found.findings else Exit.OK

    run(session, work)


async def list_findings(suite: Suite, cluster: str) -> pb.ListFindingsResponse:
    """Return all pages of the findings as one response."""
    return await all_pages(
        lambda request: suite.first(ANALYSIS.call(lambda stub: stub.ListFindings, request)),
        pb.ListFindingsRequest(cluster=cluster),
    )
