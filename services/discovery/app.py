"""The use cases of discovery: keeps the picture of the fleet fresh, and serves it.

`Rounds` probes, `Bursts` follows suspicions, `Publishing` passes changes on; here are the calls that others make. All
of it runs in the event loop; only probes and the store's writer have threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from services.discovery.crawl import neighbours
from services.discovery.feed import Revised
from services.discovery.model import (
    AccountRefused,
    AppSettings,
    DirectoryEntry,
    InstanceNotRead,
    InstanceUnreachable,
    ProbeDepth,
    ProbeFailure,
    Remembered,
)
from services.discovery.ports import Clock, Prober, Store
from services.discovery.publishing import Publishing
from services.discovery.rounds import Rounds
from services.discovery.topology import Topology
from services.shared.runtime.errors import ClusterUnknown, InstanceUnknown
from services.shared.runtime.watching import Watcher
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind
from services.shared.topology.snapshot import Cluster, TopologySnapshot

FOLLOW_UP_S: Final = 0.5
"""How long after a new primary was published its cluster is read once more."""


class DiscoveryApp:
    """One node's view of the fleet. Run `run` in a task; the other methods answer calls."""

    def __init__(self, settings: AppSettings, clock: Clock, store: Store, remembered: Remembered) -> None:
        """Start from what was remembered; nothing is probed before `run`."""
        self._clock = clock
        self._store = store
        self._ready = asyncio.Event()
        self._topology = Topology(settings.limits, remembered)
        self._publishing = Publishing(self._topology, clock, store, remembered, self._ready)
        self._rounds = Rounds(settings, clock, self._topology, self._publishing, self._ready)

    async def run(self, prober: Prober) -> None:
        """Probe the fleet until cancelled."""
        await self._rounds.run(prober)

    @property
    def ready(self) -> bool:
        """Whether everything reachable from remembered instances and seeds has been probed once since the start."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until `ready`: before, remembered readings would pass for fresh ones."""
        await self._ready.wait()

    @property
    def serving(self) -> bool:
        """Whether this process could do its work: ready, the store works, not every server refuses our account."""
        refused = [failure.kind is FailureKind.ACCESS_DENIED for failure in self._rounds.failures.values()]
        everywhere = bool(refused) and all(refused) and len(refused) >= len(self._topology.instances)
        return self.ready and self._store.healthy and not everywhere

    def set_directory(self, entries: Sequence[DirectoryEntry]) -> None:
        """Take new or changed entries of the replicated directory; a changed primary has its cluster read at once."""
        before = {cluster_id: cluster.epoch for cluster_id, cluster in self._topology.clusters.items()}
        self._publishing.publish(self._topology.set_directory(entries, self._clock.utc_now()), urgent=True)
        for entry in entries:
            if 0 < before.get(entry.cluster_id, entry.epoch) < entry.epoch:
                self._probe_cluster(entry.cluster_id)
                # The replicas follow the new primary a moment after it is published.
                asyncio.get_running_loop().call_later(FOLLOW_UP_S, self._probe_cluster, entry.cluster_id)

    def _probe_cluster(self, cluster_id: str) -> None:
        self._rounds.probe_soon(self._topology.members(cluster_id))

    def on_signal(self, key: InstanceKey) -> None:
        """The server of an idle connection closed it, or said something unasked."""
        self._rounds.suspect(key)

    async def discover(self, key: InstanceKey) -> tuple[Instance, frozenset[InstanceKey]]:
        """Read one server and all that is reachable from it; return it and every instance found.

        Raises:
            InstanceUnreachable, AccountRefused, InstanceNotRead: The server was never seen, and could not be read now.
        """
        await self._rounds.wait_started()
        self._rounds.try_out(key)
        first = await self._rounds.probe(key, ProbeDepth.FULL)
        if first is None:
            self._refuse_unless_seen(key, ProbeFailure(FailureKind.TIMEOUT, 0, "too many probes wait; try again"))
        elif isinstance(first.outcome, ProbeFailure):
            self._refuse_unless_seen(key, first.outcome)
        crawled, frontier = {key}, self._known_neighbours(key)
        while frontier - crawled:
            batch = sorted(frontier - crawled)
            crawled.update(batch)
            await asyncio.wait([self._rounds.probe(one, ProbeDepth.FULL) for one in batch])
            frontier = set().union(*(self._known_neighbours(one) for one in batch))
        return self.instance(key), frozenset(crawled & self._topology.instances.keys())

    def _refuse_unless_seen(self, key: InstanceKey, failure: ProbeFailure) -> None:
        known = self._topology.instances.get(key)
        if known is not None and known.reading.last_seen_time is not None:
            return
        self._rounds.give_up(key)
        if failure.kind is FailureKind.ACCESS_DENIED:
            raise AccountRefused(str(key), failure.number, failure.problem)
        if failure.kind in (FailureKind.REFUSED, FailureKind.SATURATED):
            raise InstanceNotRead(str(key), failure.number, failure.problem)
        raise InstanceUnreachable(str(key), failure.problem)

    def _known_neighbours(self, key: InstanceKey) -> set[InstanceKey]:
        instance = self._topology.instances.get(key)
        if instance is None:
            return set()
        near = {*neighbours(instance), *(replica.key for replica in self._topology.replicas(key))}
        return {one for one in near if self._rounds.is_followed(one)}

    async def refresh(self, key: InstanceKey) -> Instance:
        """Read one known instance now, in a probe that began after the call.

        Raises:
            InstanceUnknown: It is not known.
        """
        await self._rounds.wait_started()
        self.instance(key)
        await self._rounds.probe_anew(key)
        return self.instance(key)

    def forget(self, key: InstanceKey) -> None:
        """Drop an instance, for three poll periods at least.

        Raises:
            InstanceUnknown: It is not known.
        """
        if not self._rounds.is_followed(key):
            raise InstanceUnknown(str(key))
        self._rounds.forget(key)

    def instance(self, key: InstanceKey) -> Instance:
        """Return a known instance as last seen.

        Raises:
            InstanceUnknown: It is not known.
        """
        try:
            return self._topology.instances[key]
        except KeyError:
            raise InstanceUnknown(str(key)) from None

    def instances(self, cluster: str = "", *, only_problems: bool = False) -> list[Instance]:
        """Return instances by endpoint, of one cluster (id or exact alias) or of all (empty).

        Raises:
            ClusterUnknown: No such cluster.
        """
        found = self._topology.instances
        keys = self._topology.members(self._cluster_id(cluster)) if cluster else found.keys()
        instances = (found[key] for key in sorted(keys))
        return [instance for instance in instances if instance.problems or not only_problems]

    def clusters(self) -> list[Cluster]:
        """Return all clusters, by alias, then id."""
        return sorted(self._topology.clusters.values(), key=lambda cluster: (cluster.alias, cluster.cluster_id))

    def _cluster_id(self, cluster: str) -> str:
        if cluster in self._topology.clusters:
            return cluster
        for known in self._topology.clusters.values():
            if known.alias == cluster:
                return known.cluster_id
        raise ClusterUnknown(cluster)

    def snapshot(self, cluster: str = "") -> TopologySnapshot:
        """Return what is known now, of one cluster (id or exact alias) or of all (empty).

        Raises:
            ClusterUnknown: No such cluster.
        """
        self._publishing.flush()
        chosen = [self._cluster_id(cluster)] if cluster else list(self._topology.clusters)
        return TopologySnapshot(
            revision=self._publishing.revision,
            snapshot_time=self._clock.utc_now(),
            clusters={cluster_id: self._topology.clusters[cluster_id] for cluster_id in chosen},
            instances={instance.key: instance for instance in self.instances(cluster)},
        )

    @contextmanager
    def watch(self, after_revision: int) -> Iterator[tuple[TopologySnapshot | None, Watcher[Revised]]]:
        """Watch: a snapshot to begin with, unless changes after a revision are asked for; and what follows.

        Raises:
            RevisionCompacted: Changes after that revision are no longer kept.
        """
        self._publishing.flush()
        snapshot = None if after_revision else self.snapshot()
        with self._publishing.join(after_revision) as watcher:
            yield snapshot, watcher

    def end_watches(self) -> None:
        """End every stream: this process is about to stop."""
        self._publishing.end()

    @property
    def staleness(self) -> timedelta:
        """Time since the last probe of any server ended."""
        return timedelta(microseconds=(self._clock.boottime_ns() - self._rounds.last_probe_ns) / 1000)
