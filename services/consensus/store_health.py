"""Judges the store by how long its writes take and by what its writer reports (8.6). Pure.

OK and SLOW may lead. A write unfinished for `stall_ns` is STALLED; FULL and FAILED are reported. Out of these three
the way back is a finished write and then three probe writes in a row, each within 100 ms.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from services.consensus.ports import Broken, Probed, Report, Trouble, Written
from services.consensus.raft.model import MILLISECOND, StoreHealth

PROBES: Final = 3
PROBE_NS: Final = 100 * MILLISECOND


class StoreWatch:
    """Health of one store."""

    def __init__(self, slow_ns: int, stall_ns: int) -> None:
        self.health = StoreHealth.OK
        self.problem = ""
        self._slow_ns = slow_ns
        self._stall_ns = stall_ns
        self._told = StoreHealth.OK
        self._submitted: deque[int] = deque()
        self._probes_wanted = 0
        self._good_probes = 0

    def submitted(self, now: int) -> None:
        """Note that a write was handed to the writer."""
        self._submitted.append(now)

    def reported(self, report: Report, now: int) -> int | None:
        """Take a report; return the number of the last batch that is durable now."""
        match report:
            case Written(number, writes):
                for _ in range(writes):
                    self._submitted.popleft()
                self._finished()
                return number or None
            case Trouble(health, problem):
                self.problem = problem
                if not health.usable:
                    self.health = health
            case Probed(elapsed_ns):
                self._probed(elapsed_ns)
            case Broken(problem):
                self.problem = problem
                self.health = StoreHealth.FAILED
        self.tick(now)
        return None

    def tick(self, now: int) -> None:
        """Look how long the oldest unfinished write takes."""
        age = now - self._submitted[0] if self._submitted else 0
        if age > self._stall_ns and self.health.usable:
            self.health = StoreHealth.STALLED
            self.problem = self.problem or "a write does not finish"
        elif age > self._slow_ns and self.health is StoreHealth.OK:
            self.health = StoreHealth.SLOW

    def take_change(self) -> StoreHealth | None:
        """Return the health if it changed since the last call."""
        if self.health is self._told:
            return None
        self._told = self.health
        return self.health

    def take_probes(self) -> int:
        """Return how many probe writes to start now."""
        wanted, self._probes_wanted = self._probes_wanted, 0
        return wanted

    def _finished(self) -> None:
        if self.health is StoreHealth.SLOW:
            self._recovered()
        elif not self.health.usable:
            self._good_probes = 0
            self._probes_wanted = 1

    def _probed(self, elapsed_ns: int) -> None:
        self._good_probes = self._good_probes + 1 if elapsed_ns <= PROBE_NS else 0
        if self._good_probes >= PROBES:
            self._recovered()
        else:
            self._probes_wanted = 1

    def _recovered(self) -> None:
        self.health = StoreHealth.OK
        self.problem = ""
