"""Feeds what this node knows from the streams of discovery, analysis and consensus."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from primacy.analysis.v1 import analysis_pb2, analysis_pb2_grpc
from primacy.consensus.v1 import consensus_pb2, registry_pb2
from primacy.discovery.v1 import discovery_pb2, discovery_pb2_grpc

from services.recovery.consensus_client import ConsensusClient
from services.recovery.convert import (
    finding_from_proto,
    leadership_from_proto,
    primary_from_proto,
    record_from_proto,
)
from services.recovery.model import Record
from services.recovery.stream import Stream
from services.recovery.world import World
from services.shared.topology.convert.instance import instance_from_proto
from services.shared.topology.convert.key import key_from_proto
from services.shared.topology.convert.snapshot import cluster_from_proto, snapshot_from_proto

log = logging.getLogger(__name__)

_FORBIDDING: Final = ("downtime", "policy", "setting")
"""Items of the registry that can forbid a recovery."""


class Feeds:
    """The six streams, each kept alive."""

    def __init__(
        self,
        world: World,
        discovery: grpc.aio.Channel,
        analysis: grpc.aio.Channel,
        consensus: ConsensusClient,
        silence: timedelta,
        changed: Callable[[], None],
        led: Callable[[bool], None],
    ) -> None:
        """Describe the streams.

        Args:
            world: What is fed.
            discovery: Channel to discovery.
            analysis: Channel to analysis.
            consensus: The local consensus.
            silence: A stream that says nothing for so long is dead.
            changed: Told when the world, or the life of a stream, changed.
            led: Told whether the local member leads with its lease.
        """
        self._world = world
        self._changed = changed
        self._led = led
        topology = discovery_pb2_grpc.DiscoveryServiceStub(discovery)
        findings = analysis_pb2_grpc.AnalysisServiceStub(analysis)

        self.topology = Stream(
            "discovery",
            lambda: topology.WatchTopology(discovery_pb2.WatchTopologyRequest()),
            self._take_topology,
            silence,
            changed,
        )
        self.findings = Stream(
            "analysis",
            lambda: findings.WatchFindings(analysis_pb2.WatchFindingsRequest()),
            self._take_findings,
            silence,
            changed,
        )
        self.leader = Stream(
            "consensus leader",
            lambda: consensus.group.WatchLeader(consensus_pb2.WatchLeaderRequest()),
            self._take_leader,
            silence,
            self._leader_changed,
        )
        self.records = Stream(
            "consensus records",
            lambda: consensus.records.WatchRecords(consensus_pb2.WatchRecordsRequest()),
            self._take_records,
            silence,
            changed,
        )
        self.primaries = Stream(
            "consensus primaries",
            lambda: consensus.registry.WatchPrimaries(consensus_pb2.WatchPrimariesRequest()),
            self._take_primaries,
            silence,
            changed,
        )

        self.agreements = Stream(
            "consensus registry",
            lambda: consensus.registry.WatchRegistry(registry_pb2.WatchRegistryRequest()),
            self._take_agreements,
            silence,
            changed,
        )

    @property
    def all(self) -> tuple[Stream, ...]:
        """Every stream."""
        return (self.topology, self.findings, self.leader, self.records, self.primaries, self.agreements)

    @property
    def serving(self) -> bool:
        """Whether recovery could do its work: it hears findings, and the group."""
        return all(stream.alive for stream in self.all)

    def _leader_changed(self) -> None:
        if not self.leader.alive:  # Without word from consensus nobody is known to lead.
            self._world.leadership = leadership_from_proto(consensus_pb2.WatchLeaderResponse())
            self._led(False)
        self._changed()

    def _take_topology(self, message: discovery_pb2.WatchTopologyResponse, first: bool) -> None:
        match message.WhichOneof("event"):
            case "snapshot":
                self._world.replace_topology(snapshot_from_proto(message.snapshot))
            case "delta":
                delta = message.delta
                self._world.change_topology(
                    message.revision,
                    [instance_from_proto(each) for each in delta.changed_instances],
                    {key_from_proto(each) for each in delta.removed_instances},
                    [cluster_from_proto(each) for each in delta.changed_clusters],
                    set(delta.removed_cluster_ids),
                )
            case _:
                return
        self._changed()

    def _take_findings(self, message: analysis_pb2.WatchFindingsResponse, first: bool) -> None:
        if not (first or message.changed or message.ended):
            return
        changed = [finding_from_proto(each) for each in message.changed]
        self._world.change_findings(changed, [key_from_proto(each) for each in message.ended], first=first)
        self._changed()

    def _take_leader(self, message: consensus_pb2.WatchLeaderResponse, first: bool) -> None:
        leadership = leadership_from_proto(message)
        if leadership != self._world.leadership or first:
            self._world.leadership = leadership
            self._led(leadership.local)
            self._changed()

    def _take_records(self, message: consensus_pb2.WatchRecordsResponse, first: bool) -> None:
        if first or message.changed:
            self._world.change_records(_readable(message.changed), first=first)
            self._changed()

    def _take_primaries(self, message: consensus_pb2.WatchPrimariesResponse, first: bool) -> None:
        if first or message.changed:
            self._world.change_primaries([primary_from_proto(each) for each in message.changed], first=first)
            self._changed()

    def _take_agreements(self, message: registry_pb2.WatchRegistryResponse, first: bool) -> None:
        items = (*message.changed, *message.removed)
        if first or any(each.WhichOneof("item") in _FORBIDDING for each in items):
            self._world.agreements += 1
            self._changed()


def _readable(messages: Iterable[consensus_pb2.RecoveryRecord]) -> list[Record]:
    """Return the records this version understands; the journal itself keeps the others from being overlooked."""
    records = []
    for message in messages:
        try:
            records.append(record_from_proto(message))
        except (DecodeError, KeyError):
            log.warning("recovery.record_not_understood", extra={"recovery_id": message.recovery_id})
    return records
