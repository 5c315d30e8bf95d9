"""The statements that change servers, exactly as they are executed, in the words each server understands.

A re-point names the source, the positioning and the heartbeat period only: every other option of the channel (account,
TLS, retry, delay) keeps its value, which both flavors promise for options that a statement does not name. The heartbeat
period must be named, because a change of host or port resets it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from services.shared.mysql.dialect import ChannelConfig, Dialect
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

_UNKNOWN_VERSION: Final = "8.4.0"


def dialect_of(instance: Instance) -> Dialect:
    """Return the words of an instance; of MySQL 8.4 when it was never read."""
    flavor = instance.flavor or Flavor.MYSQL
    try:
        return Dialect.for_server(flavor, instance.version)
    except ValueError:
        return Dialect.for_server(flavor, _UNKNOWN_VERSION)


def _channel_name(instance: Instance, source: InstanceKey) -> str | None:
    """Return which of several channels reads from a source; None = there is only one, or none."""
    if len(instance.channels) < 2:
        return None
    return next((channel.name for channel in instance.channels if channel.source == source), None)


def make_read_only(instance: Instance) -> tuple[str, ...]:
    """Return how an instance is kept from taking writes, its administrators' included where the server knows how.

    A semi-synchronous MySQL primary without replicas holds its commits back until its timeout, then acknowledges them;
    and `super_read_only` waits for those commits. So applications are sent away first, which takes no lock: nobody is
    left who could be told that a commit succeeded when the waiting is ended.
    """
    dialect = dialect_of(instance)
    read_only = str(dialect.set_read_only(True))
    if dialect.mariadb or not instance.semi_sync.source_enabled:
        return (read_only,)
    word = "source" if dialect.version >= (8, 0, 26) else "master"
    return (
        "SET GLOBAL offline_mode = ON",
        f"SET GLOBAL rpl_semi_sync_{word}_enabled = OFF",
        read_only,
        "SET GLOBAL offline_mode = OFF",
    )


def acknowledge(instance: Instance, acknowledges: bool) -> tuple[str, ...]:
    """Return how a replica is made to acknowledge to its source, or not to.

    One that acknowledges must not itself wait for replicas. The IO thread takes the setting over when it starts.
    """
    dialect = dialect_of(instance)
    new_words = not dialect.mariadb and dialect.version >= (8, 0, 26)
    source, replica = ("source", "replica") if new_words else ("master", "slave")
    waiting = bool(acknowledges and instance.semi_sync.source_enabled)
    return (
        *((f"SET GLOBAL rpl_semi_sync_{source}_enabled = OFF",) if waiting else ()),
        f"SET GLOBAL rpl_semi_sync_{replica}_enabled = {'ON' if acknowledges else 'OFF'}",
        str(dialect.stop_io_thread()),
        str(dialect.start_io_thread()),
    )


def freeze(instance: Instance, source: InstanceKey) -> tuple[str, ...]:
    """Return how a replica is made to receive no more from its source, so that its position stands still.

    MariaDB throws unapplied relay logs away when its IO thread starts again under GTID positioning: there the applier
    is let finish first, and then everything is stopped.
    """
    dialect = dialect_of(instance)
    channel = _channel_name(instance, source)
    return (str(dialect.stop_replica(channel) if dialect.mariadb else dialect.stop_io_thread(channel)),)


def unfreeze(instance: Instance, source: InstanceKey) -> tuple[str, ...]:
    """Return how a frozen replica goes on as before, for a recovery that ended before anybody was promoted."""
    dialect = dialect_of(instance)
    channel = _channel_name(instance, source)
    return (str(dialect.start_replica(channel) if dialect.mariadb else dialect.start_io_thread(channel)),)


def drain(instance: Instance) -> tuple[str, ...]:
    """Return how a replica's applier is made to run, whatever stopped it before, and on MySQL without its delay.

    A change of the delay while both threads stand still deletes the relay logs, and with them what was received and not
    applied: so the IO thread runs meanwhile. MariaDB's IO thread deletes them itself when it starts: there the delay
    stays.
    """
    dialect = dialect_of(instance)
    delayed = [channel for channel in instance.channels if channel.sql_delay]
    if dialect.mariadb or not delayed:
        return (str(dialect.start_sql_thread()),)
    word, old = ("REPLICA", False) if dialect.version >= (8, 0, 23) else ("SLAVE", True)
    change = "CHANGE MASTER TO MASTER_DELAY = 0" if old else "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0"
    return (
        f"STOP {word} SQL_THREAD",
        str(dialect.start_io_thread()),
        *(f"{change} FOR CHANNEL '{channel.name}'" for channel in delayed),
        str(dialect.stop_io_thread()),
        str(dialect.start_sql_thread()),
    )


def promote(instance: Instance) -> tuple[str, ...]:
    """Return how replication is taken off a replica for good, and the replica made writable."""
    dialect = dialect_of(instance)
    resets = tuple(str(dialect.reset_replica_all(channel.name)) for channel in instance.channels)
    stop = (str(dialect.stop_replica()),) if resets else ()
    return (*stop, *resets, str(dialect.set_read_only(False)))


def promote_pair(instance: Instance, other: InstanceKey) -> tuple[str, ...]:
    """Return how one of two primaries is made the only one that takes writes.

    It goes on trying to read from the other one, so that the pair heals when that comes back.
    """
    return (str(dialect_of(instance).set_read_only(False)), *unfreeze(instance, other))


def catch_up(instance: Instance, old_source: InstanceKey, new_source: InstanceKey) -> tuple[str, ...]:
    """Return how a replica is made to fetch everything another replica has, at once; it is promoted afterwards.

    What it received from the old source and did not apply is thrown away: the new source has it.
    """
    if any(channel.source == new_source for channel in instance.channels):
        return (str(dialect_of(instance).start_replica(_channel_name(instance, new_source))),)
    return repoint(instance, old_source, new_source, delay=timedelta())


def repoint(
    instance: Instance, old_source: InstanceKey, new_source: InstanceKey, delay: timedelta | None = None
) -> tuple[str, ...]:
    """Return how the channel of a replica that reads from `old_source` is made to read from `new_source`.

    A replica without such a channel gets the statements for its default channel.

    Args:
        instance: The replica.
        old_source: Whom it reads from.
        new_source: Whom it is to read from.
        delay: Its delay from then on; None: as it is.
    """
    dialect = dialect_of(instance)
    channel = next((each for each in instance.channels if each.source == old_source), None)
    using = channel.using_gtid.lower() if channel is not None else ""
    config = ChannelConfig(
        source=new_source,
        name=channel.name if channel is not None else "",
        heartbeat_period=channel.heartbeat_period if channel is not None else None,
        sql_delay=delay if channel is not None and channel.sql_delay else None,
        using_gtid=using if using in ("slave_pos", "current_pos") else "slave_pos",
    )
    name = _channel_name(instance, old_source)
    return (
        str(dialect.stop_replica(name)),
        str(dialect.change_source(config)),
        str(dialect.start_replica(name)),
    )
