"""May one instance replicate from another? The table of the recovery specification, section 7.2, in its order.

Lag, downtime, errant GTIDs and data centre play no part here; whether the source still has what the replica lacks is
asked by `candidate.py`, which knows the GTID sets.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.shared.topology.channel import ReplicationFilters
from services.shared.topology.instance import Instance
from services.shared.topology.server import Flavor

FORMAT_ORDER: Final = {"STATEMENT": 0, "MIXED": 1, "ROW": 2}
"""Binary log formats, smaller first: a replica that logs may not read a larger format than its own."""


def major_version(instance: Instance) -> tuple[int, ...]:
    """Return the first two parts of the version as numbers; empty when unknown."""
    return instance.version_numbers


def binlog_format_rank(instance: Instance) -> int:
    """Return the format's place in `FORMAT_ORDER`; an unread format counts as the largest."""
    return FORMAT_ORDER.get(instance.binlog_format.upper(), len(FORMAT_ORDER))


def _same_instance(replica: Instance, source: Instance, _: PlanningPolicy) -> str:
    return "it is the same instance" if replica.key == source.key else ""


def _no_binlog(_: Instance, source: Instance, __: PlanningPolicy) -> str:
    return "" if source.log_bin else f"{source.key} has no binary log"


def _no_log_replica_updates(_: Instance, source: Instance, __: PlanningPolicy) -> str:
    if source.channels and not source.log_replica_updates:
        return f"{source.key} does not log what it replicates"
    return ""


def _lower_version(replica: Instance, source: Instance, policy: PlanningPolicy) -> str:
    if not policy.lower_replica_version_allowed and major_version(replica) < major_version(source):
        return f"its version {replica.version} is lower than {source.version} of {source.key}"
    return ""


def _smaller_format(replica: Instance, source: Instance, _: PlanningPolicy) -> str:
    logs = replica.log_bin and replica.log_replica_updates
    if logs and binlog_format_rank(replica) < binlog_format_rank(source):
        return f"its binary log format {replica.binlog_format} is smaller than {source.binlog_format} of {source.key}"
    return ""


def has_filters(instance: Instance) -> bool | None:
    """Return whether an instance leaves out anything of what it replicates; None = not read."""
    filters = [channel.settings.filters if channel.settings is not None else None for channel in instance.channels]
    if any(each is not None and each != ReplicationFilters() for each in filters):
        return True
    return None if None in filters else False


def _filters_differ(replica: Instance, source: Instance, policy: PlanningPolicy) -> str:
    if policy.verify_replication_filters and has_filters(source) and has_filters(replica) is False:
        return f"{source.key} has replication filters, and it has none"
    return ""


def _same_server_id(replica: Instance, source: Instance, _: PlanningPolicy) -> str:
    if replica.server_id and replica.server_id == source.server_id:
        return f"it has the same server id {replica.server_id} as {source.key}"
    return ""


def _same_server_uuid(replica: Instance, source: Instance, _: PlanningPolicy) -> str:
    # MariaDB has no server UUID of its own: ours is made of the server id and the endpoint.
    if replica.flavor is not Flavor.MARIADB and replica.server_uuid and replica.server_uuid == source.server_uuid:
        return f"it has the same server UUID as {source.key}"
    return ""


def configured_delay(instance: Instance) -> timedelta:
    """Return the largest configured delay of an instance's channels; zero without channels."""
    return max((channel.sql_delay for channel in instance.channels), default=timedelta())


def _less_delayed(replica: Instance, source: Instance, policy: PlanningPolicy) -> str:
    delay = configured_delay(source)
    if configured_delay(replica) < delay and delay > policy.reasonable_maintenance_lag:
        return f"{source.key} is delayed by {delay.total_seconds():g} s, more than it"
    return ""


_RULES: Final[tuple[Callable[[Instance, Instance, PlanningPolicy], str], ...]] = (  # First objection wins.
    _same_instance,
    _no_binlog,
    _no_log_replica_updates,
    _lower_version,
    _smaller_format,
    _filters_differ,
    _same_server_id,
    _same_server_uuid,
    _less_delayed,
)


def why_not_replicate_from(replica: Instance, source: Instance, policy: PlanningPolicy = DEFAULT_POLICY) -> str:
    """Return why a replica may not read from a source, as half a sentence about the replica; empty when it may."""
    for rule in _RULES:
        objection = rule(replica, source, policy)
        if objection:
            return objection
    return ""
