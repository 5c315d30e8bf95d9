"""A whole group on a virtual clock and network, from one seed (21.2).

A run has two parts: faults, with the invariants of 21.3 looked at on each change; then liveness mode, in which
everything is healed and a leader, progress and equal members are demanded. Times are virtual nanoseconds.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from services.consensus.events import Event, Received
from services.consensus.messages import AppendRequest
from services.consensus.model import MILLISECOND, CoreSettings, InvariantViolated, Role
from services.consensus.outputs import Outgoing
from tests.simulation.checker import Checker
from tests.simulation.defects import Defect
from tests.simulation.failure import SimulationFailure
from tests.simulation.nemesis import Nemesis
from tests.simulation.node import Node
from tests.simulation.weights import draw_weights


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one seed did. `trace_hash` is the same on every run of it."""

    trace_hash: int
    event_count: int
    leader_count: int
    commit_count: int
    ack_count: int
    lease_count: int
    statement_count: int


class World:
    """The group, its network, and everything that is going to happen."""

    def __init__(self, seed: int, fault_seconds: float, defect: Defect, trail: int) -> None:
        """Draw a world from a seed."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.weights = draw_weights(self.rng, fault_seconds)
        self.defect = defect
        self.now = 0
        self.cut: set[tuple[int, int]] = set()
        self.late: dict[tuple[int, int], int] = {}  # Link -> extra delay.
        self.calm = False
        self.trace_hash = 0
        self.event_count = 0
        self.append_count = 0
        self._serial = 0
        self._waiter = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._trail: deque[str] = deque(maxlen=trail)
        self.checker = Checker(self)
        self.nodes: list[Node] = []
        for member_id in range(1, self.weights.member_count + 1):
            drift, offset = self.weights.drift_ppm[member_id - 1], self.rng.randrange(10**15)
            self.nodes.append(Node(self, member_id, self._settings(member_id), drift, offset))
        self._nemesis = Nemesis(self)
        self.schedule(0, self._client)
        self.schedule(0, self._executors)

    def run(self) -> RunResult:
        """Run faults, then liveness mode.

        Raises:
            SimulationFailure: A rule does not hold.
        """
        self._run_until(self.weights.fault_time)
        self._become_calm()
        self._demand_liveness()
        checker = self.checker
        return RunResult(
            self.trace_hash,
            self.event_count,
            len(checker.leaders),
            len(checker.committed),
            checker.ack_count,
            checker.lease_count,
            checker.statement_count,
        )

    def schedule(self, delay: int, action: Callable[..., None], *args: Any) -> None:
        """Let something happen after a delay."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now + delay, self._serial, action, args))

    def send(self, node: Node, outgoing: Outgoing) -> None:
        """Put a message on the network."""
        self.checker.sent(node, outgoing)
        self.append_count += isinstance(outgoing.message, AppendRequest)
        weights, rng = self.weights, self.rng
        if (node.member_id, outgoing.to) in self.cut or (not self.calm and rng.random() < weights.drop):
            return
        copies = 2 if not self.calm and rng.random() < weights.duplicate else 1
        for _ in range(copies):
            delay = self._delay() + self.late.get((node.member_id, outgoing.to), 0)
            self.schedule(delay, self._deliver, node.member_id, outgoing)

    def writing(self, node: Node, duration: int) -> None:
        """A member began to write: sometimes it does not live to see the end."""
        if not self.calm and self.rng.random() < self.weights.crash_in_write:
            self.schedule(self.rng.randint(0, duration), self._nemesis.bounce, node, node.life)

    def new_waiter(self) -> int:
        """Return a name for a proposal or a read."""
        self._waiter += 1
        return self._waiter

    def note(self, node: Node, event: Event) -> None:
        """Add an event a core took to the trace."""
        self.event_count += 1
        status = (self.now, node.member_id, type(event).__name__, node.core.position())
        self.trace_hash = zlib.crc32(repr(status).encode(), self.trace_hash)
        if self._trail.maxlen:
            what = event.message if isinstance(event, Received) else event
            self._trail.append(f"{self.now / MILLISECOND:10.3f} {node.member_id} {what} -> {status[3]}")

    def remark(self, text: str) -> None:
        """Add what the nemesis does to the trail."""
        if self._trail.maxlen:
            self._trail.append(f"{self.now / MILLISECOND:10.3f} {text}")

    def fail(self, rule: str, facts: str) -> None:
        """End the run: a rule is broken."""
        raise SimulationFailure(self.seed, rule, self.now // MILLISECOND, facts, list(self._trail))

    def _settings(self, member_id: int) -> CoreSettings:
        weights = self.weights
        return CoreSettings(
            member_id,
            election_max=weights.election_max,
            max_inflight=weights.window,
            max_batch=weights.batch,
        )

    def _delay(self) -> int:
        weights, rng = self.weights, self.rng
        if self.calm:
            return rng.randint(100_000, 2 * MILLISECOND)
        if rng.random() < weights.tail_chance:
            return rng.randint(weights.delay_max, weights.delay_max + weights.tail_max)
        return rng.randint(weights.delay_min, max(weights.delay_min, weights.delay_max))

    def _deliver(self, sender: int, outgoing: Outgoing) -> None:
        if (sender, outgoing.to) not in self.cut:
            self.nodes[outgoing.to - 1].receive(outgoing.message)

    def _client(self) -> None:
        """Propose or read at a member that leads, or sometimes at any."""
        self.schedule(int(self.rng.expovariate(1) * self.weights.client_pause) + 1, self._client)
        running = [node for node in self.nodes if node.running]
        leading = [node for node in running if node.leadership.role is Role.LEADER]
        targets = leading if leading and self.rng.random() < 0.9 else running
        if targets and not self.calm:
            node, waiter = self.rng.choice(targets), self.new_waiter()
            if self.rng.random() < self.weights.read_share:
                self.checker.read_asked(waiter)
                node.read(waiter)
            else:
                node.propose(b"client %d" % waiter, waiter)

    def _executors(self) -> None:
        self.schedule(self.rng.randint(1, 2 * self.weights.executor_pause), self._executors)
        for node in self.nodes:
            node.run_executor()

    def _run_until(self, end: int) -> None:
        queue = self._queue
        try:
            while queue[0][0] <= end:
                self.now, _, action, args = heapq.heappop(queue)
                action(*args)
        except InvariantViolated as violation:
            self.fail(f"C4/{violation.rule}", violation.facts)
        self.now = end

    def _become_calm(self) -> None:
        self.calm = True
        self.weights = replace(self.weights, fsync_min=100_000, fsync_max=5 * MILLISECOND)
        self._nemesis.end()

    def _demand_liveness(self) -> None:
        """Demand a leader with a lease within 10 max, equal members within 20 max, and no storm of messages."""
        limit = self.weights.election_max
        longest_pause = 3000 * MILLISECOND
        for _ in range(3):  # The first leader may be deposed with what it was told: UNKNOWN, so say it again.
            self._await("a leader with a lease", longest_pause + 10 * limit, self._has_leader)
            leader = next(node for node in self.nodes if node.leadership.role is Role.LEADER)
            leader.propose(b"last", self.new_waiter())
            self._await("equal members", longest_pause + 20 * limit, self._is_settled)
            if b"last" in [entry.data for entry in self.checker.committed[-3:]]:
                break
        else:
            self.fail("LIVE", "nothing is committed any more")
        before = self.append_count
        self._run_until(self.now + 1000 * MILLISECOND)
        if self.append_count > before + 2 * len(self.nodes):
            self.fail("STORM", f"{self.append_count - before} Appends in an idle second")

    def _await(self, what: str, within: int, condition: Callable[[], bool]) -> None:
        end = self.now + within
        while not condition():
            if self.now >= end:
                self.fail("LIVE", f"no {what}: {[node.core.status() for node in self.nodes]}")
            self._run_until(self.now + 50 * MILLISECOND)

    def _has_leader(self) -> bool:
        leaders = [node for node in self.nodes if node.leadership.role is Role.LEADER]
        awake = all(node.running for node in self.nodes)
        return awake and len(leaders) == 1 and leaders[0].lease.valid_at(leaders[0].clock())

    def _is_settled(self) -> bool:
        views = [node.core.status() for node in self.nodes]
        last = {index for view in views for index in (view.last_index, view.durable_index)}
        return (
            len(last) == 1
            and len({node.machine.mark for node in self.nodes}) == 1
            and (self.nodes[0].machine.mark.applied_index in last)
        )


def run_seed(seed: int, fault_seconds: float = 8.0, defect: Defect = Defect.NONE, trail: int = 0) -> RunResult:
    """Run one seed.

    Args:
        seed: Makes the run; the same seed gives the same trace.
        fault_seconds: Virtual time with faults.
        defect: A mistake to build in.
        trail: How many of the last events a failure tells.

    Raises:
        SimulationFailure: A rule does not hold.
    """
    return World(seed, fault_seconds, defect, trail).run()
