"""`primacy findings`: what is wrong now."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.analysis.v1 import analysis_pb2_grpc

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
    found = pb.ListFindingsResponse()
    request = pb.ListFindingsRequest(cluster=cluster, page_size=1000)
    while True:
        page = await suite.first(
            Service.ANALYSIS,
            lambda channel, timeout: analysis_pb2_grpc.AnalysisServiceStub(channel).ListFindings(
                request, timeout=timeout
            ),
        )
        found.MergeFrom(page)
        found.next_page_token = ""
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
