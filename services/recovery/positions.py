"""What an instance has, as GTID sets: executed, and received but not yet applied.

None means unknown, which is not the empty set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.shared.mysql.gtid import (
    GtidFormatError,
    GtidSet,
    MariadbGtidSet,
    MixedGtidFlavors,
    MysqlGtidSet,
    parse_gtid_set,
)
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.server import Flavor


def union(left: GtidSet, right: GtidSet) -> GtidSet:
    """Return the transactions that are in either set.

    Raises:
        MixedGtidFlavors: MySQL and MariaDB sets do not compare.
    """
    if isinstance(left, MysqlGtidSet) and isinstance(right, MysqlGtidSet):
        return left.union(right)
    if isinstance(left, MariadbGtidSet) and isinstance(right, MariadbGtidSet):
        return left.union(right)
    raise MixedGtidFlavors(f"{left!r} and {right!r} do not compare")


def missing(of: GtidSet, in_set: GtidSet) -> GtidSet:
    """Return the transactions of one set that the other lacks.

    Raises:
        MixedGtidFlavors: MySQL and MariaDB sets do not compare.
    """
    if isinstance(of, MysqlGtidSet) and isinstance(in_set, MysqlGtidSet):
        return of.subtract(in_set)
    if isinstance(of, MariadbGtidSet) and isinstance(in_set, MariadbGtidSet):
        return of.subtract(in_set)
    raise MixedGtidFlavors(f"{of!r} and {in_set!r} do not compare")


def empty_set(flavor: Flavor) -> GtidSet:
    """Return the empty set of a flavor."""
    return parse_gtid_set(flavor, "")


def union_all(flavor: Flavor, sets: Iterable[GtidSet]) -> GtidSet:
    """Return the union of sets of one flavor."""
    whole = empty_set(flavor)
    for part in sets:
        whole = union(whole, part)
    return whole


def _parse(flavor: Flavor | None, text: str) -> GtidSet | None:
    if flavor is None:
        return None
    try:
        return parse_gtid_set(flavor, text)
    except GtidFormatError:
        return None


def executed(instance: Instance) -> GtidSet | None:
    """Return what an instance executed as last seen; None when it was never read or has a form we do not know."""
    if not instance.executed_gtid_set and instance.reading.last_seen_time is None:
        return None
    return _parse(instance.flavor, instance.executed_gtid_set)


def purged(instance: Instance) -> GtidSet | None:
    """Return what an instance has no longer in its binary logs; None when that has a form we do not know."""
    return _parse(instance.flavor, instance.purged_gtid_set)


def channel_from(instance: Instance, source: InstanceKey) -> ReplicationChannel | None:
    """Return the channel by which an instance reads from a source, or None."""
    return next((channel for channel in instance.channels if channel.source == source), None)


def received(instance: Instance, source: InstanceKey) -> GtidSet | None:
    """Return everything an instance has: executed, and received from a source.

    An empty received set means nothing after a restart or a re-point: the executed set says more, so it is the union.
    """
    base = executed(instance)
    channel = channel_from(instance, source)
    if base is None or channel is None:
        return base
    relayed = _parse(instance.flavor, channel.received_gtid_set)
    return None if relayed is None else union(base, relayed)


def received_position(instance: Instance, source: InstanceKey) -> BinlogPosition | None:
    """Return up to where in the log of its source an instance received; None = unknown."""
    channel = channel_from(instance, source)
    if channel is None:
        return None
    return channel.read_position or channel.executed_position


def applied_all(instance: Instance, source: InstanceKey) -> bool | None:
    """Return whether an instance has applied everything it received from a source; None = unknown."""
    channel = channel_from(instance, source)
    if channel is not None and not channel.gtid_positioning:
        if channel.read_position is None or channel.executed_position is None:
            return None
        return channel.read_position == channel.executed_position
    has, done = received(instance, source), executed(instance)
    return None if has is None or done is None else not missing(has, done)


@dataclass(frozen=True, slots=True)
class Held:
    """What one replica of a failed primary has.

    Attributes:
        everything: Executed and received; None = unknown.
        errant: Those of them that the primary never had.
    """

    everything: GtidSet | None
    errant: GtidSet | None

    @property
    def replicated(self) -> GtidSet | None:
        """Everything that came from the primary."""
        if self.everything is None or self.errant is None:
            return None
        return missing(self.everything, self.errant)


def held(replica: Instance, failed: Instance, replica_uuids: Iterable[str]) -> Held:
    """Return what a replica has.

    Errant is what discovery found so, and what carries the server UUID of a replica although the primary was never seen
    to have it. MariaDB positions do not tell who wrote what lies before the newest transaction: there only discovery's
    word counts.

    Args:
        replica: The replica, read after the failure.
        failed: The failed primary as last seen.
        replica_uuids: Server UUIDs of all replicas of the primary.
    """
    everything = received(replica, failed.key)
    if everything is None or replica.flavor is None:
        return Held(None, None)
    errant = _parse(replica.flavor, replica.errant_gtid_set) or empty_set(replica.flavor)
    had = executed(failed)
    if isinstance(everything, MysqlGtidSet) and isinstance(had, MysqlGtidSet):
        own = everything.only_uuids(uuid for uuid in replica_uuids if uuid)
        errant = union(errant, own.subtract(had))
    return Held(everything, errant)
