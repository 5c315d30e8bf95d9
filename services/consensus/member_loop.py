"""The loop of one member: inputs to the core, what follows to store, peers, machine and waiters (2).

One turn drains what queued (bounded), steps the core for each input, takes the output once, and carries it out in
order. A turn never awaits. Several turns' worth of work under load becomes one transaction and one message per peer,
because the writer thread and the streams take what queued meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import Any, Final

from services.consensus.errors import CommandTooLarge, OutcomeUnknown, Overloaded
from services.consensus.ports import Broken, Clock, Report, Transport, WallClock, Witness, Writer
from services.consensus.raft.configuration import Configuration
from services.consensus.raft.core import RaftCore
from services.consensus.raft.digests import DIGEST_INTERVAL
from services.consensus.raft.events import (
    Applied,
    Compacted,
    Drained,
    Event,
    LocalReadiness,
    MemberChange,
    MemberChangeRequested,
    PeerUnreachable,
    Persisted,
    Proposed,
    QuarantineChanged,
    ReadRequested,
    Received,
    SnapshotSent,
    StateDigest,
    StoreHealthChanged,
    Tick,
    TimingChanged,
    TransferRequested,
)
from services.consensus.raft.messages import Heartbeat, Message
from services.consensus.raft.model import (
    MILLISECOND,
    CoreSettings,
    Entry,
    EntryKind,
    InvariantViolated,
    LogMark,
    Role,
)
from services.consensus.raft.outputs import (
    ChangeBlocker,
    CoreStatus,
    LeaderLease,
    Leadership,
    Outgoing,
    Output,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
    TransferResult,
)
from services.consensus.raft.retention import DEFAULT_RETENTION, Retention, compaction_target
from services.consensus.signals import Signal
from services.consensus.snapshot_installing import SnapshotInstalling
from services.consensus.snapshot_sending import SnapshotSending
from services.consensus.state.commands import Command, UnknownCommand, encode_command
from services.consensus.state.entries import decode_entry
from services.consensus.state.machine import Machine, Result
from services.consensus.state.rows import LEASES, Change
from services.consensus.store_health import StoreWatch
from services.consensus.store_write import Install, StoreWrite

log = logging.getLogger(__name__)

EXIT_HALTED: Final = 70
"""Exit code after a broken invariant (sysexits.h, EX_SOFTWARE; C4)."""
MAX_TURN_EVENTS: Final = 1_024
MAX_TURN_NS: Final = 2 * MILLISECOND
FLUSH_NS: Final = 50 * MILLISECOND
"""How long state rows wait for a batch to ride in (14.1)."""
LATE_NS: Final = 40 * MILLISECOND
_NOBODY_WAITS: Final = (0, 0)
_NO_WAITER: Final = (None, 0)
COMPACT_S: Final = 0.5
"""How often the length of the log is looked at."""


class NotLeading(Exception):
    """A proposal or read that certainly did nothing: this member does not lead, or cannot answer yet."""


class ChangeRefused(Exception):
    """The group was certainly not changed (M6).

    Attributes:
        blocker: What is in the way.
    """

    def __init__(self, blocker: ChangeBlocker) -> None:
        """Name what is in the way."""
        super().__init__(blocker.value)
        self.blocker = blocker


class MemberLoop:
    """Runs one member. All methods belong to the event loop's thread."""

    def __init__(
        self,
        core: RaftCore,
        machine: Machine,
        settings: CoreSettings,
        *,
        tick_ns: int,
        watch: StoreWatch,
        clock: Clock,
        wall_clock: WallClock,
        halt: Callable[[int, str], None],
        group_id: Callable[[], str],
        retention: Retention = DEFAULT_RETENTION,
        trace: Witness | None = None,
    ) -> None:
        """Make a loop that does not run yet.

        Args:
            core: The member's core.
            machine: At the same applied index.
            settings: The core's.
            tick_ns: How often timers are looked at while nobody leads.
            watch: Judges the store's health.
            clock: T1.
            wall_clock: T4.
            halt: Called once with an exit code and a sentence when the member must stop (C4, 14.5).
            group_id: Returns the identity of the group, which snapshots name; empty = not known yet.
            retention: How long the log may get (N1).
            trace: Told of everything before it is carried out; None = nobody wants to know (21.8).
        """
        self.machine = machine
        self.leadership = Leadership(Role.FOLLOWER, core.status().term, core.status().leader)
        self.lease: LeaderLease = core.status().lease
        self.configuration = core.status().configuration
        self.draining = False
        self.removed = core.status().removed
        self.quarantine = core.status().quarantine
        self.leader_changed = Signal()
        self.lease_changed = Signal()
        self.applied = Signal()
        self._told_leading = False
        self.watch = watch
        self._core = core
        self._settings = settings
        self._timing_index = 0
        self._tick_ns = tick_ns
        self._clock = clock
        self._wall_clock = wall_clock
        self._halt = halt
        self._trace = trace
        self._halted = False
        self._now = clock()
        self._tick_due = self._now
        self._round_at = self._now
        self.turned: Callable[[int, int, int], None] | None = None
        """Told of each turn: when its first event was put, when it began, when it ended (T1)."""
        self._inbox: deque[Event] = deque()
        self._scheduled = False
        self._put_at = 0
        self._durable_batch = 0
        self._submitted: deque[tuple[int, int, int]] = deque()
        self._held: deque[Outgoing] = deque()
        self._changes: list[Change] = []
        self._changes_waiting = False
        self._changes_since = 0
        self._flush_set = False
        self._applied_due = 0
        self._told_lease = self.lease
        self._waiter_ids = itertools.count(1)
        self._waiters: dict[int, tuple[asyncio.Future[Result], int]] = {}  # With the time when to give up.
        self._proposed: dict[int, Command] = {}
        self._waiting_entries: dict[int, tuple[int, int]] = {}
        self._reads: dict[int, asyncio.Future[int]] = {}
        self._transfers: dict[int, asyncio.Future[TransferResult]] = {}
        self._retention = retention
        self._sending = SnapshotSending(lambda: self.machine, group_id)
        self._installing = SnapshotInstalling(group_id, lambda: core.status().commit_index, self._step_now)

    def start(self, writer: Writer, transport: Transport) -> None:
        """Begin to run in the present event loop."""
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._transport = transport
        self._sending.start(transport)
        self._retime()
        self._loop.call_later(COMPACT_S, self._compact)
        self._schedule_tick(self._tick_ns)

    def stop(self) -> None:
        """Run no more; waiters learn that their outcome is unknown (P5)."""
        self._halted = True
        self._timer.cancel()
        self._sending.stop()
        self._installing.stop()
        self._fail_waiters()

    # Inputs.

    def receive(self, message: Message) -> None:
        """Take a message of a peer."""
        self._put(Received(message))

    def unreachable(self, member_id: int) -> None:
        """Take note that the stream to a peer broke."""
        self._put(PeerUnreachable(member_id))

    def snapshot_sent(self, member_id: int, mark: LogMark, *, delivered: bool) -> None:
        """Take note that a transfer begun with `Transport.send_snapshot` has ended.

        Args:
            member_id: Receiver.
            mark: As in `send_snapshot`.
            delivered: The peer has it installed durably, or did not need it.
        """
        self._sending.ended(member_id)
        self._put(SnapshotSent(member_id, mark, delivered))

    async def install_snapshot(self, data: bytes, sender: int) -> bool:
        """Install a snapshot that arrived whole; return when that is durable.

        Args:
            data: All bytes of it; its hash over the wire is right.
            sender: Who sent it.

        Returns:
            True when it is installed or was not needed (N5); False when this member cannot take it now.

        Raises:
            SnapshotRefused: It can never be used here: damaged, of another group, of a newer schema (N6).
        """
        return await self._installing.install(data, sender)

    def report(self, report: Report) -> None:
        """Take what the store's writer says; call it on the loop's thread."""
        if isinstance(report, Broken):
            self._stop_for_good(report.exit_code, f"store: {report.problem}")
            return
        durable = self.watch.reported(report, self._read_clock())
        if durable is not None:
            self._persisted(durable)
        self._health_changed()

    async def propose(self, command: Command, within_s: float) -> Result:
        """Have a command committed and return what applying it gave, a refusal included (A2).

        Raises:
            NotLeading: This member does not lead; nothing was written.
            Overloaded: Nothing was written.
            CommandTooLarge: Nothing was written.
            OutcomeUnknown: It may or may not happen.
        """
        waiter = next(self._waiter_ids)
        proposed = Proposed((encode_command(command),), self._wall_clock(), waiter)
        self._proposed[waiter] = command
        try:
            return await self._outcome(proposed, waiter, within_s)
        finally:
            del self._proposed[waiter]

    async def _outcome(self, event: Event, waiter: int, within_s: float) -> Result:
        """Step an event and wait for what becomes of the entry it appends."""
        future: asyncio.Future[Result] = self._loop.create_future()
        # Looked at by each tick: a timer for each would cost more than the rest of the waiting.
        self._waiters[waiter] = future, self._clock() + int(within_s * 1e9)
        self._put(event)
        try:
            return await future
        finally:
            del self._waiters[waiter]

    async def read_barrier(self, within_s: float) -> None:
        """Wait until everything committed before the call is applied here (12).

        Raises:
            NotLeading: Only the leader can tell.
        """
        await self.wait_applied(await self.read_index(within_s), within_s)

    async def wait_applied(self, index: int, within_s: float) -> None:
        """Wait until the state machine here is at `index`.

        Raises:
            NotLeading: It takes longer than `within_s`.
        """
        try:
            async with asyncio.timeout(within_s):
                while self.machine.mark.applied_index < index:
                    await self.applied.wait_beyond(self.applied.count, within_s)
        except TimeoutError:
            raise NotLeading from None

    async def read_index(self, within_s: float) -> int:
        """Return an index that covers everything committed before the call (12, thesis 6.4).

        Raises:
            NotLeading: Only the leader can tell.
        """
        waiter = next(self._waiter_ids)
        future: asyncio.Future[int] = self._loop.create_future()
        self._reads[waiter] = future
        self._put(ReadRequested(waiter))
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise NotLeading from None
        finally:
            self._reads.pop(waiter, None)

    async def change_members(self, change: MemberChange, within_s: float, *, force: bool = False) -> Configuration:
        """Change the group and return the configuration that came of it, committed and applied here (9).

        Args:
            change: What to change.
            within_s: Longest wait for the commit.
            force: Go on although the quorum is at risk, or the learner has not caught up (M6).

        Raises:
            NotLeading: This member does not lead; nothing was written.
            ChangeRefused: Nothing was written.
            Overloaded: Nothing was written.
            OutcomeUnknown: It may or may not happen.
        """
        waiter = next(self._waiter_ids)
        result = await self._outcome(MemberChangeRequested(change, self._wall_clock(), waiter, force), waiter, within_s)
        assert isinstance(result, Configuration), "an entry of this kind answers with what it holds"
        return result

    def judge_change(self, change: MemberChange, *, force: bool = False) -> ChangeBlocker | None:
        """Tell what would be in the way of a change now; None = nothing. Nothing is written.

        Raises:
            NotLeading: Only the leader can tell.
        """
        if self._halted or self.leadership.role is not Role.LEADER:
            raise NotLeading
        return self._core.judge_change(change, force=force)

    async def transfer(
        self, target: int, within_s: float, *, drain_ns: int, force: bool = False, hold_ns: int = 0
    ) -> TransferResult:
        """Hand leadership over and return what became of it (8.1); a refusal is a result.

        Args:
            target: Voter that shall lead; `NOBODY` = the fittest (8.1).
            within_s: Longest wait for the result; give it more than `drain_ns` and E.
            drain_ns: Longest wait for lease holders and for the target to catch up.
            force: Go on when lease holders take longer.
            hold_ns: How long this member does not campaign afterwards (8.4).

        Raises:
            OutcomeUnknown: No result in time, or this member stops; the transfer may still happen.
        """
        waiter = next(self._waiter_ids)
        future: asyncio.Future[TransferResult] = self._loop.create_future()
        self._transfers[waiter] = future
        self._put(TransferRequested(target, drain_ns, waiter, force, hold_ns))
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise OutcomeUnknown from None
        finally:
            self._transfers.pop(waiter, None)

    def drained(self) -> None:
        """Say that no lease holder has a running step any more; call it while `draining` (8.1 b)."""
        self._put(Drained())

    def set_ready(self, *, ready: bool) -> None:
        """Say whether this node's recovery keeps its session alive (8.3); ready until told otherwise."""
        self._put(LocalReadiness(ready))

    def adopt_group(self, group_id: str) -> None:
        """Remember which group this member joins; called once, by one that had none (18.1)."""
        self._submit(StoreWrite(group_id=group_id))

    def set_quarantine(self, reason: str) -> None:
        """Distrust the own store for a reason, or trust it again: empty (14.6)."""
        self._put(QuarantineChanged(reason))

    # What others may ask.

    def status(self) -> CoreStatus:
        """Return the core's view as of the last turn."""
        return self._core.status()

    def read_clock(self) -> int:
        """Return the time now (T1)."""
        return self._clock()

    def leads_with_lease(self) -> bool:
        """Tell whether this member leads with a valid leader lease at this very moment (L1)."""
        return not self._halted and self.leadership.role is Role.LEADER and self.lease.valid_at(self._clock())

    @property
    def snapshot_bytes(self) -> int:
        """Size of the newest snapshot that was sent; 0 = none was."""
        return self._sending.newest_bytes

    # Turns.

    def _put(self, event: Event) -> None:
        self._inbox.append(event)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and not self._halted:
            self._scheduled = True
            if self.turned is not None:
                self._put_at = self._clock()
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._halted:
            return
        began = 0 if self.turned is None else self._clock()
        try:
            self._step_all()
            output = self._core.take_output()
            if self._trace is not None:
                self._trace.output(self._now, output)
            self._carry_out(output)
        except InvariantViolated as violation:
            self._stop_for_good(EXIT_HALTED, f"invariant {violation}")
        except UnknownCommand as error:
            self._stop_for_good(EXIT_HALTED, f"the log has a command of a newer version: {error}")
        self._leading_changed()
        if self.turned is not None:
            self.turned(self._put_at or began, began, self._clock())
            self._put_at = 0
        if self._inbox:
            self._schedule()

    def _step_now(self, event: Event) -> None:
        """Step an event before what is queued, and carry out what follows before this returns."""
        self._inbox.appendleft(event)
        self._turn()

    def _step_all(self) -> None:
        began = self._read_clock()
        if self._applied_due:
            self._core.step(Applied(self._applied_due), began)
            self._applied_due = 0
        for _ in range(MAX_TURN_EVENTS):
            if not self._inbox or self._read_clock() - began > MAX_TURN_NS:
                return
            self._core.step(self._inbox.popleft(), self._now)

    def _tick(self) -> None:
        now = self._read_clock()
        if now - self._tick_due > LATE_NS:
            # After a stall the messages that queued meanwhile are stepped before time is (T3).
            self._schedule_tick(LATE_NS)
            return
        self.watch.tick(now)
        self._health_changed()
        self._give_up(now)
        self._inbox.append(Tick())
        if not self._scheduled:
            self._turn()
        self._schedule_tick(self._next_tick_ns())

    def _give_up(self, now: int) -> None:
        """Answer those who waited long enough; a tick may be late by the time between two."""
        for future, give_up_at in self._waiters.values():
            if now >= give_up_at and not future.done():
                future.set_exception(OutcomeUnknown())

    def _next_tick_ns(self) -> int:
        """Return how long nothing can be due: idle members tick rarely, and nothing depends on how often (T3)."""
        now = self._now
        if self.leadership.role is Role.LEADER:
            if now >= self._round_at + self._settings.heartbeat:
                self._round_at = now  # This tick sent no heartbeat: in a group of one there is nobody to send it to.
            return max(MILLISECOND, self._round_at + self._settings.heartbeat - now)
        contact_at = self._core.heard_leader_at
        if contact_at is not None:
            # No election starts before this (5); each heartbeat moves it.
            return max(self._tick_ns, contact_at + self._settings.election_min - now)
        return self._tick_ns

    def _schedule_tick(self, delay_ns: int) -> None:
        self._tick_due = self._now + delay_ns
        self._timer = self._loop.call_later(delay_ns / 1e9, self._tick)

    def _read_clock(self) -> int:
        self._now = max(self._now, self._clock())
        return self._now

    # Output, in the order of its fields.

    def _carry_out(self, output: Output) -> None:
        for batch in output.persist:
            self._submitted.append((batch.number, batch.last_index, batch.last_term))
            install = None if batch.install is None else self._install(batch.number)
            self._submit(StoreWrite.of_batch(batch, install))
        for outgoing in output.messages:
            if isinstance(outgoing.message, Heartbeat):
                self._round_at = self._now
            if outgoing.after_batch > self._durable_batch:
                self._held.append(outgoing)
            else:
                self._transport.send(outgoing)
        for result in output.proposal_results:
            self._proposal_result(result)
        for answer in output.read_results:
            self._read_result(answer)
        for transfer in output.transfer_results:
            self._transfer_result(transfer)
        if output.lease is not None:
            self._extended(output.lease)
        if output.leadership is not None:
            self._led(output.leadership)
        self._group_changed(output)
        if output.committed:
            self._apply(output.committed)
        for member_id in output.snapshot_wanted:
            self._sending.wanted(member_id)

    def _submit(self, write: StoreWrite) -> None:
        if self._changes_waiting:
            write = replace(write, changes=tuple(self._changes), mark=self.machine.mark)
            self._changes.clear()
            self._changes_waiting = False
        self.watch.submitted(self._now)
        self._writer.submit(write)

    def _install(self, number: int) -> Install:
        """Return what replaces all state rows; changes that were not written yet are among what it replaces (N4)."""
        self._changes.clear()
        self._changes_waiting = False
        return self._installing.begin(number)

    def _installed(self, number: int) -> None:
        """Go on with the state of a snapshot once it is durable."""
        machine = self._installing.durable(number)
        if machine is None:
            return
        self.machine = machine
        self._retime()
        log.info("consensus.snapshot_installed", extra={"log_index": machine.mark.applied_index})
        self._applied_due = 0
        self._put(Applied(machine.mark.applied_index))
        self.applied.fire()
        self.lease_changed.fire()

    def _persisted(self, number: int) -> None:
        """Tell the core of the last batch that is durable, and let go what waited for it (C1)."""
        last: tuple[int, int, int] | None = None
        while self._submitted and self._submitted[0][0] <= number:
            last = self._submitted.popleft()
        if last is None:
            return
        self._durable_batch = last[0]
        if self._trace is not None:
            self._trace.durable(self._now, last[0])
        self._installed(last[0])
        self._inbox.append(Persisted(*last))
        if self.leadership.role is Role.LEADER and self.machine.mark.applied_index < last[1]:
            self._schedule()  # It may be committed by this. Otherwise the core learns it with the next event.
        held, self._held = self._held, deque()
        for outgoing in held:
            if outgoing.after_batch <= self._durable_batch:
                self._transport.send(outgoing)
            else:
                self._held.append(outgoing)

    def _proposal_result(self, result: ProposalResult) -> None:
        match result.outcome:
            case ProposalOutcome.APPENDED:
                self._waiting_entries[result.last_index] = (result.term, result.waiter)
                return
            case ProposalOutcome.NOT_LEADER:
                error: Exception = NotLeading()
            case ProposalOutcome.OVERLOADED:
                error = Overloaded()
            case ProposalOutcome.TOO_LARGE:
                error = CommandTooLarge()
            case ProposalOutcome.REFUSED:
                assert result.blocker is not None, "a refusal names what is in the way"
                error = ChangeRefused(result.blocker)
            case ProposalOutcome.UNKNOWN:
                self._waiting_entries.pop(result.last_index, None)
                error = OutcomeUnknown()
        future, _ = self._waiters.get(result.waiter, _NO_WAITER)
        if future is not None and not future.done():
            future.set_exception(error)

    def _read_result(self, result: ReadResult) -> None:
        future = self._reads.get(result.waiter)
        if future is None or future.done():
            return
        if result.outcome is ReadOutcome.READY:
            future.set_result(result.index)
        else:
            future.set_exception(NotLeading())

    def _transfer_result(self, result: TransferResult) -> None:
        log.info("consensus.transfer", extra={"outcome": result.outcome.value, "member": result.leader})
        future = self._transfers.get(result.waiter)
        if future is not None and not future.done():
            future.set_result(result)

    def _group_changed(self, output: Output) -> None:
        """Tell watchers who is in the group, and how this member stands in it."""
        if output.configuration is not None:
            if output.configuration != self.configuration:
                self._tell_configuration(output.configuration)
            self.configuration = output.configuration
            self._transport.configure(output.configuration)
            self.leader_changed.fire()
        if output.draining is not None:
            self.draining = output.draining
            self.leader_changed.fire()
            self.lease_changed.fire()
        if output.quarantine is not None:
            self.quarantine = output.quarantine
            if output.quarantine:
                self._submit(StoreWrite(quarantine=output.quarantine))
            log.error("consensus.quarantined", extra={"problem": output.quarantine, "term": self.leadership.term})
            self.leader_changed.fire()
        if output.removed is not self.removed:
            self.removed = output.removed
            log.warning("consensus.removed", extra={"removed": output.removed})
            self.leader_changed.fire()

    def _tell_configuration(self, configuration: Configuration) -> None:
        learners = [member for member in configuration.ids if member not in configuration.voters]
        facts = {"term": self.leadership.term, "log_index": self._core.status().configuration_index}
        log.info(
            "consensus.member_changed", extra={**facts, "voters": list(configuration.voters), "learners": learners}
        )

    def _extended(self, lease: LeaderLease) -> None:
        """Take a changed leader lease; every answer extends it a little, and half a heartbeat is worth telling."""
        self.lease, told = lease, self._told_lease
        longer = lease.valid_until - told.valid_until
        if lease.seq != told.seq or not 0 <= longer < self._settings.heartbeat // 2:
            self._told_lease = lease
            self.lease_changed.fire()

    def _led(self, leadership: Leadership) -> None:
        before = self.leadership
        self.leadership = leadership
        if (before.role is Role.LEADER) != (leadership.role is Role.LEADER):
            name = "consensus.became_leader" if leadership.role is Role.LEADER else "consensus.lost_leadership"
            log.info(name, extra={"term": leadership.term})
        self.leader_changed.fire()
        self.lease_changed.fire()

    def _leading_changed(self) -> None:
        """Tell watchers when the leader lease becomes valid or lapses, which no message announces."""
        leading = self.leads_with_lease()
        if leading != self._told_leading:
            self._told_leading = leading
            name = "consensus.lease_valid" if leading else "consensus.lease_lapsed"
            log.info(name, extra={"term": self.leadership.term, "lease_seq": self.lease.seq})
            self.leader_changed.fire()

    def _apply(self, entries: Sequence[Entry]) -> None:
        machine, leases_changed, only_commands = self.machine, False, True
        for entry in entries:
            term, waiter = self._waiting_entries.pop(entry.index, _NOBODY_WAITS)
            own = self._proposed.get(waiter) if term == entry.term else None
            applied = machine.apply(entry.index, entry.term, entry.stamp_ms, own or decode_entry(entry))
            for change in applied.changes:
                self._changes.append(change)
                leases_changed = leases_changed or change.table == LEASES
            only_commands = only_commands and entry.kind is EntryKind.COMMAND
            self._answer(waiter, applied.result, known=term == entry.term)
            if entry.index % DIGEST_INTERVAL == 0:
                self._put(StateDigest(entry.index, self.machine.mark.digest))
        if not self._changes_waiting:
            self._changes_waiting = True
            self._changes_since = self._now
            self._flush_in(FLUSH_NS)
        self._applied_due = entries[-1].index
        if self._reads or not only_commands:
            self._schedule()  # Otherwise the core learns it with the next event: nothing waits for that.
        self._retime()
        self.applied.fire()
        if leases_changed:
            self.lease_changed.fire()

    def _compact(self) -> None:
        """Shorten the log whenever it is too long (N1)."""
        if self._halted:
            return
        self._loop.call_later(COMPACT_S, self._compact)
        now = self._read_clock()
        index = compaction_target(self._core.status(), self._sending.in_transit, self._retention, now)
        if index is not None:
            self._put(Compacted(index))

    def _retime(self) -> None:
        """Go by the timers the group agreed on, as of the applied index (18.5)."""
        group = self.machine.group
        if group.settings is None or group.settings_index == self._timing_index:
            return
        self._timing_index = group.settings_index
        self._settings = replace(
            self._settings,
            heartbeat=group.settings.heartbeat,
            election_min=group.settings.election_min,
            election_max=group.settings.election_max,
            clock_drift_ppm=group.settings.clock_drift_ppm,
        )
        self._put(TimingChanged(*astuple(group.settings)))

    def _answer(self, waiter: int, result: Result, *, known: bool) -> None:
        """Tell who waits for an entry; not `known`: another leader's entry took the place of the waiter's."""
        future, _ = self._waiters.get(waiter, _NO_WAITER)
        if future is None or future.done():
            return
        if known:
            future.set_result(result)
        else:
            future.set_exception(OutcomeUnknown())

    def _flush_in(self, delay_ns: int) -> None:
        if not self._flush_set:
            self._flush_set = True
            self._loop.call_later(delay_ns / 1e9, self._flush)

    def _flush(self) -> None:
        """Write state rows that no batch took along; those that are younger wait on."""
        self._flush_set = False
        if not self._changes_waiting or self._halted:
            return
        left = self._changes_since + FLUSH_NS - self._read_clock()
        if left > 0:
            self._flush_in(left)
        else:
            self._submit(StoreWrite())

    def _health_changed(self) -> None:
        health = self.watch.take_change()
        if health is not None:
            log.log(
                logging.INFO if health.usable else logging.ERROR,
                "consensus.store_health",
                extra={"health": health.value, "problem": self.watch.problem},
            )
            self._put(StoreHealthChanged(health))
            self.leader_changed.fire()
        for _ in range(self.watch.take_probes()):
            self._writer.probe()

    # The end.

    def _stop_for_good(self, exit_code: int, why: str) -> None:
        if not self._halted:
            self._halted = True
            self._fail_waiters()
            self._halt(exit_code, why)

    def _fail_waiters(self) -> None:
        waiting: list[asyncio.Future[Any]] = [
            *(future for future, _ in self._waiters.values()),
            *self._reads.values(),
            *self._transfers.values(),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(OutcomeUnknown())
