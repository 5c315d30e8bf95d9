"""When a crashed process is started again; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

FIRST_DELAY: Final = timedelta(milliseconds=250)
LONGEST_DELAY: Final = timedelta(seconds=30)
FORGIVEN_AFTER: Final = timedelta(seconds=60)
"""A process that ran this long has earned a fresh start: its next crash is its first."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a process crashed in a row.

    Attributes:
        crashes: Crashes without a long enough run in between.
    """

    crashes: int = 0

    def after_crash(self, ran_for: timedelta) -> Backoff:
        """Return the state after another crash of a process that ran for this long."""
        return Backoff(1 if ran_for >= FORGIVEN_AFTER else self.crashes + 1)

    @property
    def delay(self) -> timedelta:
        """How long to wait before the next start: doubled with every crash in a row, up to the longest delay."""
        if self.crashes == 0:
            return timedelta()
        doublings = min(self.crashes - 1, 16)  # More would only overflow: the longest delay is reached long before.
        return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)
