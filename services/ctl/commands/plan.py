"""`primacy plan`: what a failover would do, without doing it."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.recovery.v1 import recovery_pb2_grpc

from services.ctl.arguments import parse_endpoint
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.nodes import Service
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
        response = await suite.first(
            Service.RECOVERY,
            lambda channel, timeout_s: recovery_pb2_grpc.RecoveryServiceStub(channel).Plan(request, timeout=timeout_s),
        )
        session.show(lambda: plan_lines(response.plan), response.plan)
        return Exit.OK if response.plan.HasField("chosen") else Exit.REFUSED

    run(session, work)
