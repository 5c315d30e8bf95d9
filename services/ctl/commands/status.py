"""`primacy status`: the suite itself."""

from __future__ import annotations

import asyncio

from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.group import GET_STATUS, blocked_findings, known_nodes
from services.ctl.health import SERVING, check
from services.ctl.nodes import Node, Service
from services.ctl.session import (
    DEFAULT_NODES,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.views.status import NodeStatus, differing_states, status_lines
from services.shared.runtime.clock import utc_now


def status(
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "2s",
) -> None:
    """Show each node's role and health, and what blocks.

    One line per node: role, term, lease, voters in contact/needed, log committed/applied, health of its services; then
    what stands between findings and actions. Asks the members that the named nodes know of, too. Code 5 when something
    is wrong, 4 when no node answers.
    """
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        found = await asyncio.gather(*(node_status(suite, node) for node in await known_nodes(suite)))
        if all(node.group is None and SERVING not in node.health.values() for node in found):
            raise CtlError(f"no node answers: {found[0].error}", Exit.UNAVAILABLE)
        blocked = await blocked_findings(suite)
        value = {
            "nodes": [_json(node) for node in found],
            "blocked": blocked or [],
            "blocked_known": blocked is not None,
        }
        session.show(lambda: status_lines(found, blocked, utc_now()), value)
        fine = all(node.healthy for node in found) and blocked == [] and not differing_states(found)
        return Exit.OK if fine else Exit.WRONG

    run(session, work)


def _json(status: NodeStatus) -> dict[str, object]:
    group = {"group": status.group} if status.group is not None else {}
    return {"node": status.node, "healthy": status.healthy, "error": status.error, "health": status.health, **group}


async def node_status(suite: Suite, node: Node) -> NodeStatus:
    """Ask one node everything at once."""
    (answer,), health = await asyncio.gather(suite.every(GET_STATUS, (node,)), _healths(suite, node))
    states = {service.label: state for service, state in zip(Service, health, strict=True)}
    return NodeStatus(str(node), answer.value, str(answer.error or ""), states)


async def _healths(suite: Suite, node: Node) -> list[str]:
    """Ask all services of a node for their health, in the order of `Service`."""
    return await asyncio.gather(*(check(suite.channel(node.endpoint(service)), suite.timeout_s) for service in Service))
