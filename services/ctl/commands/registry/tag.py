"""`primacy tag`: names with a value that people put on instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.arguments import RequestIdOption, parse_endpoint
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import list_all, origin
from services.ctl.commands.registry.options import (
    FreshOption,
    InstanceArgument,
    ItemNameArgument,
    OnlyInstanceArgument,
    OwnerOption,
    ReasonOption,
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
from services.ctl.views.registry import tag_lines

app = typer.Typer(name="tag", help="Tags of instances; nothing is decided by them.", no_args_is_help=True)


@app.command("set")
def set_tag(
    instance: InstanceArgument,
    tag: Annotated[str, typer.Argument(metavar="NAME[=VALUE]")],
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Put a tag on an instance, or change its value."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    endpoint, (name, _, value) = parse_endpoint(instance), tag.partition("=")

    async def change(suite: Suite) -> pb.Tag:
        request = pb.SetTagRequest(instance=endpoint, name=name, value=value, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.SetTag, request))).tag

    show_item(session, change, tag_lines)


@app.command()
def delete(
    instance: InstanceArgument,
    name: ItemNameArgument,
    owner: OwnerOption = "",
    reason: ReasonOption = "",
    request_id: RequestIdOption = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """Take a tag off an instance. Code 3 when it has none of that name."""
    session = Session.of(nodes, output, timeout)
    common = origin(owner, reason, request_id)
    endpoint = parse_endpoint(instance)

    async def change(suite: Suite) -> pb.Tag:
        request = pb.DeleteTagRequest(instance=endpoint, name=name, **common)
        return (await suite.leader(REGISTRY.call(lambda stub: stub.DeleteTag, request))).tag

    show_item(session, change, tag_lines, "deleted")


@app.command("list")
def show(
    instance: OnlyInstanceArgument = "",
    tag: Annotated[str, typer.Option("--tag", metavar="NAME[=VALUE]", help="Only this one.")] = "",
    fresh: FreshOption = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List tags, of one instance or of all."""
    session = Session.of(nodes, output, timeout)
    asked = parse_endpoint(instance) if instance else None
    name, valued, value = tag.partition("=")
    only = value if valued else None

    async def listed(suite: Suite) -> Sequence[pb.Tag]:
        request = pb.ListTagsRequest(instance=asked, name=name, value=only)
        return (await list_all(suite, lambda stub: stub.ListTags, request, fresh=fresh)).tags

    show_items(session, "tags", listed, tag_lines)
