"""The topology as analysis holds it: whole, indexed by source, changed by deltas.

Every change answers with the instances whose verdict it may touch, so that only those are judged again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import MutableMapping
from typing import TypeVar

from services.analysis.model import TopologyDelta
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot

_Index = TypeVar("_Index")


class TopologyView:
    """Instances and clusters by key, and who reads from whom."""

    def __init__(self) -> None:
        self.instances: dict[InstanceKey, Instance] = {}
        self.clusters: dict[str, Cluster] = {}
        self._replicas: defaultdict[InstanceKey, set[InstanceKey]] = defaultdict(set)
        self._owners: defaultdict[InstanceKey, set[InstanceKey]] = defaultdict(set)
        """Whom a further endpoint leads to."""
        self._members: defaultdict[str, set[InstanceKey]] = defaultdict(set)

    def replace(self, snapshot: TopologySnapshot) -> set[InstanceKey]:
        """Take a snapshot in place of everything; return all instances there are or were."""
        gone = self.instances.keys() - snapshot.instances.keys()
        return self.change(
            TopologyDelta(
                changed_instances=tuple(snapshot.instances.values()),
                removed_instances=tuple(gone),
                changed_clusters=tuple(snapshot.clusters.values()),
                removed_cluster_ids=tuple(self.clusters.keys() - snapshot.clusters.keys()),
            )
        )

    def change(self, delta: TopologyDelta) -> set[InstanceKey]:
        """Apply a delta; return the instances it may touch: the changed ones and whom they read or have read from."""
        touched: set[InstanceKey] = set()
        for key in delta.removed_instances:
            touched |= self._remove(key)
        for instance in delta.changed_instances:
            touched |= self._remove(instance.key) | self._add(instance)
        for cluster_id in delta.removed_cluster_ids:
            self.clusters.pop(cluster_id, None)
            touched |= self._members.get(cluster_id, set())
        for cluster in delta.changed_clusters:
            if self._rename(cluster):
                touched |= self._members.get(cluster.cluster_id, set())
        return touched

    def _rename(self, cluster: Cluster) -> bool:
        before = self.clusters.get(cluster.cluster_id)
        self.clusters[cluster.cluster_id] = cluster
        return before is None or (before.alias, before.primary) != (cluster.alias, cluster.primary)

    def _remove(self, key: InstanceKey) -> set[InstanceKey]:
        before = self.instances.pop(key, None)
        if before is None:
            return {key}
        _discard(self._members, before.cluster_id, key)
        for name in before.other_endpoints:
            _discard(self._owners, name, key)
        for source in before.sources:
            _discard(self._replicas, source, key)
        return self._reached(before)

    def _add(self, instance: Instance) -> set[InstanceKey]:
        self.instances[instance.key] = instance
        self._members[instance.cluster_id].add(instance.key)
        for name in instance.other_endpoints:
            self._owners[name].add(instance.key)
        for source in instance.sources:
            self._replicas[source].add(instance.key)
        return self._reached(instance)

    def _reached(self, instance: Instance) -> set[InstanceKey]:
        """Return whose verdict the instance may touch: its own, its sources', and theirs that its endpoint names."""
        owners = (self._owners.get(name, ()) for name in (instance.key, *instance.sources))
        return {instance.key, *instance.sources, *(key for keys in owners for key in keys)}

    def direct_replicas(self, source: InstanceKey) -> tuple[Instance, ...]:
        """Return the instances that are configured to read from `source`, by endpoint, whatever their threads do."""
        return tuple(self.instances[key] for key in sorted(self._replica_keys(source)))

    def replica_count(self, source: InstanceKey) -> int:
        """Return the number of direct replicas."""
        return len(self._replica_keys(source))

    def _replica_keys(self, source: InstanceKey) -> set[InstanceKey]:
        """Return who reads from an instance, under whichever of its endpoints that belongs to no other instance."""
        keys = self._replicas.get(source, set())
        instance = self.instances.get(source)
        if instance is None or not instance.other_endpoints:
            return keys
        names = (name for name in instance.other_endpoints if name not in self.instances)
        return keys.union(*(self._replicas.get(name, ()) for name in names)) - {source}

    def members(self, cluster_id: str) -> tuple[InstanceKey, ...]:
        """Return the instances of a cluster, by endpoint."""
        return tuple(sorted(self._members.get(cluster_id, ())))

    def clusters_named(self, name: str) -> tuple[str, ...]:
        """Return the ids of the clusters with this id or exact alias; an id wins over aliases."""
        if name in self.clusters:
            return (name,)
        return tuple(sorted(cluster.cluster_id for cluster in self.clusters.values() if cluster.alias == name))

    def alias(self, cluster_id: str) -> str:
        """Return the label of a cluster; empty when the cluster is not known (yet)."""
        cluster = self.clusters.get(cluster_id)
        return cluster.alias if cluster is not None else ""

    def primary_of(self, cluster_id: str) -> InstanceKey | None:
        """Return the primary of a cluster; None when there is none, or more than one, in sight."""
        cluster = self.clusters.get(cluster_id)
        return cluster.primary if cluster is not None else None


def _discard(index: MutableMapping[_Index, set[InstanceKey]], at: _Index, key: InstanceKey) -> None:
    """Take `key` out of the set at `at`, and the set out of the index when nothing is left."""
    keys = index.get(at)
    if keys is None:
        return
    keys.discard(key)
    if not keys:
        del index[at]
