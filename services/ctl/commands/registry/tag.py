"""`primacy tag`: names with a value that people put on instances."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.arguments import parse_endpoint
from services.ctl.client import Suite
from services.ctl.commands.registry.asking import (
    FreshOption,
    OwnerOption,
    ReasonOption,
    RequestIdOption,
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
from services.ctl.views.registry import tag_lines

app = typer.Typer(name="tag", help="Tags of instances; nothing is decided by them.", no_args_is_help=True)


@app.command("set")
def set_tag(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.SetTagRequest(instance=endpoint, name=name, value=value, **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).SetTag(request, timeout=timeout_s))
        session.show(lambda: tag_lines([done.tag]), done.tag)
        return Exit.OK

    run(session, work)


@app.command()
def delete(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
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

    async def work(suite: Suite) -> Exit:
        request = pb.DeleteTagRequest(instance=endpoint, name=name, **common)
        done = await ask_leader(suite, lambda channel, timeout_s: stub(channel).DeleteTag(request, timeout=timeout_s))
        session.show(lambda: [line("deleted: ", *tag_lines([done.tag]))], done.tag)
        return Exit.OK

    run(session, work)


@app.command("list")
def show(
    instance: Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="Default: all.")] = "",
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

    async def work(suite: Suite) -> Exit:
        pages = await list_all(
            suite,
            lambda token: (
                lambda channel, timeout_s: stub(channel).ListTags(
                    pb.ListTagsRequest(
                        page_size=1000,
                        page_token=token,
                        consistency=consistency(fresh=fresh),
                        instance=asked,
                        name=name,
                        value=only,
                    ),
                    timeout=timeout_s,
                )
            ),
            fresh=fresh,
        )
        found = [each for page in pages for each in page.tags]
        session.show(lambda: tag_lines(found), {"tags": found})
        return Exit.OK

    run(session, work)
