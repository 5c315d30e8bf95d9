"""`primacy setting`: settings of the fleet."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.client import Suite
from services.ctl.commands.registry.asking import (
    FreshOption,
    OwnerOption,
    ReasonOption,
    RequestIdOption,
    WhyOption,
    ask_leader,
    consistency,
    list_all,
    origin,
    stub,
)
from services.ctl.failure import Exit
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
from services.ctl.text import line
from services.ctl.views.registry import setting_lines

app = typer.Typer(
    name="setting",
    help="Settings of the fleet, and the global off switch.",
    no_args_is_help=True,
)


@app.command("set")
def set_setting(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    value: Annotated[str, typer.Argument(metavar="VALUE")],
    reason: WhyOption,
    owner: OwnerOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Write a setting. `recoveries` `off` refuses every automatic recovery in the whole fleet, until it is `on`."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def work(suite: Suite) -> Exit:
        request = pb.SetSettingRequest(name=name, value=value, **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).SetSetting(request, timeout=timeout_s))
        session.show(lambda: setting_lines([done.setting]), done.setting)
        return Exit.OK

    run(session, work)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Delete a setting: its default holds again. Code 3 when there is none."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)

    async def work(suite: Suite) -> Exit:
        request = pb.DeleteSettingRequest(name=name, **common)
        done = await ask_leader(
            suite, lambda channel, timeout_s: stub(channel).DeleteSetting(request, timeout=timeout_s)
        )
        session.show(lambda: [line("deleted: ", *setting_lines([done.setting]))], done.setting)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List settings."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListSettings(
                    pb.ListSettingsRequest(page_size=1000, page_token=token, consistency=consistency(fresh=fresh)),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.settings]
        session.show(lambda: setting_lines(found), {"settings": found})
        return Exit.OK

    run(session, work)
