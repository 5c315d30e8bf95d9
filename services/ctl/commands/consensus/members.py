"""`primacy consensus members|promote|remove|update`: who is in the group."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.arguments import RequestIdOption, parse_request_id
from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import find_member, leader_status
from services.ctl.commands.consensus.options import (
    ApiOption,
    DryRunOption,
    ForceOption,
    MemberArgument,
    RaftOption,
    RecoveryOption,
    SiteOption,
)
from services.ctl.failure import CtlError, Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import changed_lines, member_lines


def members(
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "2s",
) -> None:
    """List the members: name, id, what they count for, endpoints, site, preference."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        found = await leader_status(suite)
        value = {"members": list(found.members), "configuration_index": str(found.configuration_index)}
        session.show(lambda: member_lines(found.members), value)
        return Exit.OK

    run(session, work)


def promote(
    member: MemberArgument,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Make a learner a voter. Refused until it has caught up."""
    session = Session.of(nodes, output, timeout)
    asked = parse_request_id(request_id)

    async def work(suite: Suite) -> Exit:
        found = await find_member(suite, member)
        request = pb.PromoteMemberRequest(
            request_id=asked, member_id=found.member_id, force=force, validate_only=dry_run
        )
        done = await suite.leader(GROUP.call(lambda stub: stub.PromoteMember, request))
        session.show(lambda: changed_lines(f"{found.name} votes", done.members, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)


def remove(
    member: MemberArgument,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Take a member out of the group, for good: its id never comes back. A leader is transferred first."""
    session = Session.of(nodes, output, timeout)
    asked = parse_request_id(request_id)

    async def work(suite: Suite) -> Exit:
        found = await find_member(suite, member)
        request = pb.RemoveMemberRequest(
            request_id=asked, member_id=found.member_id, force=force, validate_only=dry_run
        )
        done = await suite.leader(GROUP.call(lambda stub: stub.RemoveMember, request))
        session.show(lambda: changed_lines(f"{found.name} is out", done.members, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)


def update(
    member: MemberArgument,
    raft_endpoint: RaftOption = "",
    api_endpoint: ApiOption = "",
    recovery_endpoint: RecoveryOption = "",
    site: SiteOption = "",
    preference: Annotated[
        int | None, typer.Option(min=0, max=100, help="Who tends to lead; 0 votes and never leads.")
    ] = None,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Change what the group knows of a member; what is not given stays."""
    session = Session.of(nodes, output, timeout)
    asked = parse_request_id(request_id)
    if not any((raft_endpoint, api_endpoint, recovery_endpoint, site)) and preference is None:
        raise CtlError("nothing is to be changed; give --preference, --site or an endpoint", Exit.USAGE)

    async def work(suite: Suite) -> Exit:
        found = await find_member(suite, member)
        change = pb.Member(
            member_id=found.member_id,
            raft_endpoint=raft_endpoint,
            api_endpoint=api_endpoint,
            recovery_endpoint=recovery_endpoint,
            site=site,
            preference=preference,
        )
        request = pb.UpdateMemberRequest(request_id=asked, member=change, validate_only=dry_run)
        done = await suite.leader(GROUP.call(lambda stub: stub.UpdateMember, request))
        session.show(lambda: changed_lines(f"{found.name} is updated", done.members, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)
