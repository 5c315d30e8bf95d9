"""`primacy setting`: settings of the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin
from services.ctl.commands.registry.options import (
    FreshOption,
    ItemNameArgument,
    OwnerOption,
    ReasonOption,
    WhyOption,
)
from services.ctl.commands.registry.showing import show_item, show_items
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
)
from services.ctl.views.registry import setting_lines

app = typer.Typer(
    name="setting",
    help="Settings of the fleet, and the global off switch.",
    no_args_is_help=True,
)


@app.command("set")
def set_setting(
    name: ItemNameArgument,
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

    async def change(suite: Suite) -> pb.Setting:
        request = pb.SetSettingRequest(name=name, value=value, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetSetting, request))).setting

    show_item(session, change, setting_lines)


@app.command()
def delete(
    name: ItemNameArgument,
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

    async def change(suite: Suite) -> pb.Setting:
        request = pb.DeleteSettingRequest(name=name, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeleteSetting, request))).setting

    show_item(session, change, setting_lines, "deleted")


@app.command("list")
def show(
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List settings."""
    session = Session.of(nodes, output, timeout)

    async def listed(suite: Suite) -> Sequence[pb.Setting]:
        request = pb.ListSettingsRequest()
        return (await list_all(suite, lambda stub: stub.ListSettings, request, fresh=fresh)).settings

    show_items(session, "settings", listed, setting_lines)
