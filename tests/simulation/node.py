"""One simulated member: the real core and the real machine, a model disk, a clock of its own, an executor beside it.

The executor is a process of its own: it lives on when the member crashes or is paused, and relies on the last lease
it was told until that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.consensus.commands import GrantLease, decode_command, encode_command
from services.consensus.events import (
    Applied,
    Event,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    StoreHealthChanged,
    Tick,
)
from services.consensus.lease_table import Lease
from services.consensus.machine import RECOVERY_LEASE, Machine
from services.consensus.messages import Message
from services.consensus.model import NOBODY, CoreSettings, Entry, EntryKind, Role, StoreHealth
from services.consensus.outputs import (
    LeaderLease,
    Leadership,
    Outgoing,
    Output,
    PersistBatch,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
)
from tests.simulation.defects import DefectiveCore, waits_for_disk
from tests.simulation.disk import Disk
from tests.support.raft import group_of

if TYPE_CHECKING:
    from tests.simulation.world import World

STATEMENT_MARGIN = 20_000_000
"""What F4 wants left of the lease, nanoseconds."""


@dataclass
class Executor:
    """Holder of the lease `recovery` on one node."""

    token: int = 0
    seq: int = 0
    valid_until: int = 0
    wanted: int | None = None  # Waiter of an open grant.

    def told(self, lease: LeaderLease) -> None:
        """Hear of the leader lease (F3); a lapse ends the token (F8)."""
        if lease.valid_until == 0 or lease.seq != self.seq:
            self.token = 0
        else:
            self.valid_until = lease.valid_until


class Node:
    """A member of the simulated group."""

    def __init__(self, world: World, member_id: int, settings: CoreSettings, drift_ppm: int, offset: int) -> None:
        """Start blank and running."""
        self.world = world
        self.member_id = member_id
        self.settings = settings
        self.disk = Disk(group_of(*range(1, world.weights.member_count + 1)))
        self.executor = Executor()
        self.disk_stuck_until = 0
        self.life = 0  # Grows at each crash: what was on its way to an earlier life is void.
        self.up = False
        self.paused_until = 0
        self._drift_ppm = drift_ppm
        self._offset = offset
        self._backlog: list[Event] = []
        self.start()

    # Clock.

    def clock(self) -> int:
        """Return the local clock."""
        now = self.world.now
        return self._offset + now + now * self._drift_ppm // 1_000_000

    def true_time(self, local: int) -> int:
        """Return the virtual time at which the local clock shows `local`, rounded down."""
        return (local - self._offset) * 1_000_000 // (1_000_000 + self._drift_ppm)

    # Life.

    def start(self) -> None:
        """Boot from the disk."""
        world = self.world
        boot = self.disk.boot()
        self.core = DefectiveCore(self.settings, boot, world.rng.getrandbits(64), self.clock(), world.defect)
        self.machine = Machine()
        for entry in boot.entries[: boot.applied_index]:
            self._apply(entry)
        self.up = True
        self.durable_number = 0
        self.leadership = Leadership(Role.FOLLOWER, 0, NOBODY)
        self.lease = LeaderLease(0, 0, 0)
        self._held: list[Outgoing] = []
        self._appended: dict[int, int] = {}  # Last index of an own proposal -> waiter.
        self._reads: list[tuple[int, int]] = []
        self._flush_due = False
        self._backlog.clear()
        world.checker.started(self, boot)
        world.schedule(world.rng.randrange(world.weights.tick), self._tick, self.life)

    def crash(self) -> None:
        """Stop without warning; lose what was not durable, or some of it."""
        self.up = False
        self.life += 1
        self.paused_until = 0
        self.disk.crash(self.world.rng)
        self.world.checker.crashed(self)

    def pause(self, length: int) -> None:
        """Take no events for a while; they queue up."""
        if self.paused_until <= self.world.now:
            self.paused_until = self.world.now + length
            self.world.schedule(length, self._resume, self.life)

    @property
    def running(self) -> bool:
        """True unless crashed or paused."""
        return self.up and self.paused_until <= self.world.now

    # Events.

    def receive(self, message: Message) -> None:
        """Take a message from the network."""
        if self.up:
            self.take(Received(message))

    def propose(self, data: bytes, waiter: int) -> None:
        """Propose one command."""
        self.take(Proposed((data,), self.world.now // 1_000_000, waiter))

    def read(self, waiter: int) -> None:
        """Ask for a linearizable read."""
        self.take(ReadRequested(waiter))

    def set_health(self, health: StoreHealth) -> None:
        """Tell the core about the store."""
        self.take(StoreHealthChanged(health))

    def run_executor(self) -> None:
        """Let the executor act as the chain of section 13 allows it (F1, F4)."""
        executor = self.executor
        if executor.token and self.clock() + STATEMENT_MARGIN < executor.valid_until:
            self.world.checker.statement(self, executor.token)
        elif self.running and executor.wanted is None and self.lease.valid_at(self.clock()):
            executor.wanted = self.world.new_waiter()
            session = f"{self.member_id}.{self.life}"
            self.propose(encode_command(GrantLease(RECOVERY_LEASE, self.member_id, session)), executor.wanted)

    def take(self, event: Event) -> None:
        if self.paused_until > self.world.now:
            self._backlog.append(event)
            return
        self.core.step(event, self.clock())
        self.world.note(self, event)
        if not self._flush_due:
            self._flush_due = True
            self.world.schedule(self.world.rng.randint(0, self.world.weights.loop_delay), self._flush, self.life)

    def _tick(self, life: int) -> None:
        if life != self.life:
            return
        if self.running:
            self.take(Tick())
        self.world.schedule(self.world.weights.tick, self._tick, life)

    def _resume(self, life: int) -> None:
        if life != self.life:
            return
        backlog, self._backlog = self._backlog, []
        for event in backlog:  # T3: what others said comes before the late tick.
            self.take(event)
        self.take(Tick())
        self._begin_write()

    def _flush(self, life: int) -> None:
        if life != self.life:
            return
        if not self.running:
            self.world.schedule(max(1, self.paused_until - self.world.now), self._flush, life)
            return
        self._flush_due = False
        output = self.core.take_output()
        self.world.checker.observe(self, output)
        self._carry_out(output)

    def _carry_out(self, output: Output) -> None:
        self.disk.waiting.extend(output.persist)
        self._begin_write()
        for outgoing in output.messages:
            if outgoing.after_batch > self.durable_number and waits_for_disk(self.world.defect, outgoing.message):
                self._held.append(outgoing)
            else:
                self.world.send(self, outgoing)
        if output.leadership is not None:
            self.leadership = output.leadership
        for result in output.proposal_results:
            self._proposal_answered(result)
        if output.lease is not None:
            self.lease = output.lease
            self.executor.told(output.lease)
        for entry in output.committed:
            self._committed(entry)
        if output.committed:
            self.take(Applied(output.committed[-1].index))
        for read in output.read_results:
            self._read_answered(read)
        self._answer_reads()

    # Disk.

    def _begin_write(self) -> None:
        if not self.running or not self.disk.begin():
            return
        weights = self.world.weights
        duration = self.world.rng.randint(weights.fsync_min, max(weights.fsync_min, weights.fsync_max))
        if self.disk_stuck_until > self.world.now:
            duration += self.disk_stuck_until - self.world.now
        self.world.schedule(duration, self._written, self.life)
        self.world.writing(self, duration)

    def _written(self, life: int) -> None:
        if life != self.life:
            return
        if not self.running:
            self.world.schedule(max(1, self.paused_until - self.world.now), self._written, life)
            return
        last: PersistBatch = self.disk.finish(self.machine.mark.applied_index)
        self.durable_number = last.number
        self.world.checker.disk_changed(self)
        self.take(Persisted(last.number, last.last_index, last.last_term))
        held, self._held = self._held, []
        for outgoing in held:
            if outgoing.after_batch > self.durable_number:
                self._held.append(outgoing)
            else:
                self.world.send(self, outgoing)
        self._begin_write()

    # State machine and waiters.

    def _apply(self, entry: Entry) -> object:
        command = decode_command(entry.data) if entry.data.startswith(b"{") else None
        return self.machine.apply(entry.index, entry.term, entry.stamp_ms, command).result

    def _committed(self, entry: Entry) -> None:
        result = self._apply(entry)
        waiter = self._appended.pop(entry.index, None)
        if waiter is None:
            return
        if entry.kind is EntryKind.COMMAND and waiter == self.executor.wanted:
            self._granted(result)
        self.world.checker.acknowledged(self, waiter, entry)

    def _granted(self, result: object) -> None:
        executor = self.executor
        executor.wanted = None
        mine = isinstance(result, Lease) and result.member_id == self.member_id and result.grant_term == self.lease.term
        if mine and isinstance(result, Lease) and self.lease.valid_at(self.clock()):
            self.world.checker.granted(result.fencing_token)
            executor.token, executor.seq = result.fencing_token, self.lease.seq
            executor.valid_until = self.lease.valid_until

    def _proposal_answered(self, result: ProposalResult) -> None:
        if result.outcome is ProposalOutcome.APPENDED:
            self._appended[result.last_index] = result.waiter
            return
        if result.outcome is ProposalOutcome.UNKNOWN:
            self._appended = {index: waiter for index, waiter in self._appended.items() if waiter != result.waiter}
        if result.waiter == self.executor.wanted:
            self.executor.wanted = None

    def _read_answered(self, read: ReadResult) -> None:
        if read.outcome is ReadOutcome.READY:
            self._reads.append((read.waiter, read.index))

    def _answer_reads(self) -> None:
        applied = self.machine.mark.applied_index
        for waiter, index in self._reads:
            if index <= applied:
                self.world.checker.read_answered(waiter, applied)
        self._reads = [(waiter, index) for waiter, index in self._reads if index > applied]
