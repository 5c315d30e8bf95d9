"""Replication groups, as their members see them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from services.shared.topology.key import InstanceKey


class GroupMemberState(enum.Enum):
    """State of a member, as its group has it; only `ONLINE` counts as taking part."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    RECOVERING = "recovering"
    OFFLINE = "offline"
    ERROR = "error"
    UNREACHABLE = "unreachable"


class GroupMemberRole(enum.Enum):
    """Role of a member of a replication group."""

    UNKNOWN = "unknown"
    PRIMARY = "primary"
    SECONDARY = "secondary"


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One member, as another (or itself) sees it."""

    key: InstanceKey
    server_uuid: str = ""
    state: GroupMemberState = GroupMemberState.UNKNOWN
    role: GroupMemberRole = GroupMemberRole.UNKNOWN
    version: str = ""


@dataclass(frozen=True, slots=True)
class GroupState:
    """A replication group, as one of its members sees it. Field by field as in `topology.proto`."""

    name: str
    single_primary: bool | None = None
    state: GroupMemberState = GroupMemberState.UNKNOWN
    role: GroupMemberRole = GroupMemberRole.UNKNOWN
    view_id: str = ""
    members: tuple[GroupMember, ...] = ()
