"""Clients, operators and executors as scripts: generators that pause, or ask something and wait for the answer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many nanoseconds."""

    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Wait for the answer to what was asked under this waiter, but not longer than `within` nanoseconds."""

    waiter: int
    within: int


class Fate(Enum):
    """What became of something that was asked."""

    DONE = "done"
    NOT_DONE = "not_done"
    """Certainly in no log."""
    UNKNOWN = "unknown"
    """May or may not happen; silence means the same."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `result` is the state machine's, or what blocks a change of the group."""

    fate: Fate
    result: object = None
    index: int = 0


UNKNOWN = Reply(Fate.UNKNOWN)
NOT_DONE = Reply(Fate.NOT_DONE)
T = TypeVar("T")
Script = Generator[Pause | Answer, Any, T]
"""A script that ends with a value."""


class Process:
    """Runs one script in virtual time."""

    def __init__(self, world: World, script: Script[None]) -> None:
        """Start now."""
        self._world = world
        self._script = script
        self._turn = 0  # Grows with each resumption: what comes later for an earlier wait is void.
        self.alive = True
        self._resume(self._turn, None)

    def stop(self) -> None:
        """End where it stands."""
        self.alive = False
        self._turn += 1
        self._script.close()

    def _resume(self, turn: int, value: object) -> None:
        if turn != self._turn or not self.alive:
            return
        self._turn += 1
        turn = self._turn
        try:
            wait = self._script.send(value)
        except StopIteration:
            self.alive = False
            return
        if isinstance(wait, Pause):
            self._world.schedule(wait.length, self._resume, turn, None)
        else:
            self._world.expect(wait.waiter, lambda reply: self._resume(turn, reply))
            self._world.schedule(wait.within, self._resume, turn, UNKNOWN)
