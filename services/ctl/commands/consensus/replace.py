"""`primacy consensus replace|cancel-replacement`: one member for another, without a restart of the others."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.arguments import RequestIdOption, parse_request_id, parse_uuid
from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import find_member
from services.ctl.commands.consensus.options import (
    ApiOption,
    DryRunOption,
    IdOption,
    MemberArgument,
    NameArgument,
    PreferenceOption,
    RaftOption,
    RecoveryOption,
    SiteOption,
)
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import replacement_lines


def replace(
    old: MemberArgument,
    name: NameArgument,
    raft_endpoint: RaftOption,
    api_endpoint: ApiOption,
    recovery_endpoint: RecoveryOption = "",
    member_id: IdOption = 0,
    site: SiteOption = "",
    preference: PreferenceOption = 50,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Replace a member by a new one: added, caught up, promoted; then the old one is removed.

    Answers when the group has taken it on; whoever leads carries it on. `primacy consensus status` shows how far it is.
    """
    session = Session.of(nodes, output, timeout)
    asked = parse_request_id(request_id)
    member = pb.Member(
        member_id=member_id,
        name=name,
        raft_endpoint=raft_endpoint,
        api_endpoint=api_endpoint,
        recovery_endpoint=recovery_endpoint,
        site=site,
        preference=preference,
    )

    async def work(suite: Suite) -> Exit:
        found = await find_member(suite, old)
        request = pb.ReplaceMemberRequest(
            request_id=asked, old_member_id=found.member_id, new_member=member, validate_only=dry_run
        )
        done = await suite.leader(GROUP.call(lambda stub: stub.ReplaceMember, request))
        session.show(lambda: replacement_lines(done.replacement, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)


def cancel_replacement(
    replacement_id: Annotated[str, typer.Argument(metavar="ID", help="The replacement, as its start showed it.")],
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """End a replacement before the old member is removed; the new one stays what it is by then."""
    session = Session.of(nodes, output, timeout)
    request = pb.CancelReplacementRequest(replacement_id=parse_uuid(replacement_id, "ID"))

    async def work(suite: Suite) -> Exit:
        done = await suite.leader(GROUP.call(lambda stub: stub.CancelReplacement, request))
        session.show(lambda: replacement_lines(done.replacement, (), False), done)
        return Exit.OK

    run(session, work)
