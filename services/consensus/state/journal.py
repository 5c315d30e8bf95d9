"""Records of recoveries and their steps, as the replicated log defines them: a state machine without I/O (13).

A recovery is registered, takes steps, may be adopted by a newer token, and is closed. At most one is open per cluster
(F7). It is written only under the token it was last registered or adopted with (F6). Repeating a write changes nothing
and gives the same answer; the natural ids (recovery; recovery, step and phase) tell what a repetition is.

An intent with a bound is a hold on its instance (F5): under a newer token nothing is about to change that instance
before the holding step has an outcome, which whoever adopts records, to wait or to end the old sessions before it acts
(F10).

A stop is a note of an executor that lost its lease (F8): the one write that an old token may do, because nothing
follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from services.consensus.errors import (
    AntiFlapping,
    HoldOpen,
    RecoveryClosed,
    RecoveryOpen,
    RecoveryUnknown,
    RequestIdReused,
    StepEnded,
    TooManyStops,
)
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    NoteStop,
    Phase,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
)
from services.consensus.state.recovery_record import Hold, Recovery, Step, Stop, in_order
from services.consensus.state.rows import RECOVERIES, STEPS, STOPS, Change, Row, RowsOf, delete, put
from services.shared.runtime.errors import DomainError, InvalidField, StaleFencingToken

MAX_CLOSED: Final = 1_000
"""Closed records that are kept; the oldest goes when a recovery is registered."""
MAX_STOPS: Final = 16
"""Stops that a record keeps."""

Written = tuple[tuple[Change, ...], Recovery | DomainError]
StepsWritten = tuple[tuple[Change, ...], int | DomainError]


class Journal:
    """All recoveries that are kept.

    Callers have checked that the token is the newest of a live lease; of a stop it may be older.
    """

    def __init__(self, recoveries: Iterable[Recovery] = ()) -> None:
        self._recoveries = {recovery.recovery_id: recovery for recovery in recoveries}
        self._open_ids = {found.cluster_id: found.recovery_id for found in self._recoveries.values() if found.is_open}

    def get(self, recovery_id: str) -> Recovery | None:
        """Return one recovery."""
        return self._recoveries.get(recovery_id)

    def all(self) -> tuple[Recovery, ...]:
        """Return all recoveries, newest first."""
        return tuple(sorted(self._recoveries.values(), key=_age, reverse=True))

    def open_of(self, cluster_id: str) -> Recovery | None:
        """Return the open recovery of a cluster."""
        recovery_id = self._open_ids.get(cluster_id)
        return None if recovery_id is None else self._recoveries[recovery_id]

    def holds(self) -> tuple[Hold, ...]:
        """Return the holds that have not ended, in order of their intents (F5).

        A hold ends with the outcome of its step, with the step's next intent, or with the recovery.
        """
        found = (
            Hold(
                recovery.recovery_id,
                step.number,
                step.instance,
                step.fencing_token,
                step.hold_ms,
                step.intent_ms,
                step.log_index,
            )
            for recovery in map(self._recoveries.__getitem__, self._open_ids.values())
            for step in recovery.steps
            if step.phase is Phase.INTENT and step.hold_ms is not None
        )
        return tuple(sorted(found, key=lambda hold: (hold.log_index, hold.step)))

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of recoveries, of steps and of stops."""
        recoveries = tuple(self._recoveries.values())
        steps = [(recovery.recovery_id, step) for recovery in recoveries for step in recovery.steps]
        stops = [(recovery.recovery_id, stop) for recovery in recoveries for stop in recovery.stops]
        return {
            RECOVERIES: RowsOf(recoveries, lambda recovery: recovery.to_row()),
            STEPS: RowsOf(steps, lambda each: each[1].to_row(each[0])),
            STOPS: RowsOf(stops, lambda each: each[1].to_row(each[0])),
        }

    def register(
        self, index: int, now_ms: int, command: RegisterRecovery, forbidden: DomainError | None = None
    ) -> Written:
        """Open a recovery, unless the cluster has one, anti-flapping blocks it, or something else forbids it (F7)."""
        known = self._recoveries.get(command.recovery_id)
        if known is not None:
            return (), _registered_again(known, command)
        refusal = self._blocked(now_ms, command) or forbidden
        refusal = refusal or self._held(command.recovery_id, command.fencing_token, command.steps)
        if refusal is not None:
            return (), refusal
        recovery = Recovery(
            recovery_id=command.recovery_id,
            cluster_id=command.cluster_id,
            failed_instance=command.failed_instance,
            fencing_token=command.fencing_token,
            is_open=True,
            successful=False,
            register_ms=now_ms,
            close_ms=None,
            successor="",
            data=command.data,
            log_index=index,
        )
        steps = [_first_step(command.fencing_token, index, now_ms, write) for write in command.steps]
        changes = self._put_steps(recovery, steps, data=command.data, log_index=index)
        return (*changes, *self._forget_oldest()), self._recoveries[recovery.recovery_id]

    def adopt(self, index: int, command: AdoptRecovery) -> Written:
        """Put an open recovery under a newer token (F10)."""
        found = self._open(command.recovery_id)
        if isinstance(found, DomainError):
            return (), found
        if found.fencing_token == command.fencing_token:
            return (), found
        if command.fencing_token < found.fencing_token:
            return (), StaleFencingToken(found.fencing_token, command.fencing_token)
        adopted = replace(found, fencing_token=command.fencing_token, log_index=index)
        return self._put(adopted), adopted

    def record_steps(self, index: int, now_ms: int, command: RecordSteps) -> StepsWritten:
        """Write steps, all or none, and return the log index that wrote the first."""
        found = self._writable(command.recovery_id, command.fencing_token)
        if isinstance(found, DomainError):
            return (), found
        held = self._held(command.recovery_id, command.fencing_token, command.steps)
        if held is not None:
            return (), held
        new: list[Step] = []
        for write in command.steps:
            step = _next_step(found, index, now_ms, write)
            if isinstance(step, DomainError):
                return (), step
            if step.log_index == index:
                new.append(step)
        first = found.step(command.steps[0].number)
        if not new:
            return (), index if first is None else first.log_index
        return self._put_steps(found, new, data=command.recovery_data or found.data, log_index=index), index

    def close(self, index: int, now_ms: int, command: CloseRecovery) -> Written:
        """End a recovery; ended already under the same token with the same outcome it stays as it is."""
        known = self._recoveries.get(command.recovery_id)
        if known is not None and not known.is_open and _closed_alike(known, command):
            return (), known
        found = self._writable(command.recovery_id, command.fencing_token)
        if isinstance(found, DomainError):
            return (), found
        closed = replace(
            found, is_open=False, successful=command.successful, close_ms=now_ms, data=command.data, log_index=index
        )
        return self._put(closed), closed

    def note_stop(self, index: int, command: NoteStop) -> Written:
        """Keep what an executor tells of its stop; told again it stays as it was noted first (F8)."""
        found = self._recoveries.get(command.recovery_id)
        if found is None:
            return (), RecoveryUnknown(command.recovery_id)
        if command.fencing_token > found.fencing_token:
            return (), InvalidField("stop.fencing_token", "is newer than any this recovery was written with")
        if any((stop.fencing_token, stop.step) == (command.fencing_token, command.step) for stop in found.stops):
            return (), found
        if len(found.stops) >= MAX_STOPS:
            return (), TooManyStops(found.recovery_id, MAX_STOPS)
        stop = Stop(
            command.fencing_token, command.step, command.statement, command.outcome_known, command.stop_ms, index
        )
        noted = replace(found, stops=(*found.stops, stop), log_index=index)
        return (*self._put(noted), put(STOPS, stop.to_row(found.recovery_id))), noted

    def note_successor(self, index: int, recovery_id: str, successor: str) -> tuple[Change, ...]:
        """Remember whom a recovery published: anti-flapping looks at it when that instance fails next."""
        found = self._recoveries.get(recovery_id)
        if found is None or found.successor == successor:
            return ()
        return self._put(replace(found, successor=successor, log_index=index))

    def _open(self, recovery_id: str) -> Recovery | DomainError:
        found = self._recoveries.get(recovery_id)
        if found is None:
            return RecoveryUnknown(recovery_id)
        return found if found.is_open else RecoveryClosed(recovery_id)

    def _writable(self, recovery_id: str, fencing_token: int) -> Recovery | DomainError:
        found = self._open(recovery_id)
        if isinstance(found, Recovery) and found.fencing_token != fencing_token:
            return StaleFencingToken(found.fencing_token, fencing_token)
        return found

    def _blocked(self, now_ms: int, command: RegisterRecovery) -> DomainError | None:
        holder = self.open_of(command.cluster_id)
        if holder is not None:
            return RecoveryOpen(holder.recovery_id, holder.cluster_id, holder.fencing_token)
        blocking = max(self._recent(now_ms, command), default=None, key=lambda recovery: recovery.close_ms or 0)
        if blocking is None:
            return None
        return AntiFlapping(blocking.recovery_id, (blocking.close_ms or 0) + command.block_period_ms)

    def _held(self, recovery_id: str, fencing_token: int, writes: Sequence[StepWrite]) -> HoldOpen | None:
        """Return the hold of an older token on an instance that is about to be changed (F5, F10)."""
        touched = {write.instance for write in writes if write.instance and write.phase == Phase.INTENT}
        if not touched:
            return None
        ended = {(recovery_id, write.number) for write in writes if write.phase != Phase.INTENT}
        for hold in self.holds():
            older = hold.fencing_token < fencing_token and (hold.recovery_id, hold.step) not in ended
            if older and hold.instance in touched:
                return HoldOpen(hold.instance, hold.recovery_id, hold.step, hold.fencing_token, hold.bound_ms)
        return None

    def _recent(self, now_ms: int, command: RegisterRecovery) -> Iterator[Recovery]:
        for recovery in self._recoveries.values():
            concerned = command.cluster_id == recovery.cluster_id or command.failed_instance == recovery.successor
            ended_ms = recovery.close_ms if recovery.successful else None
            if concerned and ended_ms is not None and now_ms < ended_ms + command.block_period_ms:
                yield recovery

    def _forget_oldest(self) -> tuple[Change, ...]:
        closed = [recovery for recovery in self._recoveries.values() if not recovery.is_open]
        if len(closed) <= MAX_CLOSED:
            return ()
        oldest = min(closed, key=_age)
        del self._recoveries[oldest.recovery_id]
        steps = (delete(STEPS, (oldest.recovery_id, step.number)) for step in oldest.steps)
        stops = (delete(STOPS, (oldest.recovery_id, stop.fencing_token, stop.step)) for stop in oldest.stops)
        return (delete(RECOVERIES, (oldest.recovery_id,)), *steps, *stops)

    def _put_steps(
        self, recovery: Recovery, steps: Iterable[Step], *, data: bytes, log_index: int
    ) -> tuple[Change, ...]:
        by_number = {step.number: step for step in (*recovery.steps, *steps)}
        written = replace(recovery, data=data, log_index=log_index, steps=in_order(by_number.values()))
        rows = [put(STEPS, step.to_row(recovery.recovery_id)) for step in steps]
        return (*self._put(written), *rows)

    def _put(self, recovery: Recovery) -> tuple[Change, ...]:
        self._recoveries[recovery.recovery_id] = recovery
        if recovery.is_open:
            self._open_ids[recovery.cluster_id] = recovery.recovery_id
        elif self._open_ids.get(recovery.cluster_id) == recovery.recovery_id:
            del self._open_ids[recovery.cluster_id]
        return (put(RECOVERIES, recovery.to_row()),)


def _age(recovery: Recovery) -> tuple[int, str]:
    return recovery.register_ms, recovery.recovery_id


def _registered_again(known: Recovery, command: RegisterRecovery) -> Recovery | DomainError:
    if (known.cluster_id, known.failed_instance) != (command.cluster_id, command.failed_instance):
        return RequestIdReused(command.recovery_id)
    if known.is_open and known.fencing_token != command.fencing_token:
        return RecoveryOpen(known.recovery_id, known.cluster_id, known.fencing_token)
    return known


def _closed_alike(known: Recovery, command: CloseRecovery) -> bool:
    same_writer = known.fencing_token == command.fencing_token
    return same_writer and known.data == command.data and known.successful == command.successful


def _next_step(found: Recovery, index: int, now_ms: int, write: StepWrite) -> Step | StepEnded:
    """Return the step after a write; a repetition gives the step as it is."""
    before = found.step(write.number)
    written = _first_step(found.fencing_token, index, now_ms, write)
    if before is None:
        return written
    if before.fencing_token == found.fencing_token:
        if (before.phase, before.data) == (written.phase, written.data):
            return before
        # Repeating a step is harmless: what nobody knows the outcome of may start again (F10).
        again = before.phase is Phase.UNKNOWN and written.phase is Phase.INTENT
        if before.phase is not Phase.INTENT and not again:
            return StepEnded(found.recovery_id, write.number)
    if written.phase is Phase.INTENT:
        return written  # After an adoption a step may start again (F10).
    instance = written.instance or before.instance
    return replace(written, hold_ms=before.hold_ms, intent_ms=before.intent_ms, instance=instance)


def _first_step(fencing_token: int, index: int, now_ms: int, write: StepWrite) -> Step:
    phase = Phase(write.phase)
    end_ms = None if phase is Phase.INTENT else now_ms
    return Step(write.number, phase, fencing_token, write.hold_ms, write.data, now_ms, end_ms, index, write.instance)
