"""Times and spans <-> their messages; None is an absent field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf import duration_pb2, timestamp_pb2


def time_to_proto(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return the timestamp; None stays None (an absent field)."""
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def time_from_proto(stamp: timestamp_pb2.Timestamp) -> datetime:
    """Return the timezone-aware time in UTC; ask `HasField` first."""
    return stamp.ToDatetime(tzinfo=UTC)


def duration_to_proto(value: timedelta | None) -> duration_pb2.Duration | None:
    """Return the duration; None stays None (an absent field)."""
    if value is None:
        return None
    duration = duration_pb2.Duration()
    duration.FromTimedelta(value)
    return duration


def duration_from_proto(duration: duration_pb2.Duration) -> timedelta:
    """Return the span; ask `HasField` first."""
    return duration.ToTimedelta()
