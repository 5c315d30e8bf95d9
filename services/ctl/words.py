"""Small pieces of wording every view uses: endpoints, enum names, spans of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from primacy.topology.v1 import topology_pb2

UNKNOWN = "?"
"""What stands for a value that was not read; never zero."""


def enum_word(kind: object, number: int, prefix: str) -> str:
    """Return an enum value as a word: `STEP_KIND_CATCH_UP` -> `catch-up`; a number when the name is not known."""
    return enum_code(kind, number, prefix).lower().replace("_", "-")


def enum_code(kind: object, number: int, prefix: str) -> str:
    """Return an enum value's name without its prefix: `REFUSAL_REASON_NO_GTID` -> `NO_GTID`."""
    name: str
    try:
        name = kind.Name(number)  # type: ignore[attr-defined]  # Generated wrappers share no public base class.
    except ValueError:
        return str(number)
    return name.removeprefix(prefix)


def endpoint_text(endpoint: topology_pb2.Endpoint) -> str:
    """Return `host:port`, or `-` for an absent endpoint."""
    if not endpoint.host:
        return "-"
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def span_text(value: timedelta) -> str:
    """Return a span of time with two or three significant digits: `8 ms`, `1.24 s`, `3m05s`, `2h04m`, `5d03h`."""
    seconds = value.total_seconds()
    if seconds < 0:
        return f"-{span_text(-value)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24:02d}h"


def duration_text(value: Duration) -> str:
    """Return a proto duration as text; ask `HasField` first."""
    return span_text(value.ToTimedelta())


def time_text(value: Timestamp) -> str:
    """Return an instant as `2026-01-31 12:00:00.123Z`; ask `HasField` first."""
    return f"{value.ToDatetime(tzinfo=UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def clock_text(value: Timestamp) -> str:
    """Return the time of day of an instant, `12:00:00.123Z`; ask `HasField` first."""
    return time_text(value)[11:]


def age_text(value: Timestamp, now: datetime) -> str:
    """Return how long ago an instant was, never less than nothing."""
    return span_text(max(timedelta(), now - value.ToDatetime(tzinfo=UTC)))
