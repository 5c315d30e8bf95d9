"""Instances for the tests of the views, with everything as it should be unless said otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
FRESH = Reading(last_attempted_check_time=NOW, last_checked_time=NOW, last_seen_time=NOW, last_check_valid=True)


def key(name: str) -> InstanceKey:
    """Return the endpoint `<name>:3306`."""
    return InstanceKey(name, 3306)


def channel(source: str, name: str = "", lag_s: float | None = 0) -> ReplicationChannel:
    """Return a channel that replicates from `source`."""
    return ReplicationChannel(
        source=key(source),
        name=name,
        io_state=ThreadState.ON,
        sql_state=ThreadState.ON,
        lag=None if lag_s is None else timedelta(seconds=lag_s),
        gtid_positioning=True,
    )


def primary(name: str) -> Instance:
    """Return a healthy primary of MySQL."""
    return Instance(
        key=key(name),
        server_uuid=f"uuid-{name}",
        flavor=Flavor.MYSQL,
        version="9.7.0-log",
        read_only=False,
        log_bin=True,
        log_replica_updates=True,
        binlog_format="ROW",
        gtid_mode="ON",
        reading=FRESH,
    )


def replica(name: str, source: str, *more: ReplicationChannel, lag_s: float | None = 0) -> Instance:
    """Return a healthy replica of `source`, with further channels."""
    return replace(primary(name), read_only=True, channels=(channel(source, lag_s=lag_s), *more))
