"""How good our knowledge of an instance is: the transitions of `Reading`, and when it counts as valid.

A probe that hangs shows before it ends: `last_attempted_check` moves on while `last_seen` stays behind. A success sets
all three times to one instant, so `last_checked <= last_seen` tells the last outcome whatever the clock does between.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from services.discovery.model import Limits, ProbeFailure
from services.shared.topology.reading import Reading

_TICK: Final = timedelta(microseconds=1)


def after_success(reading: Reading, now: datetime, latency: timedelta) -> Reading:
    """Return the reading after a fully successful probe that ended now."""
    end = _not_before(now, reading.last_checked_time)
    return replace(
        reading,
        last_attempted_check_time=end,
        last_checked_time=end,
        last_seen_time=end,
        partial_success=False,
        last_check_valid=True,
        latency=latency,
        error_number=0,
        error="",
    )


def after_failure(reading: Reading, now: datetime, failure: ProbeFailure, limits: Limits) -> Reading:
    """Return the reading after a probe that failed now."""
    failed = replace(
        reading,
        last_checked_time=_after(now, reading.last_seen_time),
        partial_success=failure.partial,
        error_number=failure.number,
        error=failure.problem,
    )
    return replace(failed, last_check_valid=is_valid(failed, limits))


def while_hanging(reading: Reading, now: datetime, limits: Limits) -> Reading:
    """Return the reading while a probe has hung for a second, and has not ended."""
    hanging = replace(reading, last_attempted_check_time=_not_before(now, reading.last_attempted_check_time))
    return replace(hanging, last_check_valid=is_valid(hanging, limits))


def is_valid(reading: Reading, limits: Limits) -> bool:
    """Return whether the last probe that ended succeeded, and none hangs since longer than poll period and grace."""
    return reading.valid_within(limits.poll + limits.grace)


def is_recent(reading: Reading, now: datetime, limits: Limits) -> bool:
    """Return whether a probe ended within five poll periods."""
    return reading.last_checked_time is not None and now - reading.last_checked_time <= 5 * limits.poll


def _not_before(now: datetime, earlier: datetime | None) -> datetime:
    return now if earlier is None else max(now, earlier)


def _after(now: datetime, earlier: datetime | None) -> datetime:
    return now if earlier is None else max(now, earlier + _TICK)
