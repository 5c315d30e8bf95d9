"""Who belongs to the suite and who leads it, as its members say."""

from __future__ import annotations

from typing import Final

from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2

from services.ctl.api import GROUP, RECOVERY
from services.ctl.client import Suite
from services.ctl.failure import CtlError
from services.ctl.nodes import Node, union

GET_STATUS: Final = GROUP.call(lambda stub: stub.GetStatus, consensus_pb2.GetStatusRequest())
"""Asks one member for its view of the group."""


def members(group: consensus_pb2.GetStatusResponse) -> tuple[Node, ...]:
    """Return the nodes a member knows of, by id; those whose ports are laid out differently are left out."""
    found = (node_of(peer.member) for peer in group.peers)
    return tuple(node for node in found if node is not None)


def node_of(member: consensus_pb2.Member) -> Node | None:
    """Return where a member's node is; None when its ports are not one after another."""
    return Node.of_consensus(member.api_endpoint, member.recovery_endpoint)


async def known_nodes(suite: Suite) -> tuple[Node, ...]:
    """Return the nodes that were named, then the other members they know of.

    Without an answer of the group only the named ones are known.
    """
    try:
        group = await group_status(suite)
    except CtlError:
        return suite.nodes
    return union(suite.nodes, members(group))


async def leader_first(suite: Suite) -> tuple[Node, ...]:
    """Return the named nodes with the leading one first, as far as it is known."""
    try:
        group = await group_status(suite)
    except CtlError:
        return suite.nodes
    leader = node_of(group.leader) if group.HasField("leader") else None
    return union((leader,) if leader else await _leading(suite), suite.nodes)


async def _leading(suite: Suite) -> tuple[Node, ...]:
    """Return which of the named nodes say that they lead, newest term first."""
    answers = await suite.every(GET_STATUS)
    leaders = [
        (answer.value.term, answer.node)
        for answer in answers
        if answer.value is not None and answer.value.role == consensus_pb2.ROLE_LEADER
    ]
    return tuple(node for _, node in sorted(leaders, reverse=True))


async def group_status(suite: Suite) -> consensus_pb2.GetStatusResponse:
    """Return the group as the first member that answers sees it.

    Raises:
        CtlError: No consensus service answers.
    """
    return await suite.first(GET_STATUS)


async def blocked_findings(suite: Suite, cluster_id: str = "") -> list[recovery_pb2.BlockedFinding] | None:
    """Return the findings nobody acts on, as the leader sees them, else any node; None when nobody answers."""
    request = recovery_pb2.ListBlockersRequest(cluster_id=cluster_id)
    call = RECOVERY.call(lambda stub: stub.ListBlockers, request)
    try:
        response = await suite.first(call, await leader_first(suite))
    except CtlError:
        return None
    return list(response.blocked)
