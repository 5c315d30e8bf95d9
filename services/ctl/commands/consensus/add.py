"""`primacy consensus add`: a new member."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import (
    DryRunOption,
    ForceOption,
    RequestIdOption,
    ask_leader,
    request_id_of,
    stub,
)
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import changed_lines

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of its node, as in its certificate.")]
RaftOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its peers reach it.")]
ApiOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where its API is.")]
RecoveryOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the recovery of its node is.")]
IdOption = Annotated[
    int, typer.Option("--id", min=0, help="Its member_id, never used before. Default: drawn, and shown.")
]
SiteOption = Annotated[str, typer.Option(help="Its data centre.")]
PreferenceOption = Annotated[int, typer.Option(min=0, max=100, help="Who tends to lead; 0 votes and never leads.")]


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
        request_id=request_id_of(request_id),
        member=member,
        auto_promote=not learner,
        force=force,
        validate_only=dry_run,
    )

    async def work(suite: Suite) -> Exit:
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).AddMember(request, timeout=timeout_s))
        said = f"{name} is in, as member {done.member_id}"
        session.show(lambda: changed_lines(said, done.members, done.warnings, dry_run), done)
        return Exit.OK

    run(session, work)
