"""One simulated member: the real core and the real machine, a model disk, a clock of its own, an executor beside it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from services.consensus.raft.events import (
    Applied,
    Compacted,
    Drained,
    Event,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    SnapshotReceived,
    StateDigest,
    StoreHealthChanged,
    Tick,
)
from services.consensus.raft.messages import Message
from services.consensus.raft.model import NOBODY, CoreSettings, Entry, LogMark, Role, StoreHealth
from services.consensus.raft.outputs import (
    LeaderLease,
    Leadership,
    Outgoing,
    Output,
    PersistBatch,
)
from services.consensus.raft.retention import Retention, compaction_target
from services.consensus.state.machine import Mark
from services.consensus.state.rows import REQUESTS, Change
from services.consensus.store_write import Install, StoreWrite
from tests.simulation.defect import Defect
from tests.simulation.defective_core import DefectiveCore, new_machine, waits_for_disk
from tests.simulation.disk import Disk
from tests.simulation.executor import Executor
from tests.simulation.network import Transfer
from tests.simulation.process import Fate, Reply
from tests.simulation.rows_in_memory import StateRows, Tables
from tests.simulation.waiters import Waiters

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK = Tick()
DIGEST_EVERY = 256
FLUSH_AFTER = 50_000_000
"""How long state rows wait for a batch to ride in (14.1), nanoseconds."""


class Node:
    """A member of the simulated group."""

    def __init__(
        self, world: World, member_id: int, settings: CoreSettings, disk: Disk, drift_ppm: int, offset: int
    ) -> None:
        """Start running, from what is on the disk."""
        self.world = world
        self.member_id = member_id
        self.settings = settings
        self.disk = disk
        self.disk_stuck_until = 0
        self.life = 0  # Grows at each crash: what was on its way to an earlier life is void.
        self.up = False
        self.paused_until = 0
        self.retired = False  # Stopped for good.
        self.quarantine = ""
        self._retention = world.weights.retention()
        self._drift_ppm = drift_ppm
        self._offset = offset
        self._backlog: list[Event] = []
        self.executor = Executor(world, self)
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
        stored = self.disk.load()
        boot = self.disk.boot(stored)
        self.core = DefectiveCore(self.settings, boot, world.rng.getrandbits(64), self.clock(), world.defect)
        self.machine = new_machine(world.defect, stored.mark, stored.tables)
        self.rows = StateRows(stored.tables)
        self.up = True
        self.quarantine = boot.quarantine
        self.durable_number = 0
        self.leadership = Leadership(Role.FOLLOWER, 0, NOBODY)
        self.elected_at = self.clock()
        self.lease = LeaderLease(0, 0, 0)
        self._held: list[Outgoing] = []
        self._submitted: deque[PersistBatch] = deque()
        self._changes: list[Change] = []
        self._rows_waiting = False
        self._committed: list[Entry] = []
        self._offered: dict[LogMark, Transfer] = {}
        self._installing: Transfer | None = None
        self._waiters = Waiters(world)
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

    def retire(self) -> None:
        """Stop for good."""
        if self.up:
            self.crash()
        self.executor.stop()
        self.retired = True

    def pause(self, length: int) -> None:
        """Take no events for a while; they queue up."""
        if self.paused_until <= self.world.now:
            self.paused_until = self.world.now + length
            self.world.schedule(length, self._resume, self.life)

    @property
    def running(self) -> bool:
        """True unless crashed or paused."""
        return self.up and self.paused_until <= self.world.now

    @property
    def leads(self) -> bool:
        """True while it runs and thinks that it leads."""
        return self.running and self.leadership.role is Role.LEADER

    @property
    def holds_messages(self) -> bool:
        """True while messages wait for the disk (C1)."""
        return bool(self._held)

    @property
    def doubtful(self) -> bool:
        """True when its store lost something, or may do so."""
        return bool(self.quarantine) or self.disk.lying or bool(self.disk.rotten) or self.disk.is_behind

    # Events.

    def receive(self, message: Message) -> None:
        """Take a message from the network."""
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

    def take(self, event: Event) -> None:
        """Step the core now, or when the pause is over; its output is taken soon after."""
        world = self.world
        if self.paused_until > world.now:
            self._backlog.append(event)
            return
        self.core.step(event, self.clock())
        world.note(self, event)
        if not self._flush_due:
            self._flush_due = True
            delay = world.weights.loop_delay
            world.schedule(world.between(0, delay) if delay else 0, self._flush, self.life)

    def snapshot_arrived(self, transfer: Transfer) -> None:
        """Offer a snapshot to the core; it says at once whether to install it (N4, N5)."""
        if not self.running or self._installing is not None:
            return
        self._flush(self.life)
        mark = transfer.mark
        self._offered = {transfer.log_mark: transfer}
        self.take(SnapshotReceived(transfer.sender, transfer.log_mark, mark.configuration, mark.configuration_index))
        self._flush(self.life)
        if self._installing is None:
            self.world.network.snapshot_done(transfer)

    def offered(self, mark: LogMark) -> Mark:
        """Return what came with the snapshot that the core decided to install."""
        return self._offered[mark].mark

    def snapshot_tables(self) -> Tables:
        """Return the rows of the state as it is now (N2)."""
        tables = {table: tuple(rows) for table, rows in self.machine.tables().items()}
        return {**tables, REQUESTS: ()} if self.world.defect is Defect.DEDUP_FORGOTTEN_IN_SNAPSHOT else tables

    def _tick(self, life: int) -> None:
        if life != self.life:
            return
        world = self.world
        if self.paused_until <= world.now:
            self.take(TICK)
        world.schedule(world.weights.tick, self._tick, life)

    def _resume(self, life: int) -> None:
        if life != self.life:
            return
        backlog, self._backlog = self._backlog, []
        for event in backlog:  # T3: what others said comes before the late tick.
            self.take(event)
        self.take(TICK)
        self._begin_write()

    def _flush(self, life: int) -> None:
        if life != self.life:
            return
        if self.paused_until > self.world.now:
            self.world.schedule(self.paused_until - self.world.now, self._flush, life)
            return
        self._flush_due = False
        output = self.core.take_output()
        self.world.checker.observe(self, output)
        self._carry_out(output)

    def _carry_out(self, output: Output) -> None:
        for batch in output.persist:
            self._submit(batch)
        if self.disk.waiting:
            self._begin_write()
        for outgoing in output.messages:
            if outgoing.after_batch > self.durable_number and waits_for_disk(self.world.defect, outgoing.message):
                self._held.append(outgoing)
            else:
                self.world.network.send(self, outgoing)
        if output.leadership is not None:
            if output.leadership.role is Role.LEADER and self.leadership.role is not Role.LEADER:
                self.elected_at = self.clock()
            self.leadership = output.leadership
        for result in output.proposal_results:
            self._waiters.proposed(result)
        if output.lease is not None:
            self.lease = output.lease
            self.executor.told(output.lease)
        if output.committed:
            self._committed.extend(output.committed)
            self._apply_committed()
        for read in output.read_results:
            self._waiters.read(read)
        if self._waiters.any_read:
            self._waiters.answer_reads(self.machine)
        for transferred in output.transfer_results:
            self.world.reply(transferred.waiter, Reply(Fate.DONE, transferred))
        if output.draining is not None:
            self.executor.drain(output.draining)
        if output.quarantine is not None:
            self.quarantine = output.quarantine
        for wanted in output.snapshot_wanted:
            self.world.network.send_snapshot(self, wanted)

    def drained(self) -> None:
        """Tell the core that no lease holder has a running step (8.1 b)."""
        if self.up:
            self.take(Drained())

    # Disk.

    def _submit(self, batch: PersistBatch) -> None:
        install = None
        if batch.install is not None:
            transfer = self._offered[batch.install]
            self._installing = transfer
            install = Install(transfer.mark, transfer.tables)
            self._changes.clear()
            self._rows_waiting = False
        self._submitted.append(batch)
        mark = self.machine.mark if self._rows_waiting else None
        changes = tuple(self._changes)
        if self.world.defect is Defect.APPLIED_INDEX_ALONE and changes:
            self.disk.waiting.append(StoreWrite(mark=mark))
            mark = None
        self.disk.waiting.append(
            StoreWrite(
                batch.number,
                batch.hard_state,
                batch.truncate_from,
                batch.entries,
                changes,
                mark,
                install,
                batch.compact_to,
            )
        )
        self._changes.clear()
        self._rows_waiting = False

    def _flush_rows(self, life: int) -> None:
        if life == self.life and self._rows_waiting and self._installing is None:
            self.disk.waiting.append(StoreWrite(changes=tuple(self._changes), mark=self.machine.mark))
            self._changes.clear()
            self._rows_waiting = False
            self._begin_write()

    def _begin_write(self) -> None:
        if not self.running or not self.disk.begin():
            return
        weights = self.world.weights
        duration = self.world.between(weights.fsync_min, max(weights.fsync_min, weights.fsync_max))
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
        writes = self.disk.finish()
        self.world.checker.disk_changed(self)
        number = max(write.number for write in writes)
        if number:
            self._persisted(number, any(write.install is not None for write in writes))
        self._begin_write()

    def _persisted(self, number: int, installed: bool) -> None:
        while self._submitted and self._submitted[0].number <= number:
            batch = self._submitted.popleft()
        self.durable_number = number
        self.take(Persisted(number, batch.last_index, batch.last_term))
        if installed and self._installing is not None:
            self._installed(self._installing)
        held, self._held = self._held, []
        for outgoing in held:
            if outgoing.after_batch > self.durable_number:
                self._held.append(outgoing)
            else:
                self.world.network.send(self, outgoing)

    def _installed(self, transfer: Transfer) -> None:
        """Go on from the snapshot's state, now that it is durable (N4)."""
        self._installing = None
        self.machine = new_machine(self.world.defect, transfer.mark, self.disk.store.rows.tables())
        self.rows = StateRows(self.disk.store.rows.tables())
        self.world.checker.state.restored(self, "I14")
        self.take(Applied(transfer.mark.applied_index))
        self.world.network.snapshot_done(transfer)
        self._apply_committed()

    # State machine.

    def _apply_committed(self) -> None:
        if self._installing is not None or not self._committed:
            return
        entries, self._committed = self._committed, []
        for entry in entries:
            self._apply(entry)
        applied = entries[-1].index
        if not self._rows_waiting:
            self._rows_waiting = True
            self.world.schedule(FLUSH_AFTER, self._flush_rows, self.life)
        self.take(Applied(applied))
        if self._retention is not None and self.core.log_length > self._retention.snapshot_entries:
            self._compact(self._retention)

    def _compact(self, retention: Retention) -> None:
        transit = self.world.network.in_transit(self)
        forgets = self.world.defect is Defect.COMPACTION_ABOVE_TRANSFER
        index = compaction_target(self.core.status(), () if forgets else transit, retention, self.clock())
        if index is not None:
            self.world.checker.compacts(self, index, transit)
            self.take(Compacted(index))

    def _apply(self, entry: Entry) -> None:
        applied = self.world.apply(self.machine, entry)
        self.rows.apply(applied.changes)
        self._changes.extend(applied.changes)
        self.world.checker.state.applied(self, entry, applied)
        if entry.index % DIGEST_EVERY == 0:
            self.take(StateDigest(entry.index, self.machine.mark.digest))
        self._waiters.applied(entry, applied)
