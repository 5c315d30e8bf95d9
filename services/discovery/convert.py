"""Discovery's requests, responses and stored states <-> values; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from primacy.consensus.v1 import consensus_pb2
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.discovery.feed import Revised
from services.discovery.model import Delta, DirectoryEntry
from services.shared.topology.convert.instance import instance_from_proto, instance_to_proto
from services.shared.topology.convert.snapshot import cluster_to_proto, snapshot_to_proto
from services.shared.topology.convert.times import duration_to_proto
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot


def instance_to_bytes(instance: Instance) -> bytes:
    """Return an instance as the store keeps it."""
    return instance_to_proto(instance).SerializeToString()


def instance_from_bytes(state: bytes) -> Instance:
    """Return an instance from what the store kept.

    Raises:
        google.protobuf.message.DecodeError: The state is damaged.
    """
    return instance_from_proto(topology_pb2.Instance.FromString(state))


def instances_to_proto(instances: Iterable[Instance]) -> list[topology_pb2.Instance]:
    """Return instances as messages."""
    return [instance_to_proto(instance) for instance in instances]


def endpoints_to_proto(keys: Iterable[InstanceKey]) -> list[topology_pb2.Endpoint]:
    """Return endpoints as messages, sorted."""
    return [topology_pb2.Endpoint(host=key.host, port=key.port) for key in sorted(keys)]


def snapshot_to_response(snapshot: TopologySnapshot) -> pb.WatchTopologyResponse:
    """Return the first message of a stream."""
    return pb.WatchTopologyResponse(revision=snapshot.revision, snapshot=snapshot_to_proto(snapshot))


def revised_to_response(revised: Revised) -> pb.WatchTopologyResponse:
    """Return the message of one change."""
    return pb.WatchTopologyResponse(revision=revised.revision, delta=_delta_to_proto(revised.delta))


def progress_to_response(revision: int, staleness: timedelta) -> pb.WatchTopologyResponse:
    """Return the message of a quiet stream."""
    span = duration_to_proto(staleness)
    return pb.WatchTopologyResponse(revision=revision, progress=pb.Progress(staleness=span))


def _delta_to_proto(delta: Delta) -> pb.TopologyDelta:
    return pb.TopologyDelta(
        changed_instances=instances_to_proto(delta.changed[key] for key in sorted(delta.changed)),
        removed_instances=endpoints_to_proto(delta.removed),
        changed_clusters=[
            cluster_to_proto(delta.changed_clusters[cluster_id]) for cluster_id in sorted(delta.changed_clusters)
        ],
        removed_cluster_ids=sorted(delta.removed_clusters),
    )


def directory_entry_from_proto(message: consensus_pb2.Primary) -> DirectoryEntry:
    """Return an entry of the replicated directory of primaries."""
    return DirectoryEntry(
        cluster_id=message.cluster_id,
        alias=message.alias,
        server_uuid=message.server_uuid.lower(),
        epoch=message.epoch,
        former_uuids=tuple(former.server_uuid.lower() for former in message.former),
    )
