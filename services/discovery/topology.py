"""The topology as it is known now: results of probes in, changes out. No I/O, no clock.

What the servers said is kept as they said it; what follows from it (depth, co-primaries, cluster ids, errant GTIDs,
problems, clusters) is derived anew for the instances that a result can concern: the instance and its replicas, or whole
trees when an edge, an identity, or the first sight of an instance changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.discovery import reading as readings
from services.discovery.errant import errant_gtids
from services.discovery.identity import Directory, cluster_id_of
from services.discovery.model import Delta, DirectoryEntry, Limits, ProbeFailure, ProbeResult, Remembered
from services.discovery.place import Graph, Tree
from services.discovery.verdict import cluster_of, problems_of
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster


@dataclass(frozen=True, slots=True)
class _Read:
    """When an instance was last read in full success, in nanoseconds of boot time."""

    started_ns: int
    finished_ns: int


class Topology:
    """All instances and clusters. `instances` and `clusters` are what is published; treat them as read-only."""

    def __init__(self, limits: Limits, remembered: Remembered | None = None) -> None:
        """Start from what was remembered: as it was last seen, until the first probes tell."""
        remembered = remembered or Remembered()
        self._limits = limits
        self._graph = Graph()
        self._directory = Directory()
        self._aliases = dict(remembered.aliases)
        self._reads: dict[InstanceKey, _Read] = {}
        self._by_uuid: dict[str, set[InstanceKey]] = {}
        self._cluster_ids: dict[InstanceKey, str] = {}
        self._provisional: set[InstanceKey] = set()
        self._depths: dict[InstanceKey, int | None] = {}
        self._members: dict[str, set[InstanceKey]] = {}
        self.instances: dict[InstanceKey, Instance] = {}
        self.clusters: dict[str, Cluster] = {}
        for instance in remembered.instances:
            self._graph.put(instance)
            self._by_uuid.setdefault(instance.server_uuid, set()).add(instance.key)
            self._enter_cluster(instance.key, instance.cluster_id)
            self.instances[instance.key] = instance
        self._restore()

    def _restore(self) -> None:
        for tree in self._graph.trees(self.instances):
            self._place(tree)
        self.clusters.update(self._clusters(self._members).changed_clusters)

    def apply(self, result: ProbeResult) -> Delta:
        """Take the result of a probe; an endpoint not known yet becomes known."""
        key, now = result.key, result.finish_time
        old = self.instances.get(key, Instance(key))
        if isinstance(result.outcome, ProbeFailure):
            reading = readings.after_failure(old.reading, now, result.outcome, self._limits)
            return self._update(replace(old, reading=reading), now)
        self._reads[key] = _Read(result.started_ns, result.finished_ns)
        reading = readings.after_success(old.reading, now, result.latency)
        return self._update(replace(result.outcome, reading=reading), now)

    def note_hanging(self, key: InstanceKey, now: datetime) -> Delta:
        """A probe has hung for a second; ignored for an instance that is not known."""
        old = self.instances.get(key)
        if old is None:
            return Delta()
        return self._update(replace(old, reading=readings.while_hanging(old.reading, now, self._limits)), now)

    def note_time(self, now: datetime) -> Delta:
        """Time has passed: find the instances that became, or ceased to be, not recently checked."""
        aged = [
            key
            for key, instance in self.instances.items()
            if problems_of(instance, now, self._limits, seen_twice=self._is_seen_twice(key)) != instance.problems
        ]
        return self._publish(aged, now)

    def forget(self, key: InstanceKey, now: datetime) -> Delta:
        """Drop an instance."""
        old = self.instances.pop(key, None)
        if old is None:
            return Delta()
        affected = {*self._graph.tree(key).depths, *self._by_uuid.get(old.server_uuid, ())} - {key}
        left = self._leave_cluster(key)
        self._graph.remove(key)
        self._reads.pop(key, None)
        self._depths.pop(key, None)
        self._provisional.discard(key)
        self._by_uuid.get(old.server_uuid, set()).discard(key)
        placed = self._place_all(affected)
        return replace(self._publish(affected, now, touched={*left, *placed}), removed=frozenset({key}))

    def set_directory(self, entries: Iterable[DirectoryEntry], now: datetime) -> Delta:
        """Take new or changed entries of the replicated directory."""
        entries = tuple(entries)
        self._directory = self._directory.with_changed(entries)
        affected: set[InstanceKey] = set()
        for entry in entries:
            affected |= self._members.get(entry.cluster_id, set())
            for uuid in (entry.server_uuid, *entry.former_uuids):
                affected |= self._by_uuid.get(uuid, set()) if uuid else set()
        placed = self._place_all(affected)
        return self._publish(affected, now, touched={*placed, *(entry.cluster_id for entry in entries)})

    def around(self, key: InstanceKey) -> frozenset[InstanceKey]:
        """Return the instance, its sources and all its replicas, as far as they are known."""
        instance = self.instances.get(key)
        near = {key, *(instance.sources if instance is not None else ()), *self._graph.replicas(key)}
        return frozenset(near & self.instances.keys())

    def replicas(self, key: InstanceKey) -> list[Instance]:
        """Return the known instances that read from an endpoint."""
        return [self.instances[replica] for replica in sorted(self._graph.replicas(key))]

    def members(self, cluster_id: str) -> frozenset[InstanceKey]:
        """Return the instances of a cluster; none for an unknown one."""
        return frozenset(self._members.get(cluster_id, ()))

    def is_referred_to(self, key: InstanceKey) -> bool:
        """Return whether a known instance names this endpoint as its source or as its replica."""
        if self._graph.replicas(key):
            return True
        return any(key in instance.reported_replicas for instance in self.instances.values())

    @property
    def aliases(self) -> Mapping[str, str]:
        """Label of each cluster, by its id, as first seen."""
        return self._aliases

    def _update(self, instance: Instance, now: datetime) -> Delta:
        key = instance.key
        old = self._graph.get(key)
        if old is not None and (old.sources, old.server_uuid) == (instance.sources, instance.server_uuid):
            self._graph.put(instance)
            return self._publish({key, *self._graph.replicas(key)}, now, raw={key: instance})
        affected = {*self._graph.tree(key).depths, *self._by_uuid.get(old.server_uuid if old else "", ())}
        if old is not None:
            self._by_uuid.get(old.server_uuid, set()).discard(key)
        self._graph.put(instance)
        if instance.server_uuid:
            self._by_uuid.setdefault(instance.server_uuid, set()).add(key)
        affected |= {key, *self._graph.tree(key).depths, *self._by_uuid.get(instance.server_uuid, ())}
        self.instances.setdefault(key, Instance(key))
        touched = self._place_all(affected)
        return self._publish(affected, now, raw={key: instance}, touched=touched)

    def _place_all(self, keys: set[InstanceKey]) -> set[str]:
        """Place the trees of some instances, and add all their members to `keys`; return the clusters concerned."""
        touched: set[str] = set()
        for tree in self._graph.trees(keys):
            keys.update(tree.depths)
            touched |= self._place(tree)
        return touched

    def _place(self, tree: Tree) -> set[str]:
        """Give the members of a tree their cluster; return the clusters whose membership changed."""
        self._depths.update(tree.depths)
        top_uuid = self._uuid_of_top(tree)
        remembered = {key: self._cluster_ids[key] for key in tree.depths if key in self._cluster_ids}
        for key in self._provisional & remembered.keys():
            del remembered[key]
        cluster_id = cluster_id_of(tree.top, top_uuid, remembered, self._directory)
        if self._graph.get(tree.top) is not None or remembered:
            self._provisional.difference_update(tree.depths)
            self._aliases.setdefault(cluster_id, str(tree.top))
        else:  # The way up has not been gone to its end: good until it has.
            self._provisional.update(tree.depths)
        touched: set[str] = set()
        for key in tree.depths:
            if self._cluster_ids.get(key) != cluster_id:
                touched |= {cluster_id, *self._leave_cluster(key)}
                self._enter_cluster(key, cluster_id)
        return touched

    def _uuid_of_top(self, tree: Tree) -> str:
        top = self._graph.get(tree.top)
        if top is not None and top.server_uuid:
            return top.server_uuid
        replicas = (self._graph.get(key) for key in sorted(self._graph.replicas(tree.top)))
        channels = (channel for replica in replicas if replica is not None for channel in replica.channels)
        named = (channel.source_uuid for channel in channels if channel.source == tree.top)
        return next(filter(None, named), "")

    def _enter_cluster(self, key: InstanceKey, cluster_id: str) -> None:
        if cluster_id:
            self._cluster_ids[key] = cluster_id
            self._members.setdefault(cluster_id, set()).add(key)

    def _leave_cluster(self, key: InstanceKey) -> set[str]:
        cluster_id = self._cluster_ids.pop(key, None)
        if cluster_id is None:
            return set()
        self._members[cluster_id].discard(key)
        if not self._members[cluster_id]:
            del self._members[cluster_id]
        return {cluster_id}

    def _is_seen_twice(self, key: InstanceKey) -> bool:
        known = self._graph.get(key)
        return known is not None and bool(known.server_uuid) and len(self._by_uuid.get(known.server_uuid, ())) > 1

    def _errant(self, instance: Instance) -> str:
        """Return the errant GTIDs; what was known before, until the source has been read after the instance."""
        ancestors = tuple(self._graph.ancestors(instance.key))
        if not ancestors:
            return ""
        mine, theirs = self._reads.get(instance.key), self._reads.get(ancestors[0].key)
        if mine is None or theirs is None or theirs.started_ns < mine.finished_ns:
            published = self.instances.get(instance.key)
            return published.errant_gtid_set if published is not None else ""
        return errant_gtids(instance, ancestors[0], ancestors)

    def _publish(
        self,
        keys: Iterable[InstanceKey],
        now: datetime,
        *,
        raw: Mapping[InstanceKey, Instance] | None = None,
        touched: Iterable[str] = (),
    ) -> Delta:
        """Derive instances and their clusters; return what differs from what was published."""
        raw = raw or {}
        clusters = set(touched)
        changed: dict[InstanceKey, Instance] = {}
        for key in sorted(keys):
            derived = self._derived(raw.get(key, self.instances[key]), now)
            if derived != self.instances[key]:
                changed[key] = derived
                self.instances[key] = derived
                self._graph.put(derived)
            clusters.add(derived.cluster_id)
        cluster_delta = self._clusters(clusters - {""})
        return replace(cluster_delta, changed=changed)

    def _derived(self, instance: Instance, now: datetime) -> Instance:
        placed = replace(
            instance,
            cluster_id=self._cluster_ids.get(instance.key, ""),
            depth=self._depths.get(instance.key),
            co_primary=self._graph.is_co_primary(instance.key),
        )
        derived = replace(placed, errant_gtid_set=self._errant(placed))
        seen_twice = self._is_seen_twice(instance.key)
        return replace(derived, problems=problems_of(derived, now, self._limits, seen_twice=seen_twice))

    def _clusters(self, cluster_ids: Iterable[str]) -> Delta:
        changed: dict[str, Cluster] = {}
        removed: set[str] = set()
        for cluster_id in sorted(cluster_ids):
            members = self._members.get(cluster_id)
            if not members:
                if self.clusters.pop(cluster_id, None) is not None:
                    removed.add(cluster_id)
                continue
            alias = self._aliases.get(cluster_id, str(min(members)))
            instances = [self.instances[key] for key in sorted(members) if key in self.instances]
            cluster = cluster_of(cluster_id, alias, instances, self._directory.entry(cluster_id))
            if self.clusters.get(cluster_id) != cluster:
                changed[cluster_id] = cluster
                self.clusters[cluster_id] = cluster
        return Delta(changed_clusters=changed, removed_clusters=frozenset(removed))
