"""What one direct replica says of its source, judged from its last reading."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.analysis.memory import Memory
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

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


class GtidKind(enum.Enum):
    """How a replica positions itself in its source's binary log, if by transactions."""

    ORACLE = "auto-position"
    MARIADB = "MariaDB GTID"
    BINLOG_SERVER = "binlog server"


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
        logging: Known to write what it replicates to its binary log.
        binlog_format: In capitals; empty when not known.
        major_version: First two parts of the version (`8.4`); empty when not known.
        semi_sync: The replica side of semi-synchronous replication is known to be switched on.
        gtid_mode: As the server says it.
        gtid_kinds: How it positions itself; empty: by file and offset.
        errant: Transactions its source never had.
        co_primary: It is one of two primaries that read from each other.
    """

    key: InstanceKey
    valid: bool
    claims_to_replicate: bool
    silent: bool
    failing_to_connect: bool
    lagging: bool
    delayed: bool
    downtimed: bool
    logging: bool
    binlog_format: str
    major_version: str
    semi_sync: bool
    gtid_mode: str
    gtid_kinds: frozenset[GtidKind]
    errant: str
    co_primary: bool


def lag_of(channel: ReplicationChannel) -> timedelta | None:
    """Return how far a channel is behind: by the operator's query where it works, else by the server's word."""
    return channel.lag if channel.query_lag is None else channel.query_lag


def in_downtime(instance: Instance, now: datetime) -> bool:
    """Return whether the instance has a downtime that has not ended."""
    return instance.downtime is not None and instance.downtime.end_time > now


def is_binlog_server(instance: Instance) -> bool:
    """Return whether the instance is a MaxScale binlog server, which only its version tells."""
    return "maxscale" in f"{instance.version} {instance.version_comment}".lower()


def view_replica(
    replica: Instance, source: frozenset[InstanceKey], memory: Memory, lag_limit: timedelta, now: datetime
) -> ReplicaView:
    """Judge the channels through which a replica reads from its source; its other channels do not matter here.

    Args:
        replica: The replica as last read.
        source: The endpoints its source is known under.
        memory: What earlier readings showed.
        lag_limit: A replica that lags more is lagging.
        now: Decides whether its downtime is over.
    """
    channels = tuple(channel for channel in replica.channels if channel.source in source)
    valid = replica.reading.succeeded
    claims = valid and any(channel.replicating for channel in channels)
    return ReplicaView(
        key=replica.key,
        valid=valid,
        claims_to_replicate=claims,
        silent=claims and all(_is_silent(replica, channel, memory) for channel in channels if channel.replicating),
        failing_to_connect=valid and not claims and any(fails_to_connect(channel) for channel in channels),
        lagging=any(lag > lag_limit for lag in map(lag_of, channels) if lag is not None),
        delayed=any(channel.sql_delay > timedelta() for channel in channels),
        downtimed=in_downtime(replica, now),
        logging=replica.log_bin is True and replica.log_replica_updates is True,
        binlog_format=replica.binlog_format.upper(),
        major_version=".".join(replica.version.split(".")[:2]),
        semi_sync=replica.semi_sync.replica_enabled is True,
        gtid_mode=replica.gtid_mode,
        gtid_kinds=_gtid_kinds(replica, channels),
        errant=replica.errant_gtid_set,
        co_primary=replica.co_primary,
    )


def _gtid_kinds(replica: Instance, channels: tuple[ReplicationChannel, ...]) -> frozenset[GtidKind]:
    kinds = {GtidKind.BINLOG_SERVER} if is_binlog_server(replica) else set()
    if all(channel.gtid_positioning or channel.using_gtid not in ("", "No") for channel in channels):
        mariadb = replica.flavor is Flavor.MARIADB or any(channel.using_gtid for channel in channels)
        kinds.add(GtidKind.MARIADB if mariadb else GtidKind.ORACLE)
    return frozenset(kinds)


def _is_silent(replica: Instance, channel: ReplicationChannel, memory: Memory) -> bool:
    allowed = allowed_silence(channel)
    silence = memory.silence(replica, channel)
    return allowed is not None and silence is not None and silence > allowed
