"""Calls the group through the API of its members, for a member that is not of it at the moment (14.6)."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api.convert_group import member_to_proto
from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind, configuration_of
from services.consensus.raft.model import StoreHealth
from services.consensus.rejoin import GroupNotReached, GroupSeen
from services.consensus.wire.channels import open_peer_channel
from services.shared.runtime.grpc_client import end_if_cancelled
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import parse_error

_LOOK_S: Final = 1.0
_CHANGE_S: Final = 10.0
_SILENT: Final = timedelta(seconds=3)
"""A member that its leader has not heard for so long is not well; a few elections of far data centres."""
_USABLE: Final = frozenset(health.value for health in StoreHealth if health.usable)


class RemoteGroup:
    """Finds the leader by asking those it is told of, and has changes made there."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Take the TLS files of this process."""
        self._settings = settings
        self._leader = GroupMember(0)

    async def look(self, known: Configuration) -> GroupSeen:
        """Return how the group is as its leader sees it."""
        asked: set[str] = set()
        waiting = list(known.members)
        while waiting:
            member = waiting.pop(0)
            if not member.api_endpoint or member.api_endpoint in asked:
                continue
            asked.add(member.api_endpoint)
            try:
                status = await self._status(member)
            except GroupNotReached:
                continue
            if status.role == pb.ROLE_LEADER and status.HasField("leader_lease_valid_for"):
                self._leader = member
                return group_seen(status)
            waiting.insert(0, _member(status.leader))
        raise GroupNotReached(f"no leader was found by asking {', '.join(sorted(asked)) or 'nobody: none is known'}")

    async def remove(self, member_id: int) -> None:
        """Have a member taken out."""
        async with self._stub(self._leader) as stub:
            request = pb.RemoveMemberRequest(request_id=str(uuid.uuid4()), member_id=member_id)
            await stub.RemoveMember(request, timeout=_CHANGE_S)

    async def add(self, member: GroupMember) -> None:
        """Have a learner taken in."""
        async with self._stub(self._leader) as stub:
            request = pb.AddMemberRequest(
                request_id=str(uuid.uuid4()), member=member_to_proto(member), auto_promote=member.auto_promote
            )
            await stub.AddMember(request, timeout=_CHANGE_S)

    async def _status(self, member: GroupMember) -> pb.GetStatusResponse:
        async with self._stub(member) as stub:
            return await stub.GetStatus(pb.GetStatusRequest(), timeout=_LOOK_S)

    @contextlib.asynccontextmanager
    async def _stub(self, member: GroupMember) -> AsyncIterator[pb_grpc.GroupServiceAsyncStub]:
        channel = open_peer_channel(member.api_endpoint, member.name, self._settings)
        try:
            yield pb_grpc.GroupServiceStub(channel)
        except grpc.aio.AioRpcError as error:
            end_if_cancelled()
            raise GroupNotReached(f"{member.name or member.api_endpoint}: {parse_error(error).message}") from error
        finally:
            await channel.close()


def group_seen(status: pb.GetStatusResponse) -> GroupSeen:
    """Return what a leader says of its group."""
    members = configuration_of(map(_member, status.members))
    unfit = frozenset(peer.member.member_id for peer in status.peers if not _is_well(peer))
    return GroupSeen(members, unfit, changing=bool(status.replacements) or status.draining)


def _is_well(peer: pb.PeerStatus) -> bool:
    heard = peer.HasField("last_contact") and peer.last_contact.ToTimedelta() <= _SILENT
    return heard and not peer.quarantined and peer.store_health in _USABLE


def _member(member: pb.Member) -> GroupMember:
    return GroupMember(
        member.member_id,
        name=member.name,
        raft_endpoint=member.raft_endpoint,
        api_endpoint=member.api_endpoint,
        recovery_endpoint=member.recovery_endpoint,
        site=member.site,
        preference=member.preference,
        kind=MemberKind.VOTER if member.kind == pb.MEMBER_KIND_VOTER else MemberKind.LEARNER,
    )
