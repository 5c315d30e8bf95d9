"""Clocks, for the edge: the core takes time as an argument.

Durations and deadlines use `CLOCK_BOOTTIME`, which counts suspend and is the same for all processes of one host
(clock_gettime(2)). Wall time only labels records for people.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path


def boottime_ns() -> int:
    """Return nanoseconds since boot, suspend included; never goes back."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def utc_now() -> datetime:
    """Return the wall time, timezone-aware in UTC."""
    return datetime.now(UTC)


def boot_id() -> str:
    """Return what identifies this boot of this host: values of `boottime_ns` compare only within one boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
