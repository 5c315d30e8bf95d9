"""Records of recoveries, of their steps, and what of them may still be running: values with rows (13)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from services.consensus.state.commands import Phase
from services.consensus.state.rows import Row


class Step(Struct, frozen=True):
    """One step of a recovery. Times are Unix milliseconds of machine time (T4); `end_ms` None = has not ended.

    Attributes:
        number: 1-based, unique within the recovery.
        fencing_token: Token it was last written with.
        hold_ms: Longest time its statement may run after the intent was proposed; None: it fits the lease (F5).
        data: recovery's own.
        log_index: Entry that last wrote it.
        instance: `host:port` it changes; empty = none, or not said.
    """

    number: int
    phase: Phase
    fencing_token: int
    hold_ms: int | None
    data: bytes
    intent_ms: int
    end_ms: int | None
    log_index: int
    instance: str = ""

    def to_row(self, recovery_id: str) -> Row:
        """Return the row of `state_step`."""
        return (
            recovery_id,
            self.number,
            int(self.phase),
            self.fencing_token,
            self.hold_ms,
            self.data,
            self.intent_ms,
            self.end_ms,
            self.log_index,
            self.instance,
        )

    @classmethod
    def from_row(
        cls,
        number: int,
        phase: int,
        token: int,
        hold_ms: int | None,
        data: bytes,
        intent_ms: int,
        end_ms: int | None,
        log_index: int,
        instance: str,
    ) -> Step:
        """Return the step of a row, its recovery's id left out."""
        return cls(number, Phase(phase), token, hold_ms, data, intent_ms, end_ms, log_index, instance)


class Stop(Struct, frozen=True):
    """An executor stopped within a step because its lease was gone (F8).

    Attributes:
        fencing_token: Of that executor.
        step: Number of the step.
        statement: Sent and not answered; empty = none.
        outcome_known: Whether everything that was sent had been answered.
        stop_ms: Unix milliseconds of its own clock.
        log_index: Entry that noted it.
    """

    fencing_token: int
    step: int
    statement: str
    outcome_known: bool
    stop_ms: int
    log_index: int

    def to_row(self, recovery_id: str) -> Row:
        """Return the row of `state_stop`."""
        known = int(self.outcome_known)
        return (recovery_id, self.fencing_token, self.step, self.statement, known, self.stop_ms, self.log_index)

    @classmethod
    def from_row(cls, token: int, step: int, statement: str, known: int, stop_ms: int, log_index: int) -> Stop:
        """Return the stop of a row, its recovery's id left out."""
        return cls(token, step, statement, bool(known), stop_ms, log_index)


class Hold(Struct, frozen=True):
    """A statement that its executor may still be running, though nobody says that its lease lives (F5).

    Attributes:
        recovery_id / step: What it belongs to.
        instance: `host:port` it changes; empty = not said.
        fencing_token: Of the executor.
        bound_ms: Longest it may run after it was proposed.
        propose_ms: Machine time of its intent, Unix milliseconds (T4).
        log_index: Of its intent.
    """

    recovery_id: str
    step: int
    instance: str
    fencing_token: int
    bound_ms: int
    propose_ms: int
    log_index: int


class Recovery(Struct, frozen=True):
    """A recovery as the journal holds it. Times are Unix milliseconds of machine time (T4).

    Attributes:
        failed_instance: `host:port` it was started for.
        fencing_token: Token it may be written with.
        successful: A successor was promoted; anti-flapping counts it.
        close_ms: None while open.
        successor: `host:port` it published as the new primary; empty = none yet.
        data: recovery's own.
        log_index: Entry that last changed the record, or what belongs to it.
        steps: By number.
        stops: In the order they were noted.
    """

    recovery_id: str
    cluster_id: str
    failed_instance: str
    fencing_token: int
    is_open: bool
    successful: bool
    register_ms: int
    close_ms: int | None
    successor: str
    data: bytes
    log_index: int
    steps: tuple[Step, ...] = ()
    stops: tuple[Stop, ...] = ()

    def step(self, number: int) -> Step | None:
        """Return the step of a number."""
        for step in self.steps:
            if step.number == number:
                return step
        return None

    def to_row(self) -> Row:
        """Return the row of `state_recovery`; steps and stops have rows of their own."""
        return (
            self.recovery_id,
            self.cluster_id,
            self.failed_instance,
            self.fencing_token,
            int(self.is_open),
            int(self.successful),
            self.register_ms,
            self.close_ms,
            self.successor,
            self.data,
            self.log_index,
        )

    @classmethod
    def from_row(
        cls,
        recovery_id: str,
        cluster_id: str,
        failed_instance: str,
        token: int,
        is_open: int,
        successful: int,
        register_ms: int,
        close_ms: int | None,
        successor: str,
        data: bytes,
        log_index: int,
    ) -> Recovery:
        """Return the recovery of a row, without steps and stops."""
        return cls(
            recovery_id,
            cluster_id,
            failed_instance,
            token,
            bool(is_open),
            bool(successful),
            register_ms,
            close_ms,
            successor,
            data,
            log_index,
        )

    def with_steps(self, steps: Iterable[Step]) -> Recovery:
        """Return the recovery with these steps, in order of their number."""
        return replace(self, steps=in_order(steps))

    def with_stops(self, stops: Iterable[Stop]) -> Recovery:
        """Return the recovery with these stops, in the order they were noted."""
        return replace(self, stops=tuple(sorted(stops, key=lambda stop: stop.log_index)))


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return steps by number."""
    return tuple(sorted(steps, key=lambda step: step.number))
