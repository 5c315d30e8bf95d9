"""Replication groups <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.group import GroupMember, GroupMemberRole, GroupMemberState, GroupState

_STATES: Final = {
    pb.GROUP_MEMBER_STATE_UNSPECIFIED: GroupMemberState.UNKNOWN,
    pb.GROUP_MEMBER_STATE_ONLINE: GroupMemberState.ONLINE,
    pb.GROUP_MEMBER_STATE_RECOVERING: GroupMemberState.RECOVERING,
    pb.GROUP_MEMBER_STATE_OFFLINE: GroupMemberState.OFFLINE,
    pb.GROUP_MEMBER_STATE_ERROR: GroupMemberState.ERROR,
    pb.GROUP_MEMBER_STATE_UNREACHABLE: GroupMemberState.UNREACHABLE,
}
_STATES_OUT: Final = {value: name for name, value in _STATES.items()}
_ROLES: Final = {
    pb.GROUP_MEMBER_ROLE_UNSPECIFIED: GroupMemberRole.UNKNOWN,
    pb.GROUP_MEMBER_ROLE_PRIMARY: GroupMemberRole.PRIMARY,
    pb.GROUP_MEMBER_ROLE_SECONDARY: GroupMemberRole.SECONDARY,
}
_ROLES_OUT: Final = {value: name for name, value in _ROLES.items()}


def group_to_proto(group: GroupState | None) -> pb.GroupState | None:
    """Return the group; None stays None (an absent field)."""
    if group is None:
        return None
    return pb.GroupState(
        name=group.name,
        single_primary=group.single_primary,
        state=_STATES_OUT[group.state],
        role=_ROLES_OUT[group.role],
        view_id=group.view_id,
        members=[_member_to_proto(member) for member in group.members],
    )


def group_from_proto(message: pb.GroupState) -> GroupState:
    """Return the group; ask `HasField` first."""
    return GroupState(
        name=message.name,
        single_primary=message.single_primary if message.HasField("single_primary") else None,
        state=_STATES.get(message.state, GroupMemberState.UNKNOWN),
        role=_ROLES.get(message.role, GroupMemberRole.UNKNOWN),
        view_id=message.view_id,
        members=tuple(_member_from_proto(member) for member in message.members),
    )


def _member_to_proto(member: GroupMember) -> pb.GroupMember:
    return pb.GroupMember(
        endpoint=key_to_proto(member.key),
        server_uuid=member.server_uuid,
        state=_STATES_OUT[member.state],
        role=_ROLES_OUT[member.role],
        version=member.version,
    )


def _member_from_proto(message: pb.GroupMember) -> GroupMember:
    return GroupMember(
        key=key_from_proto(message.endpoint),
        server_uuid=message.server_uuid,
        state=_STATES.get(message.state, GroupMemberState.UNKNOWN),
        role=_ROLES.get(message.role, GroupMemberRole.UNKNOWN),
        version=message.version,
    )
