"""`primacy status`: the suite itself."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc

from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.group import blocked_findings, known_nodes
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
from services.ctl.views.status import SERVING, NodeStatus, differing_states, status_lines
from services.shared.runtime.clock import utc_now


def status(
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "2s",
) -> None:
    """Show each node's role, lease, log and health, and what stands between findings and actions.

    Asks the members that the named nodes know of, too. Code 5 when something is wrong, 4 when no node answers.
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
    request = pb.GetStatusRequest()
    asking = suite.every(
        Service.CONSENSUS,
        lambda channel, timeout: consensus_pb2_grpc.GroupServiceStub(channel).GetStatus(request, timeout=timeout),
        (node,),
    )
    (answer,), health = await asyncio.gather(asking, _healths(suite, node))
    states = {service.label: state for service, state in zip(Service, health, strict=True)}
    return NodeStatus(str(node), answer.value, str(answer.error or ""), states)


async def _healths(suite: Suite, node: Node) -> list[str]:
    return await asyncio.gather(*(_health(suite, node, service) for service in Service))


async def _health(suite: Suite, node: Node, service: Service) -> str:
    (answer,) = await suite.every(
        service,
        _check,
        (node,),
    )
    if answer.value is None:
        return "unreachable" if answer.error and answer.error.exit_code is Exit.UNAVAILABLE else str(answer.error)
    return SERVING if answer.value.status == health_pb2.HealthCheckResponse.SERVING else "not serving"


async def _check(channel: grpc.aio.Channel, timeout_s: float) -> health_pb2.HealthCheckResponse:
    stub = health_pb2_grpc.HealthStub(channel)
    response: health_pb2.HealthCheckResponse
    response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)  # type: ignore[attr-defined]
    return response
