"""`primacy plan`: what a failover would do, without doing it."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.api import RECOVERY
from services.ctl.arguments import parse_endpoint
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.plan import plan_lines


def plan(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The primary to take as dead.")],
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Show what a failover would do; changes nothing.

    Candidates with the reason each is taken or refused, the statements per server, what may be lost. Code 1 when nobody
    may be promoted.
    """
    session = Session.of(nodes, output, timeout)
    request = pb.PlanRequest(failed=parse_endpoint(instance))

    async def work(suite: Suite) -> Exit:
        found = (await suite.first(RECOVERY.call(lambda stub: stub.Plan, request))).plan
        session.show(lambda: plan_lines(found), found)
        return Exit.OK if found.HasField("chosen") else Exit.REFUSED

    run(session, work)
