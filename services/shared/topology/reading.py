"""How good, and how old, what we know of an instance is, and why a probe of it failed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta


class FailureKind(enum.Enum):
    """Why a probe failed, as far as what follows differs."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    LOST = "lost"
    ACCESS_DENIED = "access_denied"
    PRIVILEGE_MISSING = "privilege_missing"
    SATURATED = "saturated"
    NOT_MYSQL = "not_mysql"
    NOT_UNDERSTOOD = "not_understood"
    REFUSED = "refused"
    NAME_NOT_RESOLVED = "name_not_resolved"


@dataclass(frozen=True, slots=True)
class ReadingGap:
    """Something that could not be read although the instance answers.

    Attributes:
        what: Name of the statement, or of the operator's query.
        error_number: MySQL's number; 0 = none.
        problem: Why, for people.
        remedy: What mends it; empty = not known.
    """

    what: str
    error_number: int
    problem: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """How good, and how old, what we know of an instance is. Field by field as in `topology.proto`."""

    last_attempted_check_time: datetime | None = None
    last_checked_time: datetime | None = None
    last_seen_time: datetime | None = None
    partial_success: bool = False
    last_check_valid: bool = False
    latency: timedelta | None = None
    error_number: int = 0
    error: str = ""
    failure_kind: FailureKind | None = None
    age: timedelta | None = None
    slow: bool = False
    gaps: tuple[ReadingGap, ...] = ()

    def valid_within(self, window: timedelta) -> bool:
        """Return whether the last probe that ended succeeded, and none hangs for longer than the window since then."""
        seen, attempted = self.last_seen_time, self.last_attempted_check_time
        if seen is None or not self.succeeded:
            return False
        return attempted is None or attempted <= seen + window

    @property
    def succeeded(self) -> bool:
        """The last probe that ended was fully successful (`last_checked <= last_seen`); never read is not."""
        if self.last_checked_time is None or self.last_seen_time is None:
            return False
        return self.last_checked_time <= self.last_seen_time
