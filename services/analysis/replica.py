"""What one direct replica says of its source, judged from its last reading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.analysis.memory import Memory
from services.shared.topology.instance import Instance, InstanceKey, ReplicationChannel, ThreadState

# Error numbers of a connection that could not be made or was lost: refused by the server (too many connections, access
# denied, host blocked or not allowed, user limit), broken packets, and the client library's own. The number decides
# where there is one, because error texts are translated and reworded; the text alone is still enough.
CONNECTION_ERRORS: Final = frozenset(
    {1040, 1045, 1129, 1130, 1158, 1159, 1160, 1161, 1203, 2002, 2003, 2004, 2005, 2006, 2012, 2013, 2026, 2055}
)
_CONNECTION_ERROR_TEXT: Final = re.compile(r"error .*connecting to (master|source)", re.IGNORECASE | re.DOTALL)

# A heartbeat may be late by this much: the replica's scheduling, and the time between two probes.
HEARTBEAT_MARGIN: Final = timedelta(milliseconds=500)


def fails_to_connect(channel: ReplicationChannel) -> bool:
    """Return whether the applier runs and the receiver cannot reach its source, by the server's own word."""
    if channel.sql_state is not ThreadState.ON or channel.io_state is ThreadState.ON:
        return False
    return channel.io_errno in CONNECTION_ERRORS or _CONNECTION_ERROR_TEXT.search(channel.io_error) is not None


def allowed_silence(channel: ReplicationChannel) -> timedelta | None:
    """Return how long a healthy channel may hear nothing; None when it has no heartbeats, or none was ever seen."""
    period = channel.heartbeat_period
    if not period or channel.last_heartbeat_time is None:
        return None
    return max(period + HEARTBEAT_MARGIN, 2 * period)


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """One direct replica, as the rules count it.

    Attributes:
        valid: Its last probe succeeded.
        claims_to_replicate: Valid, and both threads run by its own word.
        silent: It claims to replicate, but nothing reaches it any more.
        failing_to_connect: Valid, and it cannot connect.
        lagging: Known to lag more than the limit; an unknown lag is not lagging.
        delayed: It has a configured delay.
        downtimed: It is in downtime.
    """

    key: InstanceKey
    valid: bool
    claims_to_replicate: bool
    silent: bool
    failing_to_connect: bool
    lagging: bool
    delayed: bool
    downtimed: bool


def in_downtime(instance: Instance, now: datetime) -> bool:
    """Return whether the instance has a downtime that has not ended."""
    return instance.downtime is not None and instance.downtime.end_time > now


def view_replica(
    replica: Instance, source: InstanceKey, memory: Memory, lag_limit: timedelta, now: datetime
) -> ReplicaView:
    """Judge the channels through which a replica reads from `source`; its other channels do not matter here."""
    channels = tuple(channel for channel in replica.channels if channel.source == source)
    valid = replica.reading.succeeded
    claims = valid and any(channel.replicating for channel in channels)
    return ReplicaView(
        key=replica.key,
        valid=valid,
        claims_to_replicate=claims,
        silent=claims and all(_is_silent(replica, channel, memory) for channel in channels if channel.replicating),
        failing_to_connect=valid and not claims and any(fails_to_connect(channel) for channel in channels),
        lagging=any(channel.lag is not None and channel.lag > lag_limit for channel in channels),
        delayed=any(channel.sql_delay > timedelta() for channel in channels),
        downtimed=in_downtime(replica, now),
    )


def _is_silent(replica: Instance, channel: ReplicationChannel, memory: Memory) -> bool:
    allowed = allowed_silence(channel)
    silence = memory.silence(replica, channel)
    return allowed is not None and silence is not None and silence > allowed
