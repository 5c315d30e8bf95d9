"""What the suite says, asked for the story: node by node, or from the first that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2
from primacy.discovery.v1 import discovery_pb2

from services.ctl.api import ANALYSIS, DISCOVERY, REGISTRY
from services.ctl.client import Suite
from services.ctl.commands.status import node_status
from services.ctl.views.status import NodeStatus
from services.shared.topology.convert.snapshot import snapshot_from_proto
from services.shared.topology.snapshot import TopologySnapshot


@dataclass(frozen=True, slots=True)
class NodeOpinion:
    """What one node thinks.

    Attributes:
        status: Its place in the group.
        primaries: Its directory.
        snapshot: Its topology; None = it did not answer.
    """

    status: NodeStatus
    primaries: tuple[consensus_pb2.Primary, ...]
    snapshot: TopologySnapshot | None


async def opinions(suite: Suite) -> list[NodeOpinion]:
    """Ask every node for its place in the group, its directory and its topology."""
    statuses = await asyncio.gather(*(node_status(suite, node) for node in suite.nodes))
    listing = REGISTRY.call(lambda stub: stub.ListPrimaries, consensus_pb2.ListPrimariesRequest())
    directories = await suite.every(listing)
    asking = DISCOVERY.call(lambda stub: stub.GetTopology, discovery_pb2.GetTopologyRequest())
    topologies = await suite.every(asking)
    return [
        NodeOpinion(
            status,
            tuple(directory.value.primaries) if directory.value else (),
            snapshot_from_proto(topology.value.snapshot) if topology.value else None,
        )
        for status, directory, topology in zip(statuses, directories, topologies, strict=True)
    ]


def watch_findings(suite: Suite) -> AsyncIterator[analysis_pb2.WatchFindingsResponse]:
    """Yield what analysis says: the findings that hold, then changes and progress."""
    return suite.watch(ANALYSIS.stream(lambda stub: stub.WatchFindings, analysis_pb2.WatchFindingsRequest()))


def watch_primaries(suite: Suite) -> AsyncIterator[consensus_pb2.WatchPrimariesResponse]:
    """Yield what the directory says: all entries, then changes and progress."""
    return suite.watch(REGISTRY.stream(lambda stub: stub.WatchPrimaries, consensus_pb2.WatchPrimariesRequest()))


def is_dead_primary(finding: analysis_pb2.Finding) -> bool:
    """Return whether a finding says that a primary is dead."""
    return finding.actionable and finding.orchestrator_code.startswith("DeadMaster")
