"""The record of one recovery as its machine keeps it: steps by number, phases, who has to follow whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.recovery.model import PhaseTiming, Recovery, Step, StepKind, StepState
from services.recovery.plan_steps import numbered
from services.recovery.turn import HOLDS, StepResult
from services.shared.topology.key import InstanceKey


class Ledger:
    """A recovery, and what its steps say.

    Attributes:
        recovery: As it stands.
        mark: When the phase that runs began.
    """

    def __init__(self, recovery: Recovery) -> None:
        self.recovery = recovery
        self.mark: datetime | None = None

    def change(self, **facts: Any) -> None:
        """Change fields of the recovery."""
        self.recovery = replace(self.recovery, **facts)

    def is_done(self, kind: StepKind) -> bool:
        """Return whether the newest step of a kind ended well."""
        step = self.recovery.last_step(kind)
        return step is not None and step.state is StepState.DONE

    def promotion_may_have_begun(self, successor: InstanceKey) -> bool:
        """Return whether an earlier PROMOTE of this server ended without an answer."""
        return any(
            step.kind is StepKind.PROMOTE and step.instance == successor and step.state is StepState.UNKNOWN
            for step in self.recovery.steps
        )

    def to_repoint(self) -> tuple[InstanceKey, ...]:
        """Return the replicas that should follow the successor, or another one, and were not yet made to."""
        settled = set(self.recovery.lost_replicas) | {self.recovery.successor}
        for step in self.recovery.steps:
            if step.kind is StepKind.REPOINT and step.state is StepState.DONE:
                settled.add(step.instance)
        return tuple(sorted(each.instance for each in self.recovery.candidates if each.instance not in settled))

    def source_of(self, replica: InstanceKey) -> InstanceKey | None:
        """Return whom a replica is made to follow: as it was planned, or the successor."""
        planned = next((each.source for each in self.recovery.candidates if each.instance == replica), None)
        return planned or self.recovery.successor

    def followers(self) -> tuple[InstanceKey, ...]:
        """Return the replicas that should follow the successor, by endpoint."""
        out = set(self.recovery.lost_replicas) | {self.recovery.successor}
        return tuple(sorted(each.instance for each in self.recovery.candidates if each.instance not in out))

    def append(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Add steps under the next numbers; return them numbered."""
        added = numbered(steps, len(self.recovery.steps) + 1)
        self.recovery = replace(self.recovery, steps=(*self.recovery.steps, *added))
        return added

    def set(self, step: Step) -> Step:
        """Replace the step of this number; return it."""
        steps = tuple(step if each.number == step.number else each for each in self.recovery.steps)
        self.recovery = replace(self.recovery, steps=steps)
        return step

    def ended_steps(self, results: list[StepResult]) -> tuple[Step, ...]:
        """Return the steps that results are about, by number."""
        numbers = {result.number for result in results}
        return tuple(step for step in self.recovery.steps if step.number in numbers)

    def time(self, phase: str, now: datetime) -> None:
        """Note how long a phase took; phases of several attempts add up."""
        assert self.mark is not None
        spent = {timing.phase: timing.elapsed for timing in self.recovery.phases}
        spent[phase] = spent.get(phase, timedelta()) + (now - self.mark)
        self.mark = now
        phases = tuple(PhaseTiming(name, elapsed) for name, elapsed in spent.items())
        self.recovery = replace(self.recovery, phases=phases)

    def running(self, steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
        """Add steps that begin now, with the holds of their kinds."""
        return self.append(
            tuple(replace(s, state=StepState.RUNNING, start_time=now, hold=HOLDS.get(s.kind)) for s in steps)
        )
