"""What one run has begun: intents with their holds, commands that are being carried out. Pure bookkeeping.

Times are nanoseconds of `CLOCK_BOOTTIME`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from services.recovery.lease import nanoseconds, outlasting_ns
from services.recovery.model import Recovery, Step, StepState, Stop
from services.recovery.turn import Command
from services.shared.topology.key import InstanceKey


class UnderWay:
    """Nothing at first."""

    def __init__(self) -> None:
        self._proposed_ns: dict[int, int] = {}
        self._held_until_ns: dict[InstanceKey, int] = {}
        self._commands: dict[int, Command] = {}

    def propose(self, steps: Iterable[Step], now_ns: int) -> None:
        """Note when intents are proposed: their holds count from then on (rule F5)."""
        for step in steps:
            if step.state is StepState.RUNNING:
                self._proposed_ns[step.number] = now_ns

    def is_proposed(self, step: Step) -> bool:
        """Return whether the intent of a step was proposed in this run."""
        return step.number in self._proposed_ns

    def hold_until_ns(self, step: Step) -> int | None:
        """Return when the hold of a step ends; None when it has none."""
        proposed_ns = self._proposed_ns.get(step.number)
        return None if step.hold is None or proposed_ns is None else proposed_ns + nanoseconds(step.hold)

    def expect_others(self, recovery: Recovery, now_ns: int) -> None:
        """Note where the executor of a former leader may still be at work, and until when (rule F5)."""
        for step in recovery.steps:
            if step.state is StepState.RUNNING and step.hold is not None and step.instance is not None:
                self._held_until_ns[step.instance] = now_ns + outlasting_ns(step.hold)

    def begin(self, command: Command) -> Command:
        """Note that a command is carried out; return it with what it has to wait for."""
        instance = command.step.instance
        held = replace(command, held_until_ns=None if instance is None else self._held_until_ns.get(instance))
        self._commands[command.step.number] = held
        return held

    def end(self, step: Step) -> None:
        """Note that the command of a step has ended."""
        del self._commands[step.number]

    def stops(self, recovery: Recovery, why: str, now: datetime, running: Callable[[InstanceKey], str]) -> list[Stop]:
        """Return what is being stopped, by step.

        Args:
            recovery: As it stands, under the token of this run.
            why: Why it stops, in a sentence.
            now: The wall time.
            running: Returns the statement that an instance has not answered yet.
        """
        found = []
        for number, command in sorted(self._commands.items()):
            instance = command.step.instance
            where, statement = ("", "") if instance is None else (str(instance), running(instance))
            kind = command.step.kind.value
            found.append(Stop(recovery.recovery_id, recovery.fencing_token, number, kind, where, statement, why, now))
        return found
