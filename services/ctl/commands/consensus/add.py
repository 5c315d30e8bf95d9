"""`primacy consensus add`: a new member."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.arguments import RequestIdOption, parse_request_id
from services.ctl.client import Suite
from services.ctl.commands.consensus.options import (
    ApiOption,
    DryRunOption,
    ForceOption,
    IdOption,
    NameArgument,
    PreferenceOption,
    RaftOption,
    RecoveryOption,
    SiteOption,
)
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import changed_lines


def add(
    name: NameArgument,
    raft_endpoint: RaftOption,
    api_endpoint: ApiOption,
    recovery_endpoint: RecoveryOption = "",
    member_id: IdOption = 0,
    site: SiteOption = "",
    preference: PreferenceOption = 50,
    learner: Annotated[
        bool, typer.Option("--learner", help="It never votes by itself: a standby or a reader.")
    ] = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Take a member in. It votes as soon as it has caught up.

    Start it with PRIMACY_CONSENSUS_JOIN=true and PRIMACY_CONSENSUS_MEMBER_ID set to its id, before or after.
    """
    session = Session.of(nodes, output, timeout)
    member = pb.Member(
        member_id=member_id,
        name=name,
        raft_endpoint=raft_endpoint,
        api_endpoint=api_endpoint,
        recovery_endpoint=recovery_endpoint,
        site=site,
        preference=preference,
    )
    request = pb.AddMemberRequest(
        request_id=parse_request_id(request_id),
        member=member,
        auto_promote=not learner,
        force=force,
        validate_only=dry_run,
    )

    async def work(suite: Suite) -> Exit:
        done = await suite.leader(GROUP.call(lambda stub: stub.AddMember, request))
        said = f"{name} is in, as member {done.member_id}"
        session.show(lambda: changed_lines(said, done.members, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)
