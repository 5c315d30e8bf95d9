"""`primacy explain`: why, and why not."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.recovery.v1 import recovery_pb2

from services.ctl.api import ANALYSIS
from services.ctl.arguments import names_instance, parse_endpoint
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.group import blocked_findings
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
from services.ctl.views.explain import explain_lines
from services.shared.runtime.clock import utc_now


def explain(
    subject: Annotated[
        str, typer.Argument(metavar="CLUSTER|HOST:PORT", help="A cluster (id or exact alias) or an instance.")
    ],
    cluster: Annotated[
        bool, typer.Option("--cluster", help="SUBJECT is a cluster, although it looks like host:port.")
    ] = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Show why, and why not: rules, verdict, blockers.

    Every rule of analysis in order, with each condition (+ holds, - does not) and what was seen; then what stands
    between the verdict and an action.
    """
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        explanations = await _explain(suite, subject, only_cluster=cluster)
        blocked = _about(explanations, await blocked_findings(suite))
        value = {"explanations": explanations, "blocked": blocked or [], "blocked_known": blocked is not None}
        session.show(lambda: explain_lines(explanations, blocked, utc_now()), value)
        return Exit.OK

    run(session, work)


async def _explain(suite: Suite, subject: str, *, only_cluster: bool) -> list[pb.Explanation]:
    """Ask for the instance when the subject may name one, else, or when there is none, for the cluster."""
    by_cluster = pb.ExplainRequest(cluster=subject)
    if only_cluster or not names_instance(subject):
        return await _ask(suite, by_cluster)
    try:
        return await _ask(suite, pb.ExplainRequest(instance=parse_endpoint(subject)))
    except CtlError as unknown:
        if unknown.exit_code is not Exit.NOT_FOUND:
            raise
        try:
            return await _ask(suite, by_cluster)
        except CtlError as error:
            raise (unknown if error.exit_code is Exit.NOT_FOUND else error) from None


async def _ask(suite: Suite, request: pb.ExplainRequest) -> list[pb.Explanation]:
    return list((await suite.first(ANALYSIS.call(lambda stub: stub.Explain, request))).explanations)


def _about(
    explanations: list[pb.Explanation], blocked: list[recovery_pb2.BlockedFinding] | None
) -> list[recovery_pb2.BlockedFinding] | None:
    """Return the blocked findings of the explained instances; None when they are not known."""
    if blocked is None:
        return None
    explained = {(explanation.instance.host, explanation.instance.port) for explanation in explanations}
    return [entry for entry in blocked if (entry.instance.host, entry.instance.port) in explained]
