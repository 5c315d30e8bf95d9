"""Clusters and snapshots <-> messages."""

from __future__ import annotations

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.instance import instance_from_proto, instance_to_proto
from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.convert.times import time_from_proto, time_to_proto
from services.shared.topology.snapshot import Cluster, TopologySnapshot


def cluster_to_proto(cluster: Cluster) -> pb.Cluster:
    """Return a cluster as message."""
    return pb.Cluster(
        cluster_id=cluster.cluster_id,
        alias=cluster.alias,
        primary=key_to_proto(cluster.primary),
        instance_count=cluster.instance_count,
        problem_count=cluster.problem_count,
        epoch=cluster.epoch,
        domain=cluster.domain,
        former_aliases=cluster.former_aliases,
        alias_from_registry=cluster.alias_from_registry,
        group_name=cluster.group_name,
        suspect_count=cluster.suspect_count,
    )


def cluster_from_proto(message: pb.Cluster) -> Cluster:
    """Return a cluster as value."""
    return Cluster(
        cluster_id=message.cluster_id,
        alias=message.alias,
        primary=key_from_proto(message.primary) if message.HasField("primary") else None,
        instance_count=message.instance_count,
        problem_count=message.problem_count,
        epoch=message.epoch,
        domain=message.domain,
        former_aliases=tuple(message.former_aliases),
        alias_from_registry=message.alias_from_registry,
        group_name=message.group_name,
        suspect_count=message.suspect_count,
    )


def snapshot_to_proto(snapshot: TopologySnapshot) -> pb.TopologySnapshot:
    """Return a snapshot as message, clusters by id and instances by endpoint."""
    return pb.TopologySnapshot(
        revision=snapshot.revision,
        snapshot_time=time_to_proto(snapshot.snapshot_time),
        clusters=[cluster_to_proto(snapshot.clusters[cluster_id]) for cluster_id in sorted(snapshot.clusters)],
        instances=[instance_to_proto(snapshot.instances[key]) for key in sorted(snapshot.instances)],
    )


def snapshot_from_proto(message: pb.TopologySnapshot) -> TopologySnapshot:
    """Return a snapshot as value."""
    instances = (instance_from_proto(instance) for instance in message.instances)
    clusters = (cluster_from_proto(cluster) for cluster in message.clusters)
    return TopologySnapshot(
        revision=message.revision,
        snapshot_time=time_from_proto(message.snapshot_time) if message.HasField("snapshot_time") else None,
        clusters={cluster.cluster_id: cluster for cluster in clusters},
        instances={instance.key: instance for instance in instances},
    )
