"""Which changes of an instance matter at once, and which are the ordinary progress of time."""

from __future__ import annotations

from dataclasses import replace

from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.reading import Reading


def is_urgent(old: Instance | None, new: Instance) -> bool:
    """Return whether more has changed than positions, lag, ages and times of reading."""
    return old is None or essence(old) != essence(new)


def essence(instance: Instance) -> Instance:
    """Return the instance without what moves all the time."""
    reading = instance.reading
    return replace(
        instance,
        binlog_position=None,
        executed_gtid_set="",
        purged_gtid_set="",
        binlog_gtid_position="",
        uptime=None,
        channels=tuple(_essence_of_channel(channel) for channel in instance.channels),
        reading=Reading(
            last_check_valid=reading.last_check_valid,
            partial_success=reading.partial_success,
            error_number=reading.error_number,
        ),
    )


def _essence_of_channel(channel: ReplicationChannel) -> ReplicationChannel:
    return replace(
        channel,
        lag=None,
        io_error="",  # Its text has a retry count that grows; the number tells.
        received_gtid_set="",
        read_position=None,
        executed_position=None,
        last_heartbeat_time=None,
    )
