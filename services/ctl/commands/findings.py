"""`primacy findings`: what is wrong now."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.analysis.v1 import analysis_pb2 as pb

from services.ctl.api import ANALYSIS
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
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
from services.ctl.views.advice import advice_lines, changes_lines
from services.ctl.views.findings import findings_lines
from services.shared.runtime.clock import utc_now


def findings(
    cluster: Annotated[str, typer.Argument(metavar="[CLUSTER]", help="Its id or exact alias; default: all.")] = "",
    advice: Annotated[bool, typer.Option("--advice", help="Instead: what is weak beyond the decision table.")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="Instead: what was found before, newest first.")] = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List what is wrong; code 5 when something is."""
    session = Session.of(nodes, output, timeout)
    if advice and changes:
        raise CtlError("--advice and --changes exclude each other", Exit.USAGE)

    async def work_on_advice(suite: Suite) -> Exit:
        found = await list_advice(suite, cluster)
        session.show(lambda: advice_lines(found.advice), found)
        return Exit.OK

    async def work_on_changes(suite: Suite) -> Exit:
        found = await list_changes(suite, cluster)
        session.show(lambda: changes_lines(found.changes), found)
        return Exit.OK

    async def work(suite: Suite) -> Exit:
        found = await list_findings(suite, cluster)
        staleness = found.staleness.ToTimedelta() if found.HasField("staleness") else None
        session.show(lambda: findings_lines(found.findings, staleness, utc_now()), found)
        return Exit.WRONG if found.findings else Exit.OK

    run(session, work_on_advice if advice else work_on_changes if changes else work)


async def list_findings(suite: Suite, cluster: str) -> pb.ListFindingsResponse:
    """Return all pages of the findings as one response."""
    return await all_pages(
        lambda request: suite.first(ANALYSIS.call(lambda stub: stub.ListFindings, request)),
        pb.ListFindingsRequest(cluster=cluster),
    )


async def list_advice(suite: Suite, cluster: str) -> pb.ListAdviceResponse:
    """Return all pages of the advice as one response."""
    return await all_pages(
        lambda request: suite.first(ANALYSIS.call(lambda stub: stub.ListAdvice, request)),
        pb.ListAdviceRequest(cluster=cluster),
    )


async def list_changes(suite: Suite, cluster: str) -> pb.ListChangesResponse:
    """Return all pages of the changes as one response."""
    return await all_pages(
        lambda request: suite.first(ANALYSIS.call(lambda stub: stub.ListChanges, request)),
        pb.ListChangesRequest(cluster=cluster) if cluster else pb.ListChangesRequest(),
    )
