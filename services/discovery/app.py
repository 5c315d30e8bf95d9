"""The use cases of discovery: keeps the picture of the fleet fresh, and serves it.

What happens after a probe, in this order: the result goes into the topology, what changed goes to the watchers (at once
when it matters, else gathered for a moment) and to the store, the next probe is scheduled, new endpoints are followed,
and what has become suspect is burst upon (see `suspicion`). All of it runs in the event loop; only probes and the
store's writer have threads.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.discovery.change import is_urgent
from services.discovery.crawl import Forgotten, neighbours
from services.discovery.feed import Feed, Revised, merged
from services.discovery.model import (
    AccountRefused,
    Delta,
    DirectoryEntry,
    FailureKind,
    InstanceNotRead,
    InstanceUnreachable,
    Limits,
    ProbeDepth,
    ProbeFailure,
    ProbeResult,
    Remembered,
)
from services.discovery.ports import Clock, Prober, Store
from services.discovery.schedule import Pace, Schedule
from services.discovery.suspicion import Burst, suspects
from services.discovery.topology import Topology
from services.shared.runtime.errors import ClusterUnknown, InstanceUnknown
from services.shared.runtime.watching import Watcher, Watchers
from services.shared.topology.instance import Cluster, Instance, InstanceKey, TopologySnapshot

log = logging.getLogger(__name__)

FOLLOW_UP_S: Final = 0.5
"""How long after a new primary was published its cluster is read once more."""
GATHER_S: Final = 0.2
"""How long changes that are not urgent wait for company."""
BURST_GAP_NS: Final = 200_000_000
"""Shortest time between the starts of two bursts about one instance: a server that hangs up on us again and again."""
HANGING_AFTER_S: Final = 1.0
"""A probe without answer for so long shows as hanging (the reference's rule)."""
FEED_CAPACITY: Final = 4096
WATCHER_LIMIT: Final = 512
"""Changes a watcher may leave unread."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AppSettings:
    """How to watch a fleet; see `settings.py` for the meaning of each."""

    limits: Limits = field(default_factory=Limits)
    primary_poll: timedelta = timedelta(seconds=1)
    poll_jitter: float = 0.1
    full_probe_period: timedelta = timedelta(seconds=60)
    probe_timeout: timedelta = timedelta(milliseconds=1500)
    slow_after: timedelta = timedelta(milliseconds=500)
    dead_poll_max: timedelta = timedelta(seconds=15)
    burst_timeout: timedelta = timedelta(milliseconds=500)
    burst_length: timedelta = timedelta(seconds=2)
    hung_burst_length: timedelta = timedelta(seconds=15)
    burst_limit: int = 32
    seeds: tuple[InstanceKey, ...] = ()


class DiscoveryApp:
    """One node's view of the fleet. Run `run` in a task; the other methods answer calls."""

    def __init__(self, settings: AppSettings, clock: Clock, store: Store, remembered: Remembered) -> None:
        """Start from what was remembered; nothing is probed before `run`."""
        self._settings = settings
        self._clock = clock
        self._store = store
        self._prober: Prober | None = None
        self._topology = Topology(settings.limits, remembered)
        self._saved_aliases = dict(remembered.aliases)
        self._feed = Feed(int(clock.utc_now().timestamp() * 1e6), FEED_CAPACITY)
        self._watchers: Watchers[Revised] = Watchers(WATCHER_LIMIT)
        self._pending = Delta()
        self._flush_handle: asyncio.TimerHandle | None = None
        poll_ns = int(settings.limits.poll.total_seconds() * _NS)
        dead_ns = int(settings.dead_poll_max.total_seconds() * _NS)
        primary_ns = int(settings.primary_poll.total_seconds() * _NS)
        self._schedule = Schedule(Pace(poll_ns, primary_ns, settings.poll_jitter, dead_ns))
        self._forgotten = Forgotten()
        self._unseen: set[InstanceKey] = set()  # Probed, but not known: never answered, and nobody's source.
        self._failed: dict[InstanceKey, ProbeFailure] = {}
        self._full_ns: dict[InstanceKey, int] = {}
        self._running: dict[InstanceKey, asyncio.Task[ProbeResult]] = {}
        self._bursts: dict[InstanceKey, Burst] = {}
        self._burst_ended: dict[InstanceKey, asyncio.Event] = {}
        self._burst_start_ns: dict[InstanceKey, int] = {}
        self._burst_later: set[InstanceKey] = set()
        self._wake = asyncio.Event()
        self._first_round = {*settings.seeds, *self._topology.instances}
        self._ready = asyncio.Event()
        self._started = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._last_probe_ns = clock.boottime_ns()

    # The life of the process.

    async def run(self, prober: Prober) -> None:
        """Probe the fleet until cancelled."""
        self._prober = prober
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._started.set()
            now_ns = self._clock.boottime_ns()
            for key in self._first_round:
                self._add(key, now_ns)
            self._check_ready()
            tasks.create_task(self._age())
            await self._probe_when_due()

    async def _probe_when_due(self) -> None:
        while True:
            self._wake.clear()
            now_ns = self._clock.boottime_ns()
            for key in self._schedule.take_due(now_ns):
                if key in self._unseen and key not in self._first_round and not self._is_wanted(key):
                    self._drop_unseen(key)
                else:
                    self._probe(key, self._routine_depth(key, now_ns))
            next_ns = self._schedule.next_due_ns()
            wait_s = None if next_ns is None else max(0.0, (next_ns - self._clock.boottime_ns()) / _NS)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _age(self) -> None:
        while True:
            await asyncio.sleep(self._settings.limits.poll.total_seconds())
            self._publish(self._topology.note_time(self._clock.utc_now()), urgent=True)

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
        refused = [failure.kind is FailureKind.ACCESS_DENIED for failure in self._failed.values()]
        everywhere = bool(refused) and all(refused) and len(refused) >= len(self._topology.instances)
        return self.ready and self._store.healthy and not everywhere

    def set_directory(self, entries: Sequence[DirectoryEntry]) -> None:
        """Take new or changed entries of the replicated directory; a changed primary has its cluster read at once."""
        before = {cluster_id: cluster.epoch for cluster_id, cluster in self._topology.clusters.items()}
        self._publish(self._topology.set_directory(entries, self._clock.utc_now()), urgent=True)
        for entry in entries:
            if 0 < before.get(entry.cluster_id, entry.epoch) < entry.epoch:
                self._probe_cluster(entry.cluster_id)
                # The replicas follow the new primary a moment after it is published.
                asyncio.get_running_loop().call_later(FOLLOW_UP_S, self._probe_cluster, entry.cluster_id)

    def _probe_cluster(self, cluster_id: str) -> None:
        if self._tasks is not None:
            for key in self._topology.members(cluster_id):
                self._probe(key, ProbeDepth.ROUTINE)

    def on_signal(self, key: InstanceKey) -> None:
        """The server of an idle connection closed it, or said something unasked."""
        if self._tasks is not None and (key in self._topology.instances or key in self._unseen):
            self._suspect(key)

    # Probing.

    def _add(self, key: InstanceKey, now_ns: int) -> None:
        if key not in self._topology.instances:
            self._unseen.add(key)
        self._schedule.at(key, now_ns)
        self._wake.set()

    def _is_wanted(self, key: InstanceKey) -> bool:
        return key in self._settings.seeds or self._topology.is_referred_to(key)

    def _drop_unseen(self, key: InstanceKey) -> None:
        self._unseen.discard(key)
        self._failed.pop(key, None)
        self._schedule.remove(key)
        if self._prober is not None:
            self._prober.forget(key)

    def _routine_depth(self, key: InstanceKey, now_ns: int) -> ProbeDepth:
        period_ns = self._settings.full_probe_period.total_seconds() * _NS
        due = key not in self._full_ns or now_ns - self._full_ns[key] >= period_ns
        return ProbeDepth.FULL if due else ProbeDepth.ROUTINE

    def _probe(self, key: InstanceKey, depth: ProbeDepth) -> asyncio.Task[ProbeResult]:
        """Return the running probe of an instance, else a new one."""
        running = self._running.get(key)
        if running is None:
            assert self._tasks is not None
            running = self._tasks.create_task(self._probe_once(key, depth))
            self._running[key] = running
        return running

    async def _probe_once(self, key: InstanceKey, depth: ProbeDepth) -> ProbeResult:
        assert self._prober is not None
        burst = depth is ProbeDepth.BURST
        timers = [] if burst else self._slow_timers(key)
        deadline = self._settings.burst_timeout if burst else self._settings.probe_timeout
        try:
            result = await self._prober.probe(key, depth, deadline, suspect=key in self._failed)
        finally:
            del self._running[key]
            for timer in timers:
                timer.cancel()
        try:
            self._absorb(result)
        except Exception:  # One instance that we do not understand must not end the watch over all others.
            log.exception("discovery.result_not_understood", extra={"instance": str(key)})
            self._schedule.after_probe(key, result.finished_ns, answered=False, chance=0.5)
        return result

    def _slow_timers(self, key: InstanceKey) -> list[asyncio.TimerHandle]:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(HANGING_AFTER_S, self._note_hanging, key)]
        if key not in self._failed:
            timers.append(loop.call_later(self._settings.slow_after.total_seconds(), self._suspect, key))
        return timers

    def _note_hanging(self, key: InstanceKey) -> None:
        self._publish(self._topology.note_hanging(key, self._clock.utc_now()), urgent=False)

    def _absorb(self, result: ProbeResult) -> None:
        key = result.key
        if key not in self._topology.instances and key not in self._unseen:
            return  # Forgotten while it was being probed.
        old = self._topology.instances.get(key)
        self._note_outcome(result)
        if old is not None or self._is_worth_knowing(result):
            self._unseen.discard(key)
            delta = self._topology.apply(result)
            self._publish(delta, urgent=is_urgent(old, self._topology.instances[key]))
            self._follow(self._topology.instances[key], result)
            self._note_in_bursts(result)
            for suspect in sorted(suspects(old, self._topology.instances[key])):
                self._suspect(suspect)
        self._first_round.discard(key)
        self._check_ready()

    def _note_outcome(self, result: ProbeResult) -> None:
        key, outcome = result.key, result.outcome
        self._last_probe_ns = result.finished_ns
        if isinstance(outcome, ProbeFailure):
            before = self._failed.get(key)
            if before is None or before.kind is not outcome.kind:
                fields = {"instance": str(key), "kind": outcome.kind.value, "error": outcome.problem}
                log.warning("discovery.instance_failed", extra=fields)
            self._failed[key] = outcome
        else:
            if self._failed.pop(key, None) is not None:
                log.info("discovery.instance_answers", extra={"instance": str(key)})
            if result.depth is ProbeDepth.FULL:
                self._full_ns[key] = result.started_ns
        answered = isinstance(outcome, Instance)
        last = outcome if isinstance(outcome, Instance) else self._topology.instances.get(key)
        primary = last is not None and not last.channels and last.read_only is False
        chance = random.random()  # noqa: S311  The jitter of a poll is no secret.
        self._schedule.after_probe(key, result.finished_ns, answered=answered, chance=chance, primary=primary)
        self._wake.set()

    def _is_worth_knowing(self, result: ProbeResult) -> bool:
        """Whether an endpoint becomes known: it answered, or a replica names it as its source."""
        return isinstance(result.outcome, Instance) or bool(self._topology.replicas(result.key))

    def _follow(self, instance: Instance, result: ProbeResult) -> None:
        if isinstance(result.outcome, ProbeFailure):
            return
        unknown = [
            key for key in neighbours(instance) if key not in self._topology.instances and key not in self._unseen
        ]
        for key in self._forgotten.allowed(unknown, result.finished_ns):
            self._add(key, result.finished_ns)
            if not self.ready:
                self._first_round.add(key)

    def _check_ready(self) -> None:
        if not self._first_round and not self._ready.is_set():
            self._ready.set()

    # Suspicion.

    def _suspect(self, key: InstanceKey) -> None:
        """Burst upon an instance and all around it, unless that goes on already."""
        now_ns = self._clock.boottime_ns()
        if self._tasks is None or key in self._bursts or key in self._burst_later:
            return
        if len(self._bursts) >= self._settings.burst_limit:
            return
        if key not in self._topology.instances and key not in self._unseen:
            return
        early_ns = self._burst_start_ns.get(key, 0) + BURST_GAP_NS - now_ns
        if early_ns > 0:
            self._burst_later.add(key)
            asyncio.get_running_loop().call_later(early_ns / _NS, self._suspect_later, key)
            return
        self._burst_start_ns[key] = now_ns
        lengths = (self._settings.burst_length, self._settings.hung_burst_length)
        self._bursts[key] = Burst(key, now_ns, *(int(length.total_seconds() * _NS) for length in lengths))
        self._burst_ended[key] = asyncio.Event()
        self._tasks.create_task(self._burst(key))

    def _suspect_later(self, key: InstanceKey) -> None:
        self._burst_later.discard(key)
        self._suspect(key)

    async def _burst(self, subject: InstanceKey) -> None:
        try:
            async with asyncio.TaskGroup() as targets:
                for target in sorted({subject, *self._topology.around(subject)}):
                    targets.create_task(self._burst_upon(target, subject))
        finally:
            del self._bursts[subject]
            del self._burst_ended[subject]

    async def _burst_upon(self, target: InstanceKey, subject: InstanceKey) -> None:
        burst, ended = self._bursts[subject], self._burst_ended[subject]
        for probed in range(1, 1000):
            await asyncio.wait((self._probe(target, ProbeDepth.BURST),))
            self._end_burst_when_over(subject)
            with suppress(TimeoutError):
                async with asyncio.timeout(burst.wait_ms(target, probed) / 1000):
                    await ended.wait()
            if ended.is_set() or (target not in self._topology.instances and target not in self._unseen):
                return

    def _note_in_bursts(self, result: ProbeResult) -> None:
        for subject, burst in self._bursts.items():
            burst.record(result)
            self._end_burst_when_over(subject)

    def _end_burst_when_over(self, subject: InstanceKey) -> None:
        replicas = [replica.key for replica in self._topology.replicas(subject)]
        if self._bursts[subject].is_over(self._clock.boottime_ns(), replicas):
            self._burst_ended[subject].set()

    # Publishing.

    def _publish(self, delta: Delta, *, urgent: bool) -> None:
        if not delta:
            return
        self._pending = merged(self._pending, delta)
        self._store.save(delta.changed.values(), urgent=urgent)
        if delta.removed:
            self._store.remove(delta.removed)
        for cluster_id in delta.changed_clusters:
            alias = self._topology.aliases.get(cluster_id)
            if alias is not None and self._saved_aliases.get(cluster_id) != alias:
                self._saved_aliases[cluster_id] = alias
                self._store.save_alias(cluster_id, alias)
        if urgent or delta.changed_clusters or delta.removed:
            self._flush()
        elif self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_later(GATHER_S, self._flush)

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._pending and self.ready:
            revised = self._feed.add(self._pending)
            self._pending = Delta()
            self._watchers.publish(revised)

    # Calls.

    async def discover(self, key: InstanceKey) -> tuple[Instance, frozenset[InstanceKey]]:
        """Read one server and all that is reachable from it; return it and every instance found.

        Raises:
            InstanceUnreachable, AccountRefused, InstanceNotRead: The server was never seen, and could not be read now.
        """
        await self._started.wait()
        self._forgotten.remove(key)
        if key not in self._topology.instances:
            self._unseen.add(key)  # Not scheduled: the routine drops what nobody refers to.
        first = await self._probe(key, ProbeDepth.FULL)
        if isinstance(first.outcome, ProbeFailure):
            self._refuse_unless_seen(key, first.outcome)
        crawled, frontier = {key}, self._known_neighbours(key)
        while frontier - crawled:
            batch = sorted(frontier - crawled)
            crawled.update(batch)
            await asyncio.wait([self._probe(one, ProbeDepth.FULL) for one in batch])
            frontier = set().union(*(self._known_neighbours(one) for one in batch))
        return self.instance(key), frozenset(crawled & self._topology.instances.keys())

    def _refuse_unless_seen(self, key: InstanceKey, failure: ProbeFailure) -> None:
        known = self._topology.instances.get(key)
        if known is not None and known.reading.last_seen_time is not None:
            return
        if known is None and not self._is_wanted(key):
            self._drop_unseen(key)
        if failure.kind is FailureKind.ACCESS_DENIED:
            raise AccountRefused(str(key), failure.number, failure.problem)
        if failure.kind is FailureKind.REFUSED:
            raise InstanceNotRead(str(key), failure.number, failure.problem)
        raise InstanceUnreachable(str(key), failure.problem)

    def _known_neighbours(self, key: InstanceKey) -> set[InstanceKey]:
        instance = self._topology.instances.get(key)
        if instance is None:
            return set()
        near = {*neighbours(instance), *(replica.key for replica in self._topology.replicas(key))}
        return {one for one in near if one in self._topology.instances or one in self._unseen}

    async def refresh(self, key: InstanceKey) -> Instance:
        """Read one known instance now, in a probe that began after the call.

        Raises:
            InstanceUnknown: It is not known.
        """
        await self._started.wait()
        self.instance(key)
        running = self._running.get(key)
        if running is not None:
            await asyncio.wait((running,))
        await asyncio.wait((self._probe(key, ProbeDepth.FULL),))
        return self.instance(key)

    def forget(self, key: InstanceKey) -> None:
        """Drop an instance, for three poll periods at least.

        Raises:
            InstanceUnknown: It is not known.
        """
        if key not in self._topology.instances and key not in self._unseen:
            raise InstanceUnknown(str(key))
        now_ns = self._clock.boottime_ns()
        self._forgotten.add(key, now_ns + int(3 * self._settings.limits.poll.total_seconds() * _NS))
        self._drop_unseen(key)
        self._full_ns.pop(key, None)
        self._first_round.discard(key)
        self._publish(self._topology.forget(key, self._clock.utc_now()), urgent=True)
        self._check_ready()

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
        self._flush()
        chosen = [self._cluster_id(cluster)] if cluster else list(self._topology.clusters)
        return TopologySnapshot(
            revision=self._feed.revision,
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
        self._flush()
        snapshot = None if after_revision else self.snapshot()
        with self._watchers.join(self._feed.after(after_revision) if after_revision else ()) as watcher:
            yield snapshot, watcher

    def end_watches(self) -> None:
        """End every stream: this process is about to stop."""
        self._watchers.end()

    @property
    def staleness(self) -> timedelta:
        """Time since the last probe of any server ended."""
        return timedelta(microseconds=(self._clock.boottime_ns() - self._last_probe_ns) / 1000)
