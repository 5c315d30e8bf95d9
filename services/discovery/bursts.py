"""Carries out bursts (see `suspicion`): starts them, keeps their targets probed, and ends them.

Only so many bursts go on at a time. A suspicion that finds no room waits, the one about a primary first, then those
about sources, then those about leaves; and the burst upon a leaf gives way to one upon a primary, and waits again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from services.discovery.lane import Rank, rank_of
from services.discovery.model import AppSettings, ProbeResult
from services.discovery.ports import Clock
from services.discovery.suspicion import Burst
from services.discovery.topology import Topology
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

log = logging.getLogger(__name__)

BURST_GAP_NS: Final = 200_000_000
"""Shortest time between the starts of two bursts about one instance: a server that hangs up on us again and again."""
_NS: Final = 1_000_000_000


@dataclass(eq=False)
class _Running:
    """A burst that goes on.

    Attributes:
        burst: Its state.
        rank: How much its subject mattered when it began.
        targets: Whom it probes.
        ended: Set when it is over.
    """

    burst: Burst
    rank: Rank
    targets: frozenset[InstanceKey]
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Bursts:
    """The bursts that go on, and the suspicions that wait for one."""

    def __init__(
        self,
        settings: AppSettings,
        clock: Clock,
        topology: Topology,
        probe: Callable[[InstanceKey, Rank], asyncio.Task[ProbeResult | None]],
        is_followed: Callable[[InstanceKey], bool],
    ) -> None:
        """Begin without bursts; none starts before `start`.

        Args:
            settings: Their lengths and number.
            clock: Boot time.
            topology: What is around a suspect.
            probe: Returns the running probe of an instance, else a new one for a burst upon a subject of a rank.
            is_followed: Whether an endpoint is probed at all.
        """
        self._settings = settings
        self._clock = clock
        self._topology = topology
        self._probe = probe
        self._is_followed = is_followed
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[InstanceKey, _Running] = {}
        self._by_target: dict[InstanceKey, set[_Running]] = {}
        self._waiting: dict[InstanceKey, int] = {}  # Boot time of each suspicion that found no room, oldest first.
        self._start_ns: dict[InstanceKey, int] = {}
        self._later: set[InstanceKey] = set()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let bursts run, in these tasks."""
        self._tasks = tasks

    def suspect(self, key: InstanceKey) -> None:
        """Burst upon an instance and all around it, unless that goes on already; wait if there is no room."""
        now_ns = self._clock.boottime_ns()
        if self._tasks is None or key in self._running or key in self._waiting or key in self._later:
            return
        if not self._is_followed(key):
            return
        early_ns = self._start_ns[key] + BURST_GAP_NS - now_ns if key in self._start_ns else 0
        if early_ns > 0:
            self._later.add(key)
            asyncio.get_running_loop().call_later(early_ns / _NS, self._suspect_later, key)
            return
        self._waiting[key] = now_ns
        self._give_way(rank_of(self._topology, key))
        self._start_waiting()
        if key in self._waiting:
            log.info("discovery.burst_waits", extra={"instance": str(key), "running": len(self._running)})

    def _suspect_later(self, key: InstanceKey) -> None:
        self._later.discard(key)
        self.suspect(key)

    def forget(self, key: InstanceKey) -> None:
        """Drop what is kept about an instance; a burst upon it ends by itself."""
        self._waiting.pop(key, None)
        self._start_ns.pop(key, None)

    # Room.

    def _give_way(self, rank: Rank) -> None:
        """Let the burst that matters least wait again if there is no room for one of a rank that matters more."""
        if len(self._running) < self._settings.burst_limit:
            return
        subject, least = max(self._running.items(), key=lambda item: item[1].rank)  # Of several the oldest.
        if rank < least.rank:
            self._end(subject, least)
            self._waiting[subject] = self._clock.boottime_ns()
            log.info("discovery.burst_gives_way", extra={"instance": str(subject), "running": len(self._running)})

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._settings.burst_limit:
            key = min(self._waiting, key=lambda waiting: rank_of(self._topology, waiting))
            del self._waiting[key]
            self._start(key)

    def _start(self, subject: InstanceKey) -> None:
        assert self._tasks is not None
        now_ns = self._clock.boottime_ns()
        self._start_ns[subject] = now_ns
        lengths = (self._settings.burst_length, self._settings.hung_burst_length)
        burst = Burst(subject, now_ns, *(int(length.total_seconds() * _NS) for length in lengths))
        targets = frozenset({subject, *self._topology.around(subject)})
        running = _Running(burst, rank_of(self._topology, subject), targets)
        self._running[subject] = running
        for target in targets:
            self._by_target.setdefault(target, set()).add(running)
        self._tasks.create_task(self._burst(running))

    def _end(self, subject: InstanceKey, running: _Running) -> None:
        running.ended.set()
        if self._running.get(subject) is running:
            del self._running[subject]
            for target in running.targets:
                self._by_target[target].discard(running)
                if not self._by_target[target]:
                    del self._by_target[target]

    # Probing.

    async def _burst(self, running: _Running) -> None:
        async with asyncio.TaskGroup() as targets:
            for target in sorted(running.targets):
                targets.create_task(self._burst_upon(target, running))
        self._end(running.burst.subject, running)  # Nobody is left to probe.
        self._start_waiting()

    async def _burst_upon(self, target: InstanceKey, running: _Running) -> None:
        for probed in range(1, 1000):
            await asyncio.wait((self._probe(target, running.rank),))
            self._end_when_over(running)
            with suppress(TimeoutError):
                async with asyncio.timeout(running.burst.wait_ms(target, probed) / 1000):
                    await running.ended.wait()
            if running.ended.is_set() or not self._is_followed(target):
                return

    def note(self, result: ProbeResult) -> None:
        """Take the result of a probe, whoever asked for it."""
        suspected_ns = self._waiting.get(result.key)
        if suspected_ns is not None and isinstance(result.outcome, Instance) and result.started_ns >= suspected_ns:
            del self._waiting[result.key]  # A burst would end here.
        for running in self._concerned(result.key):
            running.burst.record(result)
            self._end_when_over(running)

    def _concerned(self, key: InstanceKey) -> set[_Running]:
        instance = self._topology.instances.get(key)
        sources = instance.sources if instance is not None else ()
        upon_sources = {self._running[source] for source in sources if source in self._running}
        return upon_sources | self._by_target.get(key, set())

    def _end_when_over(self, running: _Running) -> None:
        if running.ended.is_set():
            return
        subject = running.burst.subject
        replicas = [replica.key for replica in self._topology.replicas(subject)]
        if running.burst.is_over(self._clock.boottime_ns(), replicas):
            self._end(subject, running)
            self._start_waiting()
