"""A whole group on a virtual clock and network, from one seed (21.2).

A run has two parts: faults, with the invariants of 21.3 looked at on each change; then liveness mode, in which
everything is healed and a leader, progress and equal members are demanded. Times are virtual nanoseconds.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, configuration_of
from services.consensus.raft.events import Event, Received
from services.consensus.raft.model import MILLISECOND, START, CoreSettings, Entry, InvariantViolated, LogMark
from services.consensus.state.commands import Command
from services.consensus.state.entries import decode_entry
from services.consensus.state.machine import Applied, Machine, Mark
from tests.simulation.checker import Checker
from tests.simulation.clients import Clients, Load
from tests.simulation.defect import Defect
from tests.simulation.disk import Disk
from tests.simulation.failure import SimulationFailure
from tests.simulation.fleet import Fleet
from tests.simulation.liveness import demand_liveness
from tests.simulation.model_store import ModelStore
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.operators import Operators, member_of
from tests.simulation.process import Reply
from tests.simulation.recorded_disk import RecordedDisk
from tests.simulation.recorded_store import RecordedStore
from tests.simulation.recording_vfs import can_record
from tests.simulation.weights import Suite, draw_weights

REAL_STORES = 1 / 20
"""Share of the seeds whose members have their real store on a real file."""
BOOTSTRAP = LogMark(1, 1)
"""Where a blank store of a listed member stands (18.1)."""


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
    operation_count: int
    change_count: int
    faults: tuple[tuple[str, int], ...]


class World:
    """The group, its network, and everything that is going to happen."""

    def __init__(self, seed: int, fault_seconds: float, defect: Defect, trail: int, suite: Suite) -> None:
        """Draw a world from a seed."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.weights = draw_weights(self.rng, fault_seconds, suite)
        self.defect = defect
        self.now = 0
        self.calm = False
        self.trace_hash = 0
        self.event_count = 0
        self.faults: Counter[str] = Counter()
        self._serial = 0
        self._waiter = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._soon: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        """Due now, behind what `_queue` has for this moment: all of that was scheduled earlier."""
        self._trail: deque[str] = deque(maxlen=trail)
        self._expected: dict[int, Callable[[Reply], None]] = {}
        self._decoded: dict[bytes, Command | Configuration | None] = {}
        self._real_stores = defect is Defect.NONE and has_real_stores(seed, suite)
        self._bootstrap = configuration_of(member_of(i) for i in range(1, self.weights.member_count + 1))
        self.bootstrap_voters = self._bootstrap.voters
        self.fleet = Fleet(self)
        self.network = Network(self)
        self.checker = Checker(self)
        self.nodes: dict[int, Node] = {}
        for member_id in self._bootstrap.ids:
            mark = Mark(BOOTSTRAP.index, BOOTSTRAP.term, configuration=self._bootstrap, configuration_index=1)
            self._start(member_id, ModelStore(mark, BOOTSTRAP, BOOTSTRAP.term), self._bootstrap)
        self.nemesis = Nemesis(self)
        self.operators = Operators(self)
        self.load = Load(self)
        self.clients = Clients(self)

    def run(self) -> RunResult:
        """Run faults, then liveness mode.

        Raises:
            SimulationFailure: A rule does not hold.
        """
        self.run_until(self.weights.fault_time)
        demand_liveness(self)
        self.clients.check()
        checker = self.checker
        for node in self.nodes.values():
            self.faults.update(node.disk.power_cuts)
        return RunResult(
            self.trace_hash,
            self.event_count,
            len(checker.raft.leaders),
            len(checker.raft.committed),
            checker.ack_count,
            checker.leases.lease_count,
            checker.leases.statement_count,
            self.clients.operation_count,
            self.operators.change_count,
            tuple(sorted(self.faults.items())),
        )

    def close(self) -> None:
        """Let go what is outside of the world."""
        for node in self.nodes.values():
            node.disk.close()

    # Time.

    def schedule(self, delay: int, action: Callable[..., None], *args: Any) -> None:
        """Let something happen after a delay."""
        if delay == 0:
            self._soon.append((action, args))
        else:
            self._serial += 1
            heapq.heappush(self._queue, (self.now + delay, self._serial, action, args))

    def run_until(self, end: int) -> None:
        """Let everything happen that is due by then."""
        queue, soon, pop = self._queue, self._soon, heapq.heappop
        try:
            while True:
                if soon and queue[0][0] > self.now:
                    action, args = soon.popleft()
                elif queue[0][0] <= end:
                    self.now, _, action, args = pop(queue)
                else:
                    break
                action(*args)
        except InvariantViolated as violation:
            self.fail(f"C4/{violation.rule}", violation.facts)
        self.now = end

    def between(self, low: int, high: int) -> int:
        """Draw a number, both ends included: as `randint` does, at a third of its cost."""
        count, draw = high - low + 1, self.rng.getrandbits
        bits = count.bit_length()
        drawn = draw(bits)
        while drawn >= count:
            drawn = draw(bits)
        return low + drawn

    def writing(self, node: Node, duration: int) -> None:
        """A member began to write: sometimes it does not live to see the end."""
        if not self.calm and self.weights.crash_in_write and self.rng.random() < self.weights.crash_in_write:
            self.schedule(self.between(0, duration), self.nemesis.bounce, node, node.life)

    # Those who ask, and those who answer.

    def new_waiter(self) -> int:
        """Return a name for a proposal or a read."""
        self._waiter += 1
        return self._waiter

    def expect(self, waiter: int, then: Callable[[Reply], None]) -> None:
        """Call when the answer for a waiter comes."""
        self._expected[waiter] = then

    def reply(self, waiter: int, reply: Reply) -> None:
        """Answer whoever waits; a waiter is answered once."""
        then = self._expected.pop(waiter, None)
        if then is not None:
            then(reply)

    # Members.

    def join(self) -> Node:
        """Start a blank member that waits to be taken into the group (18.1)."""
        return self._start(max(self.nodes) + 1, ModelStore(Mark(), START), NO_MEMBERS)

    def configuration(self) -> Configuration:
        """Return the newest configuration that anybody applied."""
        marks = [node.machine.mark for node in self.nodes.values()]
        return max(marks, key=lambda mark: mark.configuration_index).configuration

    def members(self) -> list[Node]:
        """Return the members of that configuration."""
        return [self.nodes[member_id] for member_id in self.configuration().ids]

    # State machines.

    def decode(self, entry: Entry) -> Command | Configuration | None:
        """Return what an entry says; the opaque commands of the load say nothing."""
        data = entry.data
        if not data.startswith(b"{"):
            return None
        if data not in self._decoded:
            self._decoded[data] = decode_entry(entry)
        return self._decoded[data]

    def apply(self, machine: Machine, entry: Entry) -> Applied:
        """Apply an entry."""
        return machine.apply(entry.index, entry.term, entry.stamp_ms, self.decode(entry))

    # What happened.

    def note(self, node: Node, event: Event) -> None:
        """Add an event a core took to the trace."""
        self.event_count += 1
        self.trace_hash = hash((self.trace_hash, self.now, node.member_id, *node.core.position_numbers()))
        if self._trail.maxlen:
            what = event.message if isinstance(event, Received) else event
            self._trail.append(f"{self.now / MILLISECOND:10.3f} {node.member_id} {what} -> {node.core.position()}")

    def remark(self, text: str) -> None:
        """Add what the nemesis or an operator does to the trail."""
        if self._trail.maxlen:
            self._trail.append(f"{self.now / MILLISECOND:10.3f} {text}")

    def fail(self, rule: str, facts: str) -> None:
        """End the run: a rule is broken."""
        raise SimulationFailure(self.seed, self.weights, rule, self.now // MILLISECOND, facts, list(self._trail))

    def _start(self, member_id: int, store: ModelStore, listed: Configuration) -> Node:
        weights, rng = self.weights, self.rng
        settings = CoreSettings(
            member_id,
            election_max=weights.election_max,
            max_inflight=weights.window,
            max_batch=weights.batch,
            max_uncommitted=weights.uncommitted,
        )
        limit = weights.drift_ppm
        drift, offset = rng.choice((-limit, limit, rng.randint(-limit, limit))), rng.randrange(10**15)
        store.keeps_old_rows = self.defect is Defect.SNAPSHOT_KEEPS_OLD_ROWS
        node = Node(self, member_id, settings, self._new_disk(member_id, store, listed), drift, offset)
        self.nodes[member_id] = node
        return node

    def _new_disk(self, member_id: int, store: ModelStore, listed: Configuration) -> Disk:
        every = self.weights.witness_every
        if not self._real_stores:
            return Disk(store, every)
        rng = random.Random(f"store of {member_id} in {self.seed}")
        return RecordedDisk(store, every, RecordedStore(member_id, listed, rng), self.checker.must)


def run_seed(
    seed: int,
    fault_seconds: float = 8.0,
    defect: Defect = Defect.NONE,
    trail: int = 0,
    suite: Suite = Suite.FULL,
) -> RunResult:
    """Run one seed.

    Args:
        seed: Makes the run; the same seed gives the same trace.
        fault_seconds: Virtual time with faults.
        defect: A mistake to build in.
        trail: How many of the last events a failure tells.
        suite: Which rules it stands under.

    Raises:
        SimulationFailure: A rule does not hold.
    """
    world = World(seed, fault_seconds, defect, trail, suite)
    try:
        return world.run()
    finally:
        world.close()


def has_real_stores(seed: int, suite: Suite) -> bool:
    """Tell whether a seed runs on real stores: drawn apart, so that everything else in it is as without them."""
    drawn = random.Random(f"stores of {seed}").random() < REAL_STORES
    return drawn and suite is not Suite.BARE and can_record()
