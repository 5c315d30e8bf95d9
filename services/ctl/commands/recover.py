"""`primacy recover`: start the recovery of a failed instance, and wait for it if asked to."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.api import RECOVERY
from services.ctl.arguments import parse_endpoint, parse_request_id, parse_seconds
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.follow import follow, outcome
from services.ctl.requester import requester
from services.ctl.session import (
    DEFAULT_NODES,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.text import line, strong
from services.ctl.views.recoveries import recovery_lines


def recover(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The failed primary.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the recovery ends, and show it.")] = False,
    wait_timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait at most.")] = "10m",
    request_id: Annotated[
        str, typer.Option(metavar="UUID", help="Repeat the id of an earlier try, and nothing is started twice.")
    ] = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Start the recovery of a failed primary.

    It must have a finding that a recovery exists for (`primacy findings`). Prints the recovery's id. With --wait: code
    0 when it succeeded, 5 with losses, 1 when it failed.
    """
    session = Session.of(nodes, output, timeout)
    limit_s = parse_seconds(wait_timeout)
    request = pb.StartRecoveryRequest(
        request_id=parse_request_id(request_id), failed=parse_endpoint(instance), requested_by=requester()
    )

    async def work(suite: Suite) -> Exit:
        started = (await suite.leader(RECOVERY.call(lambda stub: stub.StartRecovery, request))).recovery
        if not wait:
            session.show(lambda: [line("recovery ", strong(started.recovery_id), " started")], started)
            return Exit.OK
        ended = await _ended(suite, started.recovery_id, limit_s)
        session.show(lambda: recovery_lines(ended), ended)
        return outcome(ended)

    run(session, work)


async def _ended(suite: Suite, recovery_id: str, limit_s: float) -> pb.Recovery:
    try:
        async with asyncio.timeout(limit_s):
            return [recovery async for recovery in follow(suite, recovery_id)][-1]
    except TimeoutError:
        raise CtlError(
            f"recovery {recovery_id} goes on, and was not waited for; see `primacy recoveries {recovery_id}`",
            Exit.UNAVAILABLE,
        ) from None
