"""What goes into the state machine of a recovery, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.recovery.model import Step, StepKind, StepState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

HOLDS: Final = {
    StepKind.FENCE: timedelta(seconds=2),
    StepKind.FREEZE: timedelta(seconds=5),
    StepKind.CATCH_UP: timedelta(seconds=20),
    StepKind.DRAIN: timedelta(seconds=10),
    StepKind.PROMOTE: timedelta(seconds=20),
    StepKind.REPOINT: timedelta(seconds=30),
}
"""Longest time the statements of a step may run after its intent (rule F5). None outlasts 30 s."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to carry out for a step.

    Attributes:
        step: The step; its kind says what to do, its statements are what a change consists of.
        instance: The server concerned, as last read; None for PUBLISH.
        failed: The failed primary.
        successor: Who is promoted, once chosen.
        successor_server_uuid: Its server UUID.
        target: CATCH_UP and DRAIN: the GTID set that must be executed.
        followers: VERIFY: replicas that should follow the successor, as last read.
        sources: VERIFY: whom followers read from that do not follow the successor itself.
        timeout: CATCH_UP and DRAIN: longest time to wait.
        held_until_ns: An older executor may still be at work at this server: its session is ended first, and waited
            for until then, on `CLOCK_BOOTTIME` (rule F5). None = there is none to expect.
    """

    step: Step
    instance: Instance | None
    failed: InstanceKey
    successor: InstanceKey | None = None
    successor_server_uuid: str = ""
    target: str = ""
    followers: tuple[Instance, ...] = ()
    sources: Mapping[InstanceKey, InstanceKey] = field(default_factory=dict)
    timeout: timedelta = timedelta(seconds=10)
    held_until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a command.

    Attributes:
        number: Number of its step.
        state: DONE, FAILED (the server was not changed, or is as `remaining` says) or UNKNOWN.
        outcome: What came of it, in a sentence.
        error: What went wrong, in a sentence.
        remaining: Statements that are left to do.
        reading: FREEZE: the replica as it is now; None when it could not be read.
        gtid_set: FENCE: what the fenced primary had executed afterwards; None when it was not fenced.
        epoch: PUBLISH: epoch of the new entry.
        dead: The server did not answer before anything was sent to it.
    """

    number: int
    state: StepState
    outcome: str = ""
    error: str = ""
    remaining: tuple[str, ...] = ()
    reading: Instance | None = None
    gtid_set: str | None = None
    epoch: int = 0
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What follows.

    Attributes:
        record: Steps to write to the journal, in one entry.
        commands: To carry out, all at once.
        together: The commands need not wait for the entry.
        close: The recovery has ended: close its record, after everything else.
    """

    record: tuple[Step, ...] = ()
    commands: tuple[Command, ...] = ()
    together: bool = False
    close: bool = False
