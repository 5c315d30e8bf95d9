"""The rounds of the prober: probes what is due, takes the results in, follows what they name, and suspects.

What happens after a probe, in this order: the result goes into the topology, what changed is published, the next probe
is scheduled, new endpoints are followed, and what has become suspect is burst upon.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from services.discovery.bursts import Bursts
from services.discovery.change import is_urgent
from services.discovery.crawl import Forgotten, neighbours
from services.discovery.lane import Lane, NoPlace, Place, Rank, after_hanging, is_published, place_of, rank_of
from services.discovery.model import AppSettings, Delta, ProbeDepth, ProbeFailure, ProbeResult
from services.discovery.ports import Clock, Prober
from services.discovery.publishing import Publishing
from services.discovery.schedule import DEAD_POLL_FIRST_NS, Pace, Schedule
from services.discovery.suspicion import suspects
from services.discovery.topology import Topology
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind

log = logging.getLogger(__name__)

HANGING_AFTER_S: Final = 1.0
"""A probe without answer for so long shows as hanging (the reference's rule)."""
_NS: Final = 1_000_000_000


class Rounds:
    """Keeps a topology fresh. Run `run` in a task."""

    def __init__(
        self, settings: AppSettings, clock: Clock, topology: Topology, publishing: Publishing, ready: asyncio.Event
    ) -> None:
        """Begin with what the topology knows and the seeds; nothing is probed before `run`.

        Args:
            settings: How to watch.
            clock: Time.
            topology: Takes the results.
            publishing: Takes the changes.
            ready: Is set here when everything reachable has been probed once.
        """
        self._settings = settings
        self._clock = clock
        self._topology = topology
        self._publishing = publishing
        self._prober: Prober | None = None
        poll_ns = int(settings.limits.poll.total_seconds() * _NS)
        dead_ns = int(settings.dead_poll_max.total_seconds() * _NS)
        primary_ns = int(settings.primary_poll.total_seconds() * _NS)
        self._schedule = Schedule(Pace(poll_ns, primary_ns, settings.poll_jitter, dead_ns))
        self._bursts = Bursts(settings, clock, topology, self._probe_for_burst, self.is_followed)
        self._forgotten = Forgotten()
        self._unseen: set[InstanceKey] = set()  # Probed, but not known: never answered, and nobody's source.
        self._failed: dict[InstanceKey, ProbeFailure] = {}
        self._full_ns: dict[InstanceKey, int] = {}
        self._running: dict[InstanceKey, asyncio.Task[ProbeResult | None]] = {}
        self._wake = asyncio.Event()
        self._first_round = {*settings.seeds, *self._topology.instances}
        self._ready = ready
        self._started = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._last_probe_ns = clock.boottime_ns()

    async def run(self, prober: Prober) -> None:
        """Probe the fleet until cancelled."""
        self._prober = prober
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._bursts.start(tasks)
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
                    self.probe(key, self._routine_depth(key, now_ns))
            next_ns = self._schedule.next_due_ns()
            wait_s = None if next_ns is None else max(0.0, (next_ns - self._clock.boottime_ns()) / _NS)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _age(self) -> None:
        while True:
            await asyncio.sleep(self._settings.limits.poll.total_seconds())
            self._publishing.publish(self._topology.note_time(self._clock.utc_now()), urgent=True)

    async def wait_started(self) -> None:
        """Wait until probes can be asked for."""
        await self._started.wait()

    @property
    def failures(self) -> Mapping[InstanceKey, ProbeFailure]:
        """Endpoints whose last probe failed, and why."""
        return self._failed

    @property
    def last_probe_ns(self) -> int:
        """Boot time at which the last probe of any server ended."""
        return self._last_probe_ns

    def is_followed(self, key: InstanceKey) -> bool:
        """Return whether an endpoint is known, or tried."""
        return key in self._topology.instances or key in self._unseen

    # What is probed.

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
        self._full_ns.pop(key, None)
        self._bursts.forget(key)
        if self._prober is not None:
            self._prober.forget(key)

    def try_out(self, key: InstanceKey) -> None:
        """Take results of an endpoint although it is not known, or was forgotten."""
        self._forgotten.remove(key)
        if key not in self._topology.instances:
            self._unseen.add(key)  # Not scheduled: the routine drops what nobody refers to.

    def give_up(self, key: InstanceKey) -> None:
        """Let go of an endpoint that was tried out and is not known, unless somebody else refers to it."""
        if key not in self._topology.instances and not self._is_wanted(key):
            self._drop_unseen(key)

    def forget(self, key: InstanceKey) -> None:
        """Drop an instance, for three poll periods at least."""
        now_ns = self._clock.boottime_ns()
        self._forgotten.add(key, now_ns + int(3 * self._settings.limits.poll.total_seconds() * _NS))
        self._drop_unseen(key)
        self._first_round.discard(key)
        self._publishing.publish(self._topology.forget(key, self._clock.utc_now()), urgent=True)
        self._check_ready()

    # Probing.

    def _routine_depth(self, key: InstanceKey, now_ns: int) -> ProbeDepth:
        period_ns = self._settings.full_probe_period.total_seconds() * _NS
        due = key not in self._full_ns or now_ns - self._full_ns[key] >= period_ns
        return ProbeDepth.FULL if due else ProbeDepth.ROUTINE

    def probe(self, key: InstanceKey, depth: ProbeDepth) -> asyncio.Task[ProbeResult | None]:
        """Return the running probe of an instance, else a new one; without result it did not begin (see `NoPlace`)."""
        return self._probe_at(key, depth, place_of(rank_of(self._topology, key), self._failed.get(key)))

    def _probe_for_burst(self, target: InstanceKey, subject_rank: Rank) -> asyncio.Task[ProbeResult | None]:
        rank = after_hanging(min(subject_rank, rank_of(self._topology, target)), self._failed.get(target))
        return self._probe_at(target, ProbeDepth.BURST, Place(Lane.BURST, rank))

    def _probe_at(self, key: InstanceKey, depth: ProbeDepth, place: Place) -> asyncio.Task[ProbeResult | None]:
        assert self._tasks is not None
        assert self._prober is not None
        running = self._running.get(key)
        if running is None:
            running = self._tasks.create_task(self._probe_once(self._prober, key, depth, place))
            self._running[key] = running
        else:
            self._prober.hurry(key, place)
        return running

    async def probe_anew(self, key: InstanceKey) -> None:
        """Read an instance in full, in a probe that began after the call."""
        running = self._running.get(key)
        if running is not None:
            await asyncio.wait((running,))
        await asyncio.wait((self.probe(key, ProbeDepth.FULL),))

    def probe_soon(self, keys: Iterable[InstanceKey]) -> None:
        """Probe instances now instead of when they are due; before `run`, they are due anyway."""
        if self._tasks is not None:
            for key in keys:
                self.probe(key, ProbeDepth.ROUTINE)

    async def _probe_once(
        self, prober: Prober, key: InstanceKey, depth: ProbeDepth, place: Place
    ) -> ProbeResult | None:
        try:
            result = await self._result(prober, key, depth, place)
        except NoPlace as error:
            log.warning(
                "discovery.no_place", extra={"instance": str(key), "lane": place.lane.name, "error": str(error)}
            )
            if self.is_followed(key):
                self._schedule.at(key, self._clock.boottime_ns() + DEAD_POLL_FIRST_NS)
                self._wake.set()
            return None
        finally:
            del self._running[key]
        try:
            self._absorb(result)
        except Exception:  # One instance that we do not understand must not end the watch over all others.
            log.exception("discovery.result_not_taken", extra={"instance": str(key)})
        finally:
            self._first_round.discard(key)
            self._check_ready()
        return result

    async def _result(self, prober: Prober, key: InstanceKey, depth: ProbeDepth, place: Place) -> ProbeResult:
        burst = depth is ProbeDepth.BURST
        deadline = self._settings.burst_timeout if burst else self._settings.probe_timeout
        timers: list[asyncio.TimerHandle] = []

        def on_start() -> None:
            if not burst:
                timers.extend(self._slow_timers(key))

        started_ns = self._clock.boottime_ns()
        try:
            return await prober.probe(key, depth, deadline, place, on_start)
        except NoPlace:
            raise
        except Exception as error:
            log.exception("discovery.probe_broken", extra={"instance": str(key)})
            times = (started_ns, self._clock.boottime_ns(), self._clock.utc_now())
            return ProbeResult(key, depth, _not_understood(error), *times)
        finally:
            for timer in timers:
                timer.cancel()

    def _slow_timers(self, key: InstanceKey) -> list[asyncio.TimerHandle]:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(HANGING_AFTER_S, self._note_hanging, key)]
        if key not in self._failed:
            timers.append(loop.call_later(self._settings.slow_after.total_seconds(), self.suspect, key))
        return timers

    def _note_hanging(self, key: InstanceKey) -> None:
        self._publishing.publish(self._topology.note_hanging(key, self._clock.utc_now()), urgent=False)

    def suspect(self, key: InstanceKey) -> None:
        """Burst upon an instance and all around it, unless that goes on already."""
        self._bursts.suspect(key)

    # Results.

    def _absorb(self, result: ProbeResult) -> None:
        key = result.key
        if not self.is_followed(key):
            return  # Forgotten while it was being probed.
        old = self._topology.instances.get(key)
        self._note_outcome(result)
        if old is not None or self._is_worth_knowing(result):
            self._unseen.discard(key)
            result, delta = self._apply(result)
            self._publishing.publish(delta, urgent=is_urgent(old, self._topology.instances[key]))
            self._follow(self._topology.instances[key], result)
            self._bursts.note(result)
            for suspect in sorted(suspects(old, self._topology.instances[key])):
                self.suspect(suspect)

    def _apply(self, result: ProbeResult) -> tuple[ProbeResult, Delta]:
        """Give a result to the topology; one that it cannot take counts as a probe that failed, with the reason."""
        try:
            return result, self._topology.apply(result)
        except Exception as error:
            log.exception("discovery.result_not_understood", extra={"instance": str(result.key)})
            failed = replace(result, outcome=_not_understood(error))
            self._failed[result.key] = _not_understood(error)
            return failed, self._topology.apply(failed)

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
        primary = last is not None and (last.read_only is False or is_published(self._topology, last))
        chance = random.random()  # noqa: S311  The jitter of a poll is no secret.
        self._schedule.after_probe(key, result.finished_ns, answered=answered, chance=chance, primary=primary)
        self._wake.set()

    def _is_worth_knowing(self, result: ProbeResult) -> bool:
        """Whether an endpoint becomes known: it answered, or a replica names it as its source."""
        return isinstance(result.outcome, Instance) or bool(self._topology.replicas(result.key))

    def _follow(self, instance: Instance, result: ProbeResult) -> None:
        if isinstance(result.outcome, ProbeFailure):
            return
        unknown = [key for key in neighbours(instance) if not self.is_followed(key)]
        for key in self._forgotten.allowed(unknown, result.finished_ns):
            self._add(key, result.finished_ns)
            if not self._ready.is_set():
                self._first_round.add(key)

    def _check_ready(self) -> None:
        if not self._first_round and not self._ready.is_set():
            self._ready.set()


def _not_understood(error: Exception) -> ProbeFailure:
    problem = f"the answer was not understood: {type(error).__name__}: {error}"
    return ProbeFailure(FailureKind.NOT_UNDERSTOOD, 0, problem[:1024])
