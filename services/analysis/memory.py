"""What earlier readings showed, where a verdict needs more than the last one.

Three things need a past: how long a channel has heard nothing, how long a binary log position has stood still, and when
the replication of an instance's replicas was last restarted. The first two end with the newest *reading of that
server*, never with now: while nobody reads a server, nothing is known to stand still.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition


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
        self._restarts: dict[InstanceKey, datetime] = {}
        self._pseudo_gtid: set[InstanceKey] = set()

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
        self._restarts.pop(key, None)
        self._pseudo_gtid.discard(key)

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
        sampled = seen - (replica.reading.latency or timedelta())
        # Where the age was measured by a clock that does not jump, it is worth more than the difference of two times.
        age = sampled - heartbeat if channel.heartbeat_age is None else channel.heartbeat_age
        return max(timedelta(), min(sampled - since.time, age))

    def standstill(self, instance: Instance) -> timedelta | None:
        """Return for how long a suspected position has stood still; None when it is not suspected, or moved."""
        since = self._suspected.get(instance.key)
        seen = _position_time(instance)
        if since is None or seen is None or since.value != instance.binlog_position:
            return None
        return max(timedelta(), seen - since.time)

    def suspect_position(self, instance: Instance) -> None:
        """Remember the instance's position as possibly standing still; the first-seen time is kept while it does."""
        position: BinlogPosition | None = instance.binlog_position
        seen = _position_time(instance)
        if position is None or seen is None:
            self._suspected.pop(instance.key, None)
            return
        self._suspected[instance.key] = _first_seen(self._suspected.get(instance.key), position, seen)

    def suspect_since(self, key: InstanceKey, position: BinlogPosition, seen: datetime) -> None:
        """Take over a suspicion that another memory had."""
        self._suspected[key] = _Since(position, seen)

    def note_restart(self, key: InstanceKey, time: datetime) -> None:
        """Remember that the replication of an instance's replicas was restarted."""
        self._restarts[key] = time

    def restarted_within(self, key: InstanceKey, grace: timedelta, now: datetime) -> bool:
        """Return whether the replication of its replicas was restarted less than `grace` ago."""
        restart = self._restarts.get(key)
        return restart is not None and now < restart + grace

    def note_pseudo_gtid(self, key: InstanceKey, *, present: bool) -> None:
        """Remember whether the binary log of an instance carries Pseudo-GTID."""
        if present:
            self._pseudo_gtid.add(key)
        else:
            self._pseudo_gtid.discard(key)

    def has_pseudo_gtid(self, key: InstanceKey) -> bool:
        """Return whether the binary log of an instance is known to carry Pseudo-GTID."""
        return key in self._pseudo_gtid

    def clear_position(self, key: InstanceKey) -> None:
        """Drop the suspicion: the situation that raised it is over."""
        self._suspected.pop(key, None)


def _position_time(instance: Instance) -> datetime | None:
    """Return when the binary log position was read: a short probe may have left it out."""
    return instance.binlog_position_time or instance.reading.last_seen_time


def _first_seen(before: _Since | None, value: Hashable, seen: datetime) -> _Since:
    return before if before is not None and before.value == value else _Since(value, seen)
