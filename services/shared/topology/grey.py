"""Grey failures: an instance that answers and yet does not do its work."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta


class WriteProbeState(enum.Enum):
    """How the last write probe of a primary went; `READ_ONLY` is no failure, it is no primary."""

    UNKNOWN = "unknown"
    OK = "ok"
    SLOW = "slow"
    BLOCKED = "blocked"
    DISK_FULL = "disk_full"
    READ_ONLY_FILE_SYSTEM = "read_only_file_system"
    READ_ONLY = "read_only"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class GreyState:
    """How well an instance that answers does its work. Field by field as in `topology.proto`."""

    write_state: WriteProbeState = WriteProbeState.UNKNOWN
    error_number: int = 0
    last_write_time: datetime | None = None
    write_latency: timedelta | None = None
    recent_latency: timedelta | None = None
    baseline_latency: timedelta | None = None
    saturated: bool | None = None
