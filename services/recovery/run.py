"""Carries one recovery through: writes to the journal, then acts, then asks the machine what follows.

A write that is not answered is repeated as long as the lease is live: the journal takes a repetition for what it is.
When the lease is lost, or the journal refuses the token, everything stops where it is (rule F8): the record stays open
for the next leader, or for this one when it leads again. While leadership is handed over, what runs ends its step, and
nothing else begins.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NoReturn, TypeVar

from services.recovery.audit import Audit
from services.recovery.lease import LeaseGuard
from services.recovery.machine import RecoveryMachine
from services.recovery.model import LeaseLost, Primary, Record, Recovery, StepKind, StepState
from services.recovery.ports import Clock, Directory, Executor, Journal, JournalRefused, JournalUnavailable
from services.recovery.turn import Command, StepResult, Turn
from services.recovery.under_way import UnderWay
from services.shared.runtime.errors import DomainError, StaleFencingToken
from services.shared.topology.snapshot import TopologySnapshot

log = logging.getLogger(__name__)

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=Exception)

_RETRY_S: Final = 0.02
_WATCH_S: Final = 0.01
"""How often a run looks whether its lease lasts: a statement that runs is ended that soon after the lease."""
_HANDED_OVER: Final = "leadership is being handed over"


class RecoveryRun:
    """One recovery under one lease."""

    def __init__(
        self,
        machine: RecoveryMachine,
        guard: LeaseGuard,
        journal: Journal,
        directory: Directory,
        executor: Executor,
        clock: Clock,
        snapshot: Callable[[], TopologySnapshot],
        audit: Audit,
    ) -> None:
        """Put the parts together.

        Args:
            machine: The recovery, new or adopted.
            guard: The lease, pinned when the work began.
            journal: Where steps are written.
            directory: Where the new primary is published.
            executor: Changes servers.
            clock: The time.
            snapshot: Returns the topology as discovery sees it now.
            audit: Writes down what had to stop in the middle.
        """
        self._machine = machine
        self._guard = guard
        self._journal = journal
        self._directory = directory
        self._executor = executor
        self._clock = clock
        self._snapshot = snapshot
        self._audit = audit
        self._started = (clock.now(), clock.boottime_ns())
        self._under_way = UnderWay()
        self._results: asyncio.Queue[StepResult] = asyncio.Queue()

    async def register(self, block_period: timedelta) -> Turn:
        """Begin a new recovery and register it with its first steps; return what follows.

        Raises:
            RecoveryOpen, AntiFlapping, RecoveryForbidden: The log refused it.
            LeaseLost: It may not be begun.
        """
        try:
            return await self._register(block_period)
        except BaseException:  # Cancelled, too: what was opened ahead is not needed.
            self._release()
            raise

    async def _register(self, block_period: timedelta) -> Turn:
        snapshot = self._snapshot()
        failed = snapshot.instances.get(self._machine.recovery.failed)
        turn = self._machine.start(snapshot, self._now())
        if failed is not None:
            valid = [each for each in snapshot.direct_replicas(failed.key) if each.reading.last_check_valid]
            self._executor.prepare(failed, valid, self._guard.token)
        self._propose(turn)
        recovery = self._machine.recovery
        await self._repeat(lambda: self._journal.register(recovery, turn.record, block_period), begins=True)
        self._machine.registered(self._now())
        log.info("recovery.registered", extra=_facts(recovery))
        return Turn(commands=turn.commands)

    async def resume(self) -> Turn:
        """Go on with an adopted recovery; return what follows."""
        self._under_way.expect_others(self._machine.recovery, self._clock.boottime_ns())
        snapshot = self._snapshot()
        replicas = snapshot.direct_replicas(self._machine.recovery.failed)
        read = await asyncio.gather(*(self._executor.read(each) for each in replicas))
        instances = {**snapshot.instances, **{each.key: each for each in read}}
        current = TopologySnapshot(snapshot.revision, snapshot.snapshot_time, snapshot.clusters, instances)
        log.info("recovery.resumed", extra=_facts(self._machine.recovery))
        return self._machine.resume(current, self._now())

    async def finish(self, turn: Turn) -> Record:
        """Carry the recovery through from a turn on; return its record, closed.

        Raises:
            LeaseLost: Stopped where it was; the record stays open.
            DomainError, JournalRefused: The same, because the journal refused a write.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch_lease())
                while not turn.close:
                    await self._take(turn, tasks)
                    turn = await self._following()
                if turn.record:
                    await self._record(turn)
                watch.cancel()
        except* (LeaseLost, DomainError, JournalRefused) as group:
            stopped = _first(group)
            # Who goes on should know what may have happened (rule F8).
            for stop in self._under_way.stops(
                self._machine.recovery, str(stopped), self._now(), self._executor.running
            ):
                self._audit(stop)
            raise stopped from None
        finally:
            self._release()
        recovery = self._machine.recovery
        record = await self._repeat(lambda: self._journal.close(recovery))
        log.info("recovery.closed", extra={**_facts(recovery), "state": recovery.state.value, "error": recovery.error})
        return record

    async def _watch_lease(self) -> None:
        """Stop everything as soon as the lease is gone, statements that run included (rule F8)."""
        while True:
            await asyncio.sleep(_WATCH_S)
            reason = self._guard.lost()
            if reason:
                raise LeaseLost(reason)

    async def _hand_over(self, turn: Turn) -> NoReturn:
        """Write how the last steps ended, and that the ones whose intent is written do not begin; then stop."""
        ended = [step for step in turn.record if step.state.ended]
        intended = [command.step for command in turn.commands if self._under_way.is_proposed(command.step)]
        skipped = [replace(step, state=StepState.SKIPPED, outcome=_HANDED_OVER) for step in intended]
        recovery, steps = self._machine.recovery, (*ended, *skipped)
        if steps:
            await self._repeat(lambda: self._journal.record(recovery, steps))
        raise LeaseLost(_HANDED_OVER)

    async def _take(self, turn: Turn, tasks: asyncio.TaskGroup) -> None:
        if self._guard.draining:
            await self._hand_over(turn)
        if turn.together:
            self._hand_out(turn.commands, tasks)
        if turn.record:
            await self._record(turn)
        if not turn.together:
            self._hand_out(turn.commands, tasks)

    def _hand_out(self, commands: tuple[Command, ...], tasks: asyncio.TaskGroup) -> None:
        for command in commands:
            tasks.create_task(self._carry_out(self._under_way.begin(command)))

    async def _carry_out(self, command: Command) -> None:
        step = command.step
        if step.kind is StepKind.PUBLISH:
            result = await self._publish(command)
        else:
            result = await self._executor.carry_out(command, self._guard, self._under_way.hold_until_ns(step))
        self._under_way.end(step)
        fields = {"step": step.kind.value, "instance": str(step.instance or ""), "state": result.state.value}
        detail = {"outcome": result.outcome, "error": result.error}
        log.info("recovery.step_done", extra={**_facts(self._machine.recovery), **fields, **detail})
        await self._results.put(result)

    async def _publish(self, command: Command) -> StepResult:
        recovery = self._machine.recovery
        assert command.successor is not None
        entry = Primary(
            recovery.cluster_id, recovery.cluster_alias, command.successor, command.successor_server_uuid, epoch=0
        )
        # One id for all attempts of all leaders: published once, whoever finishes it.
        request_id = str(uuid.uuid5(uuid.UUID(recovery.recovery_id), str(command.successor)))
        token = self._guard.token
        published = await self._repeat(lambda: self._directory.publish(request_id, token, entry, recovery.recovery_id))
        outcome = f"{published.endpoint} is the primary of epoch {published.epoch}"
        return StepResult(command.step.number, StepState.DONE, outcome, epoch=published.epoch)

    async def _following(self) -> Turn:
        turn = None
        while turn is None:
            result = await self._results.get()
            turn = self._machine.ended(result, self._snapshot(), self._now())
        return turn

    async def _record(self, turn: Turn) -> None:
        begins = any(step.state is StepState.RUNNING for step in turn.record)
        self._propose(turn)
        recovery = self._machine.recovery
        await self._repeat(lambda: self._journal.record(recovery, turn.record), begins=begins)

    def _propose(self, turn: Turn) -> None:
        self._under_way.propose(turn.record, self._clock.boottime_ns())

    async def _repeat(self, write: Callable[[], Awaitable[T]], *, begins: bool = False) -> T:
        """Write until it is answered, or the lease is lost; what begins something is not taken during a handover."""
        while True:
            self._guard.check(0)
            if begins and self._guard.draining:
                raise LeaseLost(_HANDED_OVER)
            try:
                return await write()
            except JournalUnavailable as error:
                log.info("recovery.journal_retry", extra={**_facts(self._machine.recovery), "problem": str(error)})
                await asyncio.sleep(_RETRY_S)
            except StaleFencingToken as error:
                raise LeaseLost(str(error)) from None

    def _release(self) -> None:
        recovery = self._machine.recovery
        keys = {recovery.failed, *(each.instance for each in recovery.candidates)}
        keys |= {step.instance for step in recovery.steps if step.instance is not None}
        self._executor.release(sorted(keys))

    def _now(self) -> datetime:
        """Return the wall time as it was at the start plus what has passed since: it never jumps within a run."""
        wall, boottime_ns = self._started
        return wall + timedelta(microseconds=(self._clock.boottime_ns() - boottime_ns) / 1000)


def _first(group: BaseExceptionGroup[ErrorT]) -> ErrorT:
    error: ErrorT | BaseExceptionGroup[ErrorT] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _facts(recovery: Recovery) -> dict[str, object]:
    return {
        "recovery_id": recovery.recovery_id,
        "cluster": recovery.cluster_id,
        "failed": str(recovery.failed),
        "fencing_token": recovery.fencing_token,
    }
