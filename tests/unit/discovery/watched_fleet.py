"""A watched fleet without servers: a prober that answers from values, and an event loop whose time is virtual."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta

from services.discovery.lane import NoPlace, Place
from services.discovery.model import AppSettings, ProbeDepth, ProbeFailure, ProbeResult, Remembered
from services.discovery.publishing import Publishing
from services.discovery.rounds import Rounds
from services.discovery.topology import Topology
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from tests.unit.discovery.fleets import TIMED_OUT, at, key


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else is to do."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now_s


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self._loop.now_s += timeout + 1e-9
        return ready


def run_virtually(work: Coroutine[object, object, None]) -> None:
    """Run a test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class LoopClock:
    """The loop's time as boot time and as wall time."""

    def boottime_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def utc_now(self) -> datetime:
        return at(asyncio.get_running_loop().time() - 1000)


class NoStore:
    """A store that keeps nothing."""

    healthy = True

    def save(self, instances: object, *, urgent: bool) -> None: ...
    def remove(self, keys: object) -> None: ...
    def save_alias(self, cluster_id: str, alias: str) -> None: ...


class ScriptedProber:
    """Answers at once from `answers`; who is not in it hangs until the deadline.

    Attributes:
        answers: What each server shows, or why it fails.
        queue_s: How long each probe waits for its place; who is in `no_place` gets none.
        asked: Every probe, in order.
    """

    def __init__(self, *fleet: Instance) -> None:
        self.answers: dict[InstanceKey, Instance | ProbeFailure] = {one.key: one for one in fleet}
        self.queue_s: dict[InstanceKey, float] = {}
        self.no_place: set[InstanceKey] = set()
        self.broken: set[InstanceKey] = set()
        self.asked: list[tuple[InstanceKey, ProbeDepth, Place]] = []
        self.clock = LoopClock()

    async def probe(
        self, key: InstanceKey, depth: ProbeDepth, deadline: timedelta, place: Place, on_start: Callable[[], None]
    ) -> ProbeResult:
        self.asked.append((key, depth, place))
        if key in self.no_place:
            raise NoPlace(key)
        if key in self.broken:
            raise RuntimeError("broken")
        await asyncio.sleep(self.queue_s.get(key, 0))
        on_start()
        started_ns = self.clock.boottime_ns()
        await asyncio.sleep(0.001 if key in self.answers else deadline.total_seconds())
        outcome = self.answers.get(key, TIMED_OUT)
        return ProbeResult(key, depth, outcome, started_ns, self.clock.boottime_ns(), self.clock.utc_now())

    def hurry(self, key: InstanceKey, place: Place) -> None: ...
    def forget(self, key: InstanceKey) -> None: ...
    async def close(self) -> None: ...


class Watched:
    """Rounds over a scripted fleet. `async with` runs them."""

    def __init__(self, *fleet: Instance, settings: AppSettings | None = None, topology: Topology | None = None) -> None:
        """Seed all of a fleet."""
        settings = settings or AppSettings(seeds=tuple(one.key for one in fleet), poll_jitter=0)
        clock, self.ready = LoopClock(), asyncio.Event()
        self.prober = ScriptedProber(*fleet)
        self.topology = topology or Topology(settings.limits)
        publishing = Publishing(self.topology, clock, NoStore(), Remembered(), self.ready)
        self.rounds = Rounds(settings, clock, self.topology, publishing, self.ready)

    async def __aenter__(self) -> Watched:
        self._running = asyncio.create_task(self.rounds.run(self.prober))
        await asyncio.sleep(0.1)
        self.prober.asked.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait((self._running,))

    def burst_upon(self, name: str) -> int:
        """How often a server was probed in a burst."""
        return sum(1 for one, depth, _ in self.prober.asked if one == key(name) and depth is ProbeDepth.BURST)
