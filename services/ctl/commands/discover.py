"""`primacy discover`: make a topology known to every node."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.discovery.v1 import discovery_pb2 as pb

from services.ctl.api import DISCOVERY
from services.ctl.arguments import parse_endpoint
from services.ctl.client import Answer, Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.group import known_nodes
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.text import Line, bad, good, indent, line, strong
from services.ctl.words import endpoint_text


def discover(
    instance: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Any server of the topology.")],
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "60s",
) -> None:
    """Make a topology known, from one of its servers.

    Each node watches the servers for itself, so each is asked; code 5 tells that some of them could not read it.
    """
    session = Session.of(nodes, output, timeout)
    request = pb.DiscoverRequest(endpoint=parse_endpoint(instance))

    async def work(suite: Suite) -> Exit:
        answers = await suite.every(DISCOVERY.call(lambda stub: stub.Discover, request), await known_nodes(suite))
        if all(answer.value is None for answer in answers):
            raise _first_error(answers)
        session.show(lambda: discovered_lines(answers), {"nodes": [_json(answer) for answer in answers]})
        return Exit.OK if all(answer.value for answer in answers) else Exit.WRONG

    run(session, work)


def _first_error(answers: list[Answer[pb.DiscoverResponse]]) -> CtlError:
    return next(answer.error for answer in answers if answer.error)


def _json(answer: Answer[pb.DiscoverResponse]) -> dict[str, object]:
    value = {"response": answer.value} if answer.value is not None else {}
    return {"node": str(answer.node), "error": str(answer.error or ""), **value}


def discovered_lines(answers: list[Answer[pb.DiscoverResponse]]) -> list[Line]:
    """Return what was found, and which nodes could not read it."""
    found = max((list(answer.value.found) for answer in answers if answer.value), key=len)
    knowing = [str(answer.node) for answer in answers if answer.value]
    head = line(good(f"{len(found)} instances"), " known to ", strong(", ".join(knowing)))
    failed = [line(bad(str(answer.node)), f": {answer.error}") for answer in answers if answer.error]
    return [head, *indent([line(endpoint_text(endpoint)) for endpoint in found]), *failed]
