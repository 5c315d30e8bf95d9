"""When each instance is probed next: jittered polls, and back-off for those that do not answer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

from services.shared.topology.key import InstanceKey

DEAD_POLL_FIRST_NS: Final = 1_000_000_000
"""First wait after a failed probe: a restarted server, or a former primary that is back, must be seen soon."""
_GROWTH: Final = 1.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to probe.

    Attributes:
        poll_ns: Between probes of an instance that answers.
        primary_poll_ns: The same for one that takes writes, or did when it was last read, and also when it does not
            answer: a hung primary must be noticed soon, and so must a former one that is back.
        jitter: Share of a wait by which it varies, 0 to 0.5.
        dead_poll_max_ns: Longest wait for one that does not.
    """

    poll_ns: int
    primary_poll_ns: int
    jitter: float
    dead_poll_max_ns: int


class Schedule:
    """Due times by instance, in nanoseconds of boot time. Every known instance has exactly one."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._due_ns: dict[InstanceKey, int] = {}
        self._failures: dict[InstanceKey, int] = {}
        self._heap: list[tuple[int, InstanceKey]] = []

    def at(self, key: InstanceKey, due_ns: int) -> None:
        """Make an instance due at a time, instead of when it was."""
        self._due_ns[key] = due_ns
        heapq.heappush(self._heap, (due_ns, key))

    def after_probe(
        self, key: InstanceKey, now_ns: int, *, answered: bool, chance: float, primary: bool = False
    ) -> None:
        """Make an instance due again after a probe.

        Args:
            key: The instance.
            now_ns: When the probe ended.
            answered: Whether it succeeded.
            chance: Uniform in 0..1, for the jitter.
            primary: Whether it takes writes, or did when it was last read.
        """
        failures = 0 if answered else self._failures.get(key, 0) + 1
        self._failures[key] = failures
        wait_ns = self._wait_ns(failures)
        if primary:
            wait_ns = min(wait_ns, self._pace.primary_poll_ns)
        self.at(key, now_ns + int(wait_ns * (1 + self._pace.jitter * (2 * chance - 1))))

    def _wait_ns(self, failures: int) -> float:
        if failures == 0:
            return self._pace.poll_ns
        grown = min(DEAD_POLL_FIRST_NS, self._pace.poll_ns) * _GROWTH ** min(failures - 1, 40)
        return min(grown, max(self._pace.dead_poll_max_ns, self._pace.poll_ns))

    def remove(self, key: InstanceKey) -> None:
        """Never probe an instance again; unknown ones are ignored."""
        self._due_ns.pop(key, None)
        self._failures.pop(key, None)

    def take_due(self, now_ns: int) -> list[InstanceKey]:
        """Return the instances that are due, soonest first; each must get `after_probe`, `at` or `remove` later."""
        due: list[InstanceKey] = []
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, key = heapq.heappop(self._heap)
            if self._due_ns.get(key) == due_ns:  # Else it was made due at another time, or removed.
                due.append(key)
        return list(dict.fromkeys(due))

    def next_due_ns(self) -> int | None:
        """Return when the next instance is due; None when none is."""
        while self._heap and self._due_ns.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
