"""What an instance is in its topology, by its own word (section 3.2 of the failure analysis the rules follow)."""

from __future__ import annotations

import enum

from services.analysis.replica import fails_to_connect
from services.shared.topology.group import GroupMemberRole, GroupMemberState
from services.shared.topology.instance import Instance


class InstanceType(enum.Enum):
    """What an instance is called in findings; the value is orchestrator's name."""

    CO_PRIMARY = "co-master"
    GROUP_MEMBER = "group-member"
    PRIMARY = "master"
    INTERMEDIATE = "intermediate-master"
    """Also a replica that nobody reads from."""


def is_primary(instance: Instance) -> bool:
    """Return whether the instance reads from nobody, and its group, if it has one, says that it takes the writes."""
    group = instance.group
    return not instance.sources and (group is None or not group.name or group.role is GroupMemberRole.PRIMARY)


def is_group_member(instance: Instance) -> bool:
    """Return whether the instance belongs to a replication group; only offline ones do not, those in error do."""
    group = instance.group
    return group is not None and bool(group.name) and group.state is not GroupMemberState.OFFLINE


def cannot_reach_source(instance: Instance) -> bool:
    """Return whether, as last reported and however long ago, a channel's IO thread fails to connect to its source."""
    return any(fails_to_connect(channel) for channel in instance.channels)
