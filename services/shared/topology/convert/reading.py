"""Readings <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.reading import FailureKind, Reading, ReadingGap

_KINDS: Final = {
    pb.FAILURE_KIND_UNSPECIFIED: None,
    pb.FAILURE_KIND_UNREACHABLE: FailureKind.UNREACHABLE,
    pb.FAILURE_KIND_TIMEOUT: FailureKind.TIMEOUT,
    pb.FAILURE_KIND_LOST: FailureKind.LOST,
    pb.FAILURE_KIND_ACCESS_DENIED: FailureKind.ACCESS_DENIED,
    pb.FAILURE_KIND_PRIVILEGE_MISSING: FailureKind.PRIVILEGE_MISSING,
    pb.FAILURE_KIND_SATURATED: FailureKind.SATURATED,
    pb.FAILURE_KIND_NOT_MYSQL: FailureKind.NOT_MYSQL,
    pb.FAILURE_KIND_NOT_UNDERSTOOD: FailureKind.NOT_UNDERSTOOD,
    pb.FAILURE_KIND_REFUSED: FailureKind.REFUSED,
    pb.FAILURE_KIND_NAME_NOT_RESOLVED: FailureKind.NAME_NOT_RESOLVED,
}
_KINDS_OUT: Final = {value: name for name, value in _KINDS.items()}


def reading_to_proto(reading: Reading) -> pb.Reading:
    """Return a reading as message."""
    return pb.Reading(
        last_attempted_check_time=time_to_proto(reading.last_attempted_check_time),
        last_checked_time=time_to_proto(reading.last_checked_time),
        last_seen_time=time_to_proto(reading.last_seen_time),
        partial_success=reading.partial_success,
        last_check_valid=reading.last_check_valid,
        latency=duration_to_proto(reading.latency),
        error_number=reading.error_number,
        error=reading.error,
        failure_kind=_KINDS_OUT[reading.failure_kind],
        age=duration_to_proto(reading.age),
        slow=reading.slow,
        gaps=[_gap_to_proto(gap) for gap in reading.gaps],
    )


def reading_from_proto(message: pb.Reading) -> Reading:
    """Return a reading as value."""
    return Reading(
        last_attempted_check_time=(
            time_from_proto(message.last_attempted_check_time)
            if message.HasField("last_attempted_check_time")
            else None
        ),
        last_checked_time=(
            time_from_proto(message.last_checked_time) if message.HasField("last_checked_time") else None
        ),
        last_seen_time=time_from_proto(message.last_seen_time) if message.HasField("last_seen_time") else None,
        partial_success=message.partial_success,
        last_check_valid=message.last_check_valid,
        latency=duration_from_proto(message.latency) if message.HasField("latency") else None,
        error_number=message.error_number,
        error=message.error,
        failure_kind=_KINDS.get(message.failure_kind),
        age=duration_from_proto(message.age) if message.HasField("age") else None,
        slow=message.slow,
        gaps=tuple(_gap_from_proto(gap) for gap in message.gaps),
    )


def _gap_to_proto(gap: ReadingGap) -> pb.ReadingGap:
    return pb.ReadingGap(what=gap.what, error_number=gap.error_number, problem=gap.problem, remedy=gap.remedy)


def _gap_from_proto(message: pb.ReadingGap) -> ReadingGap:
    return ReadingGap(message.what, message.error_number, message.problem, message.remedy)
