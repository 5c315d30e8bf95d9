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
from typing import Any, Final

from services.consensus.commands import Command, UnknownCommand, encode_command
from services.consensus.core import RaftCore
from services.consensus.entries import decode_entry
from services.consensus.errors import CommandTooLarge, OutcomeUnknown, Overloaded
from services.consensus.events import (
    Applied,
    Event,
    PeerUnreachable,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    StoreHealthChanged,
    Tick,
)
from services.consensus.machine import Machine, Result
from services.consensus.messages import Heartbeat, Message
from services.consensus.model import MILLISECOND, NOBODY, CoreSettings, Entry, InvariantViolated, Role
from services.consensus.outputs import (
    CoreStatus,
    LeaderLease,
    Leadership,
    Outgoing,
    Output,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
)
from services.consensus.ports import Broken, Clock, Report, Transport, WallClock, Writer
from services.consensus.rows import Change
from services.consensus.signals import Signal
from services.consensus.store_health import StoreWatch
from services.consensus.store_write import StoreWrite
from services.shared.runtime.errors import DomainError

log = logging.getLogger(__name__)

EXIT_HALTED: Final = 70
"""Exit code after a broken invariant (sysexits.h, EX_SOFTWARE; C4)."""
EXIT_STORE: Final = 74
"""Exit code after an I/O error of the store (sysexits.h, EX_IOERR; 14.5)."""
MAX_TURN_EVENTS: Final = 1_024
MAX_TURN_NS: Final = 2 * MILLISECOND
FLUSH_S: Final = 0.05
"""How long state rows wait for a batch to ride in (14.1)."""
LATE_NS: Final = 40 * MILLISECOND


class NotLeading(Exception):
    """A proposal or read that certainly did nothing: this member does not lead, or cannot answer yet."""


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
        """
        self.machine = machine
        self.leadership = Leadership(Role.FOLLOWER, core.status().term, core.status().leader)
        self.lease: LeaderLease = core.status().lease
        self.leader_changed = Signal()
        self.lease_changed = Signal()
        self.applied = Signal()
        self._told_leading = False
        self.watch = watch
        self._core = core
        self._settings = settings
        self._tick_ns = tick_ns
        self._clock = clock
        self._wall_clock = wall_clock
        self._halt = halt
        self._halted = False
        self._now = clock()
        self._tick_due = self._now
        self._round_at = self._now
        self._inbox: deque[Event] = deque()
        self._scheduled = False
        self._durable_batch = 0
        self._submitted: deque[tuple[int, int, int]] = deque()
        self._held: deque[Outgoing] = deque()
        self._changes: list[Change] = []
        self._changes_waiting = False
        self._waiter_ids = itertools.count(1)
        self._waiters: dict[int, asyncio.Future[Result]] = {}
        self._waiting_entries: dict[int, tuple[int, int]] = {}
        self._reads: dict[int, asyncio.Future[int]] = {}

    def start(self, writer: Writer, transport: Transport) -> None:
        """Begin to run in the present event loop."""
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._transport = transport
        self._schedule_tick(self._tick_ns)

    def stop(self) -> None:
        """Run no more; waiters learn that their outcome is unknown (P5)."""
        self._halted = True
        self._timer.cancel()
        self._fail_waiters()

    # Inputs.

    def receive(self, message: Message) -> None:
        """Take a message of a peer."""
        self._put(Received(message))

    def unreachable(self, member_id: int) -> None:
        """Take note that the stream to a peer broke."""
        self._put(PeerUnreachable(member_id))

    def report(self, report: Report) -> None:
        """Take what the store's writer says; call it on the loop's thread."""
        if isinstance(report, Broken):
            self._stop_for_good(EXIT_STORE, f"store: {report.problem}")
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
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiters[waiter] = future
        self._put(Proposed((encode_command(command),), self._wall_clock(), waiter))
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            raise OutcomeUnknown from None
        finally:
            self._waiters.pop(waiter, None)

    async def read_barrier(self, within_s: float) -> None:
        """Wait until everything committed before the call is applied here (12).

        Raises:
            NotLeading: Only the leader can tell.
        """
        waiter = next(self._waiter_ids)
        future: asyncio.Future[int] = self._loop.create_future()
        self._reads[waiter] = future
        self._put(ReadRequested(waiter))
        try:
            async with asyncio.timeout(within_s):
                index = await future
                while self.machine.mark.applied_index < index:
                    await self.applied.wait_beyond(self.applied.count, within_s)
        except TimeoutError:
            raise NotLeading from None
        finally:
            self._reads.pop(waiter, None)

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

    # Turns.

    def _put(self, event: Event) -> None:
        self._inbox.append(event)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and not self._halted:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._halted:
            return
        try:
            self._step_all()
            self._carry_out(self._core.take_output())
        except InvariantViolated as violation:
            self._stop_for_good(EXIT_HALTED, f"invariant {violation}")
        except UnknownCommand as error:
            self._stop_for_good(EXIT_HALTED, f"the log has a command of a newer version: {error}")
        self._leading_changed()
        if self._inbox:
            self._schedule()

    def _step_all(self) -> None:
        began = self._read_clock()
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
        self._inbox.append(Tick())
        if not self._scheduled:
            self._turn()
        self._schedule_tick(self._next_tick_ns())

    def _next_tick_ns(self) -> int:
        """Return how long nothing can be due: idle members tick rarely, and nothing depends on how often (T3)."""
        now, status = self._now, self._core.status()
        if status.role is Role.LEADER:
            if now >= self._round_at + self._settings.heartbeat:
                self._round_at = now  # This tick sent no heartbeat: in a group of one there is nobody to send it to.
            return max(MILLISECOND, self._round_at + self._settings.heartbeat - now)
        if status.role is Role.FOLLOWER and status.leader != NOBODY and status.leader_contact_at is not None:
            # No election starts before this (5); each heartbeat moves it.
            return max(self._tick_ns, status.leader_contact_at + self._settings.election_min - now)
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
            self._submit(StoreWrite.of_batch(batch))
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
        if output.lease is not None:
            self.lease = output.lease
            self.lease_changed.fire()
        if output.leadership is not None:
            self._led(output.leadership)
        if output.committed:
            self._apply(output.committed)

    def _submit(self, write: StoreWrite) -> None:
        if self._changes_waiting:
            write = StoreWrite(
                write.number,
                write.hard_state,
                write.truncate_from,
                write.entries,
                tuple(self._changes),
                self.machine.mark,
            )
            self._changes.clear()
            self._changes_waiting = False
        self.watch.submitted(self._now)
        self._writer.submit(write)

    def _persisted(self, number: int) -> None:
        """Tell the core of the last batch that is durable, and let go what waited for it (C1)."""
        last: tuple[int, int, int] | None = None
        while self._submitted and self._submitted[0][0] <= number:
            last = self._submitted.popleft()
        if last is None:
            return
        self._durable_batch = last[0]
        self._put(Persisted(*last))
        still_held = deque(outgoing for outgoing in self._held if outgoing.after_batch > self._durable_batch)
        for outgoing in self._held:
            if outgoing.after_batch <= self._durable_batch:
                self._transport.send(outgoing)
        self._held = still_held

    def _proposal_result(self, result: ProposalResult) -> None:
        future = self._waiters.get(result.waiter)
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
            case ProposalOutcome.UNKNOWN:
                self._waiting_entries.pop(result.last_index, None)
                error = OutcomeUnknown()
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
            log.info("consensus.lease_valid" if leading else "consensus.lease_lapsed", extra={"seq": self.lease.seq})
            self.leader_changed.fire()

    def _apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            command = decode_entry(entry)
            applied = self.machine.apply(entry.index, entry.term, entry.stamp_ms, command)
            self._changes.extend(applied.changes)
            self._answer(entry, applied.result)
        if not self._changes_waiting:
            self._changes_waiting = True
            self._loop.call_later(FLUSH_S, self._flush)
        self._put(Applied(entries[-1].index))
        self.applied.fire()
        self.lease_changed.fire()

    def _answer(self, entry: Entry, result: Result) -> None:
        term, waiter = self._waiting_entries.pop(entry.index, (0, 0))
        future = self._waiters.get(waiter)
        if future is None or future.done():
            return
        if term != entry.term:
            future.set_exception(OutcomeUnknown())
        else:
            future.set_result(result)

    def _flush(self) -> None:
        if self._changes_waiting and not self._halted:
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
        waiting: list[asyncio.Future[Any]] = [*self._waiters.values(), *self._reads.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(OutcomeUnknown())


def raise_refusal(result: Result) -> Result:
    """Return a result that is none, or raise it."""
    if isinstance(result, DomainError):
        raise result
    return result
