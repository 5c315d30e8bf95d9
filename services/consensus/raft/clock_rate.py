"""How fast a peer's clock runs against ours: the assumption under the leader lease, checked all the time (L5).

A peer reads its clock at some moment between our sending a heartbeat and the arrival of the answer. Two such readings
half a minute apart bound its rate from both sides; the shorter the round trips, the narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SECOND: Final = 1_000_000_000
_MILLION: Final = 1_000_000
WINDOW_NS: Final = 30 * _SECOND
SETTLE_NS: Final = 2 * _SECOND
"""At both ends of a window the reading with the shortest round trip within this time counts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The peer's clock read `clock` at some moment between `sent_at` and `arrived_at` of ours. Nanoseconds."""

    sent_at: int
    arrived_at: int
    clock: int

    @property
    def width(self) -> int:
        """How unsure the moment is."""
        return self.arrived_at - self.sent_at


class ClockRate:
    """The rate of one peer's clock, newest window.

    Attributes:
        ppm: How much faster it runs than ours, in millionths, at best guess; None before the first window's end.
        differs_ppm: How much it differs at least, whatever the delays were; never negative.
    """

    def __init__(self) -> None:
        """Start without a reading."""
        self.ppm: int | None = None
        self.differs_ppm = 0
        self._first: Reading | None = None
        self._last: Reading | None = None
        self._began = 0

    def observe(self, reading: Reading) -> None:
        """Take a reading; readings come in the order of their arrival."""
        if self._first is None or reading.clock < self._first.clock:  # Its host was restarted.
            self._begin(reading)
            return
        age = reading.arrived_at - self._began
        if age < SETTLE_NS:
            self._first = min(self._first, reading, key=lambda one: one.width)
        elif age >= WINDOW_NS:
            self._last = reading if self._last is None else min(self._last, reading, key=lambda one: one.width)
            if age >= WINDOW_NS + SETTLE_NS:
                self._fit(self._first, self._last)
                self._begin(reading)

    def _begin(self, reading: Reading) -> None:
        self._first, self._last, self._began = reading, None, reading.arrived_at

    def _fit(self, first: Reading, last: Reading) -> None:
        elapsed = last.clock - first.clock
        slowest = elapsed * _MILLION // (last.arrived_at - first.sent_at) - _MILLION
        fastest = elapsed * _MILLION // max(1, last.sent_at - first.arrived_at) - _MILLION
        self.ppm = (slowest + fastest) // 2
        self.differs_ppm = max(0, slowest, -fastest)
