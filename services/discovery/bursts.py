"""Carries out bursts (see `suspicion`): starts them, keeps their targets probed, and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.discovery.model import AppSettings, ProbeDepth, ProbeResult
from services.discovery.ports import Clock
from services.discovery.suspicion import Burst
from services.discovery.topology import Topology
from services.shared.topology.key import InstanceKey

BURST_GAP_NS: Final = 200_000_000
"""Shortest time between the starts of two bursts about one instance: a server that hangs up on us again and again."""
_NS: Final = 1_000_000_000


class Bursts:
    """The bursts that go on."""

    def __init__(
        self,
        settings: AppSettings,
        clock: Clock,
        topology: Topology,
        probe: Callable[[InstanceKey, ProbeDepth], asyncio.Task[ProbeResult]],
        is_followed: Callable[[InstanceKey], bool],
    ) -> None:
        """Begin without bursts; none starts before `start`.

        Args:
            settings: Their lengths and number.
            clock: Boot time.
            topology: What is around a suspect.
            probe: Returns the running probe of an instance, else a new one.
            is_followed: Whether an endpoint is probed at all.
        """
        self._settings = settings
        self._clock = clock
        self._topology = topology
        self._probe = probe
        self._is_followed = is_followed
        self._tasks: asyncio.TaskGroup | None = None
        self._bursts: dict[InstanceKey, Burst] = {}
        self._ended: dict[InstanceKey, asyncio.Event] = {}
        self._start_ns: dict[InstanceKey, int] = {}
        self._later: set[InstanceKey] = set()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let bursts run, in these tasks."""
        self._tasks = tasks

    def suspect(self, key: InstanceKey) -> None:
        """Burst upon an instance and all around it, unless that goes on already."""
        now_ns = self._clock.boottime_ns()
        if self._tasks is None or key in self._bursts or key in self._later:
            return
        if len(self._bursts) >= self._settings.burst_limit:
            return
        if not self._is_followed(key):
            return
        early_ns = self._start_ns.get(key, 0) + BURST_GAP_NS - now_ns
        if early_ns > 0:
            self._later.add(key)
            asyncio.get_running_loop().call_later(early_ns / _NS, self._suspect_later, key)
            return
        self._start_ns[key] = now_ns
        lengths = (self._settings.burst_length, self._settings.hung_burst_length)
        self._bursts[key] = Burst(key, now_ns, *(int(length.total_seconds() * _NS) for length in lengths))
        self._ended[key] = asyncio.Event()
        self._tasks.create_task(self._burst(key))

    def _suspect_later(self, key: InstanceKey) -> None:
        self._later.discard(key)
        self.suspect(key)

    async def _burst(self, subject: InstanceKey) -> None:
        try:
            async with asyncio.TaskGroup() as targets:
                for target in sorted({subject, *self._topology.around(subject)}):
                    targets.create_task(self._burst_upon(target, subject))
        finally:
            del self._bursts[subject]
            del self._ended[subject]

    async def _burst_upon(self, target: InstanceKey, subject: InstanceKey) -> None:
        burst, ended = self._bursts[subject], self._ended[subject]
        for probed in range(1, 1000):
            await asyncio.wait((self._probe(target, ProbeDepth.BURST),))
            self._end_when_over(subject)
            with suppress(TimeoutError):
                async with asyncio.timeout(burst.wait_ms(target, probed) / 1000):
                    await ended.wait()
            if ended.is_set() or not self._is_followed(target):
                return

    def note(self, result: ProbeResult) -> None:
        """Take the result of a probe, whoever asked for it."""
        for subject, burst in self._bursts.items():
            burst.record(result)
            self._end_when_over(subject)

    def _end_when_over(self, subject: InstanceKey) -> None:
        replicas = [replica.key for replica in self._topology.replicas(subject)]
        if self._bursts[subject].is_over(self._clock.boottime_ns(), replicas):
            self._ended[subject].set()
