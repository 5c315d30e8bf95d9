"""May one instance replicate from another? The table of the recovery specification, section 7.2, in its order.

Lag, downtime, errant GTIDs and data centre play no part here; whether the source still has what the replica lacks is
asked by `candidate.py`, which knows the GTID sets.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from services.shared.topology.instance import Flavor, Instance

FORMAT_ORDER: Final = {"STATEMENT": 0, "MIXED": 1, "ROW": 2}
"""Binary log formats, smaller first: a replica that logs may not read a larger format than its own."""

DELAY_LIMIT: Final = timedelta(seconds=20)
"""A source delayed by more than this may not feed a replica that is delayed less (rule 9)."""


def major_version(instance: Instance) -> tuple[int, ...]:
    """Return the first two parts of the version as numbers; empty when unknown."""
    return instance.version_numbers


def binlog_format_rank(instance: Instance) -> int:
    """Return the format's place in `FORMAT_ORDER`; an unread format counts as the largest."""
    return FORMAT_ORDER.get(instance.binlog_format.upper(), len(FORMAT_ORDER))


def _same_instance(replica: Instance, source: Instance) -> str:
    return "it is the same instance" if replica.key == source.key else ""


def _no_binlog(_: Instance, source: Instance) -> str:
    return "" if source.log_bin else f"{source.key} has no binary log"


def _no_log_replica_updates(_: Instance, source: Instance) -> str:
    if source.channels and not source.log_replica_updates:
        return f"{source.key} does not log what it replicates"
    return ""


def _lower_version(replica: Instance, source: Instance) -> str:
    if major_version(replica) < major_version(source):
        return f"its version {replica.version} is lower than {source.version} of {source.key}"
    return ""


def _smaller_format(replica: Instance, source: Instance) -> str:
    logs = replica.log_bin and replica.log_replica_updates
    if logs and binlog_format_rank(replica) < binlog_format_rank(source):
        return f"its binary log format {replica.binlog_format} is smaller than {source.binlog_format} of {source.key}"
    return ""


def _same_server_id(replica: Instance, source: Instance) -> str:
    if replica.server_id and replica.server_id == source.server_id:
        return f"it has the same server id {replica.server_id} as {source.key}"
    return ""


def _same_server_uuid(replica: Instance, source: Instance) -> str:
    # MariaDB has no server UUID of its own: ours is made of the server id and the endpoint.
    if replica.flavor is not Flavor.MARIADB and replica.server_uuid and replica.server_uuid == source.server_uuid:
        return f"it has the same server UUID as {source.key}"
    return ""


def configured_delay(instance: Instance) -> timedelta:
    """Return the largest configured delay of an instance's channels; zero without channels."""
    return max((channel.sql_delay for channel in instance.channels), default=timedelta())


def _less_delayed(replica: Instance, source: Instance) -> str:
    delay = configured_delay(source)
    if configured_delay(replica) < delay and delay > DELAY_LIMIT:
        return f"{source.key} is delayed by {delay.total_seconds():g} s, more than it"
    return ""


_RULES: Final[tuple[Callable[[Instance, Instance], str], ...]] = (  # First objection wins.
    _same_instance,
    _no_binlog,
    _no_log_replica_updates,
    _lower_version,
    _smaller_format,
    _same_server_id,
    _same_server_uuid,
    _less_delayed,
)


def why_not_replicate_from(replica: Instance, source: Instance) -> str:
    """Return why a replica may not read from a source, as half a sentence about the replica; empty when it may.

    Replication filters are not compared, and a lower version is never allowed (the reference's settings
    `VerifyReplicationFilters` and `LowerReplicaVersionAllowed` at their defaults).
    """
    for rule in _RULES:
        objection = rule(replica, source)
        if objection:
            return objection
    return ""
