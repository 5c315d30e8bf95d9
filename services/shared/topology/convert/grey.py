"""Grey failures <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.grey import GreyState, WriteProbeState

_STATES: Final = {
    pb.WRITE_PROBE_STATE_UNSPECIFIED: WriteProbeState.UNKNOWN,
    pb.WRITE_PROBE_STATE_OK: WriteProbeState.OK,
    pb.WRITE_PROBE_STATE_SLOW: WriteProbeState.SLOW,
    pb.WRITE_PROBE_STATE_BLOCKED: WriteProbeState.BLOCKED,
    pb.WRITE_PROBE_STATE_DISK_FULL: WriteProbeState.DISK_FULL,
    pb.WRITE_PROBE_STATE_READ_ONLY_FILE_SYSTEM: WriteProbeState.READ_ONLY_FILE_SYSTEM,
    pb.WRITE_PROBE_STATE_READ_ONLY: WriteProbeState.READ_ONLY,
    pb.WRITE_PROBE_STATE_FAILED: WriteProbeState.FAILED,
}
_STATES_OUT: Final = {value: name for name, value in _STATES.items()}


def grey_to_proto(grey: GreyState | None) -> pb.GreyState | None:
    """Return the state; None stays None (an absent field)."""
    if grey is None:
        return None
    return pb.GreyState(
        write_state=_STATES_OUT[grey.write_state],
        error_number=grey.error_number,
        last_write_time=time_to_proto(grey.last_write_time),
        write_latency=duration_to_proto(grey.write_latency),
        recent_latency=duration_to_proto(grey.recent_latency),
        baseline_latency=duration_to_proto(grey.baseline_latency),
        saturated=grey.saturated,
    )


def grey_from_proto(message: pb.GreyState) -> GreyState:
    """Return the state; ask `HasField` first."""
    has = message.HasField
    return GreyState(
        write_state=_STATES.get(message.write_state, WriteProbeState.UNKNOWN),
        error_number=message.error_number,
        last_write_time=time_from_proto(message.last_write_time) if has("last_write_time") else None,
        write_latency=duration_from_proto(message.write_latency) if has("write_latency") else None,
        recent_latency=duration_from_proto(message.recent_latency) if has("recent_latency") else None,
        baseline_latency=duration_from_proto(message.baseline_latency) if has("baseline_latency") else None,
        saturated=message.saturated if has("saturated") else None,
    )
