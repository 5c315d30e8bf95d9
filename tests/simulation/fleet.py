"""Simulated MySQL instances: they record every statement they accept, and under which token (13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

CLUSTERS = ("shop", "mail")
INSTANCES_EACH = 2


@dataclass(slots=True)
class Statement:
    """One accepted statement. Times are true ones; `end` moves forward when its session is killed."""

    token: int
    begin: int
    end: int
    is_hold: bool


class Instance:
    """One server. `fences`: it lets a newer token kill the sessions of older ones (F9)."""

    def __init__(self, world: World, name: str, fences: bool) -> None:
        """Start without sessions."""
        self.name = name
        self._world = world
        self._fences = fences
        self._sessions: set[int] = set()
        self._statements: list[Statement] = []
        self._newest = 0

    def connect(self, token: int) -> bool:
        """Open a session under a token; False when one of a newer token is there."""
        if not self._fences:
            return True
        if any(session > token for session in self._sessions):
            return False
        self._sessions = {token}
        for statement in self._statements:
            if statement.token < token:
                statement.end = min(statement.end, self._world.now)
        return True

    def disconnect(self, token: int) -> None:
        """Close a session."""
        self._sessions.discard(token)

    def run(self, token: int, duration: int, is_hold: bool) -> Statement | None:
        """Accept a statement, unless its session was killed; the rules of I9 are looked at."""
        if self._fences and token not in self._sessions:
            return None
        now = self._world.now
        facts = f"{self.name}: statement of {token} after one of {self._newest}"
        self._world.checker.must(token >= self._newest, "I9", facts)
        self._statements = [statement for statement in self._statements if statement.end > now]
        for other in self._statements:
            facts = f"{self.name}: statement of {token} while one of {other.token} runs"
            self._world.checker.must(other.token >= token, "I9", facts)
        self._newest = token
        made = Statement(token, now, now + duration, is_hold)
        self._statements.append(made)
        return made


class Fleet:
    """All clusters and their instances."""

    def __init__(self, world: World) -> None:
        """Start with everything idle."""
        fences = world.weights.instances_fence
        self.clusters = CLUSTERS
        self.instances = {
            cluster: [Instance(world, f"{cluster}{number}:3306", fences) for number in range(INSTANCES_EACH)]
            for cluster in CLUSTERS
        }

    def find(self, name: str) -> Instance:
        """Return the instance of a name."""
        return next(instance for group in self.instances.values() for instance in group if instance.name == name)

    def disconnect(self, token: int) -> None:
        """Close all sessions of a token."""
        for group in self.instances.values():
            for instance in group:
                instance.disconnect(token)
