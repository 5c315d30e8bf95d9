"""`primacy consensus settings|raise-version`: what all members share."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.arguments import RequestIdOption, parse_optional_span, parse_request_id
from services.ctl.client import Suite
from services.ctl.commands.consensus.options import DryRunOption
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
from services.ctl.text import line, strong
from services.ctl.views.consensus import settings_lines


def settings(
    heartbeat: Annotated[str, typer.Option(metavar="DURATION", help="Interval of the leader's heartbeats.")] = "",
    election_min: Annotated[
        str, typer.Option(metavar="DURATION", help="Shortest silence of a leader before a member campaigns.")
    ] = "",
    election_max: Annotated[str, typer.Option(metavar="DURATION", help="Longest.")] = "",
    clock_drift_ppm: Annotated[
        int, typer.Option(min=0, help="Bound of how much clock rates differ, in millionths; 0 = as it is.")
    ] = 0,
    dry_run: DryRunOption = False,
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Show the settings that all members share, or change them for all at once.

    heartbeat is at most a quarter of election-min; election-max is 1.5 to 3 times of it.
    """
    session = Session.of(nodes, output, timeout)
    wanted = pb.GroupSettings(
        heartbeat=parse_optional_span(heartbeat),
        election_min=parse_optional_span(election_min),
        election_max=parse_optional_span(election_max),
        clock_drift_ppm=clock_drift_ppm,
    )
    asked = parse_request_id(request_id)

    async def show(suite: Suite) -> Exit:
        found = await suite.first(GROUP.call(lambda stub: stub.GetGroupSettings, pb.GetGroupSettingsRequest()))
        session.show(lambda: settings_lines(found.settings, found.log_index), found)
        return Exit.OK

    async def change(suite: Suite) -> Exit:
        request = pb.SetGroupSettingsRequest(request_id=asked, settings=wanted, validate_only=dry_run)
        done = await suite.leader(GROUP.call(lambda stub: stub.SetGroupSettings, request))
        session.show(lambda: settings_lines(done.settings, done.log_index), done)
        return Exit.OK

    run(session, change if wanted.ByteSize() else show)


def raise_version(
    version: Annotated[
        int, typer.Argument(metavar="[VERSION]", help="Default: the newest that every voter speaks.")
    ] = 0,
    dry_run: DryRunOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Raise the version that all members speak, after an upgrade of all of them.

    There is no way back: members that do not speak it cannot take part any more.
    """
    session = Session.of(nodes, output, timeout)
    request = pb.RaiseGroupVersionRequest(version=version, validate_only=dry_run)

    async def work(suite: Suite) -> Exit:
        done = await suite.leader(GROUP.call(lambda stub: stub.RaiseGroupVersion, request))
        said = "would speak" if dry_run else "speaks"
        session.show(lambda: [line(f"the group {said} version ", strong(str(done.version)))], done)
        return Exit.OK

    run(session, work)
