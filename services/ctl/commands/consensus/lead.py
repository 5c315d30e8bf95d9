"""`primacy consensus transfer|step-down`: who leads."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.arguments import parse_span
from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import find_member
from services.ctl.commands.consensus.options import DryRunOption, ForceOption
from services.ctl.failure import Exit
from services.ctl.session import (
    DEFAULT_NODES,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.views.consensus import leads_line


def transfer(
    member: Annotated[
        str, typer.Argument(metavar="[MEMBER]", help="Who shall lead: name or id; default: whom it fits best.")
    ] = "",
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "15s",
) -> None:
    """Hand leadership over, without losing a lease in between.

    A running recovery ends its step first, and goes on beside the new leader.
    """
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        target = (await find_member(suite, member)).member_id if member else 0
        request = pb.TransferLeadershipRequest(member_id=target, force=force, validate_only=dry_run)
        done = await suite.leader(GROUP.call(lambda stub: stub.TransferLeadership, request))
        session.show(lambda: [leads_line(done.leader, done.term, dry_run)], done)
        return Exit.OK

    run(session, work)


def step_down(
    hold: Annotated[str, typer.Option(metavar="DURATION", help="How long it does not campaign afterwards.")] = "10s",
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "15s",
) -> None:
    """Have the leader hand over to whom it fits best, and stay a follower for a while."""
    session = Session.of(nodes, output, timeout)
    request = pb.StepDownRequest(hold=parse_span(hold), force=force, validate_only=dry_run)

    async def work(suite: Suite) -> Exit:
        done = await suite.leader(GROUP.call(lambda stub: stub.StepDown, request))
        session.show(lambda: [leads_line(done.leader, done.term, dry_run)], done)
        return Exit.OK

    run(session, work)
