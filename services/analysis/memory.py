"""What earlier readings showed, where a verdict needs more than the last one.

Two things need a past: how long a channel has heard nothing, and how long a binary log position has stood still. Both
end with the newest *reading of that server*, never with now: while nobody reads a server, nothing is known to stand
still.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.shared.topology.instance import BinlogPosition, Instance, InstanceKey, ReplicationChannel, ThreadState


@dataclass(frozen=True, slots=True)
class _Since:
    """A value, and the end of the reading that showed it first."""

    value: Hashable
    time: datetime


def _received(channel: ReplicationChannel) -> Hashable:
    """Return what changes whenever an event reaches the channel, also in the middle of a transaction."""
    return (channel.source, channel.read_position, channel.received_gtid_set)


class Memory:
    """First-seen times, fed by `note` with every changed instance."""

    def __init__(self) -> None:
        self._received: dict[InstanceKey, dict[str, _Since]] = {}
        self._suspected: dict[InstanceKey, _Since] = {}

    def note(self, instance: Instance) -> None:
        """Take in a reading; a failed one shows nothing and changes nothing."""
        seen = instance.reading.last_seen_time
        if seen is None or not instance.reading.succeeded:
            return
        before = self._received.get(instance.key, {})
        after = {
            channel.name: _first_seen(before.get(channel.name), _received(channel), seen)
            for channel in instance.channels
            if channel.io_state is ThreadState.ON
        }
        if after:
            self._received[instance.key] = after
        else:
            self._received.pop(instance.key, None)

    def forget(self, key: InstanceKey) -> None:
        """Drop what is known of an instance that is gone."""
        self._received.pop(key, None)
        self._suspected.pop(key, None)

    def silence(self, replica: Instance, channel: ReplicationChannel) -> timedelta | None:
        """Return for how long, at least, neither a heartbeat nor an event has reached a channel; None: not known.

        The time of the last heartbeat is by our clock, as discovery reads it. A transaction that takes long to arrive
        brings no heartbeats; that the received position has not moved since an earlier reading says the rest.
        """
        since = self._received.get(replica.key, {}).get(channel.name)
        seen = replica.reading.last_seen_time
        heartbeat = channel.last_heartbeat_time
        if since is None or seen is None or heartbeat is None or since.value != _received(channel):
            return None
        # The last probe sampled the channel no earlier than it began.
        return max(timedelta(), seen - (replica.reading.latency or timedelta()) - max(since.time, heartbeat))

    def standstill(self, instance: Instance) -> timedelta | None:
        """Return for how long a suspected position has stood still; None when it is not suspected, or moved."""
        since = self._suspected.get(instance.key)
        seen = instance.reading.last_seen_time
        if since is None or seen is None or since.value != instance.binlog_position:
            return None
        return max(timedelta(), seen - since.time)

    def suspect_position(self, instance: Instance) -> None:
        """Remember the instance's position as possibly standing still; the first-seen time is kept while it does."""
        position: BinlogPosition | None = instance.binlog_position
        seen = instance.reading.last_seen_time
        if position is None or seen is None:
            self._suspected.pop(instance.key, None)
            return
        self._suspected[instance.key] = _first_seen(self._suspected.get(instance.key), position, seen)

    def clear_position(self, key: InstanceKey) -> None:
        """Drop the suspicion: the situation that raised it is over."""
        self._suspected.pop(key, None)


def _first_seen(before: _Since | None, value: Hashable, seen: datetime) -> _Since:
    return before if before is not None and before.value == value else _Since(value, seen)
