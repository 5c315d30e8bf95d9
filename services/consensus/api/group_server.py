"""The servicer of the group: it translates and delegates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypedDict

from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api import convert_group as convert
from services.consensus.api.convert import duration_from_request, uuid_from_request
from services.consensus.api.convert_status import status_to_proto
from services.consensus.api.watches import PROGRESS_S
from services.consensus.app import ConsensusApp
from services.consensus.group_agreements import GroupAgreements
from services.consensus.group_changes import Changed, GroupChanges
from services.consensus.raft.configuration import Configuration


class _ChangedFields(TypedDict):
    members: list[pb.Member]
    configuration_index: int
    warnings: Sequence[str]


_DEFAULT_HOLD: Final = timedelta(seconds=10)
"""How long a member that stepped down does not campaign, unless the request says otherwise (8.4)."""


class GroupServicer(pb_grpc.GroupServiceServicer):
    """The Raft group itself."""

    def __init__(
        self, app: ConsensusApp, changes: GroupChanges, agreements: GroupAgreements, listed: Configuration
    ) -> None:
        """Take the use cases, and who the settings say is in the group."""
        self._listed = listed
        self._app = app
        self._changes = changes
        self._agreements = agreements

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """Return this member's view."""
        return status_to_proto(self._app, self._listed)

    async def WatchLeader(self, request: pb.WatchLeaderRequest, context: Any) -> AsyncIterator[pb.WatchLeaderResponse]:
        """Stream the leader, the members, and whether leadership is being handed over."""
        loop = self._app.loop
        progress = False
        while True:
            count = loop.leader_changed.count
            yield pb.WatchLeaderResponse(
                revision=count,
                leader=convert.member_to_proto(self._app.leader()),
                term=loop.leadership.term,
                leads_with_lease=loop.leads_with_lease(),
                progress=progress,
                members=convert.members_to_proto(loop.configuration),
                configuration_index=loop.status().configuration_index,
                draining=loop.draining,
            )
            progress = not await loop.leader_changed.wait_beyond(count, PROGRESS_S)

    async def AddMember(self, request: pb.AddMemberRequest, context: Any) -> pb.AddMemberResponse:
        """Take a member in as a learner."""
        request_id = uuid_from_request(request.request_id, "request_id")
        member = convert.new_member_from_request(request.member, "member", request_id)
        member = replace(member, auto_promote=request.auto_promote)
        done = await self._changes.add(member, force=request.force, validate_only=request.validate_only)
        return pb.AddMemberResponse(
            members=convert.members_to_proto(done.configuration),
            configuration_index=done.index,
            member_id=member.member_id,
            warnings=done.warnings,
        )

    async def PromoteMember(self, request: pb.PromoteMemberRequest, context: Any) -> pb.PromoteMemberResponse:
        """Make a learner a voter."""
        uuid_from_request(request.request_id, "request_id")
        member_id = convert.member_id_from_request(request.member_id)
        done = await self._changes.promote(member_id, force=request.force, validate_only=request.validate_only)
        return pb.PromoteMemberResponse(**_changed_to_proto(done))

    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Any) -> pb.RemoveMemberResponse:
        """Take a member out."""
        uuid_from_request(request.request_id, "request_id")
        member_id = convert.member_id_from_request(request.member_id)
        done = await self._changes.remove(member_id, force=request.force, validate_only=request.validate_only)
        return pb.RemoveMemberResponse(**_changed_to_proto(done))

    async def UpdateMember(self, request: pb.UpdateMemberRequest, context: Any) -> pb.UpdateMemberResponse:
        """Change what is known of a member."""
        uuid_from_request(request.request_id, "request_id")
        done = await self._changes.update(
            convert.member_id_from_request(request.member.member_id, "member.member_id"),
            lambda known: convert.changed_member_from_request(request.member, known),
            validate_only=request.validate_only,
        )
        return pb.UpdateMemberResponse(**_changed_to_proto(done))

    async def ReplaceMember(self, request: pb.ReplaceMemberRequest, context: Any) -> pb.ReplaceMemberResponse:
        """Record that a member is to be replaced by another."""
        request_id = uuid_from_request(request.request_id, "request_id")
        replacement = await self._agreements.replace_member(
            request_id,
            convert.member_id_from_request(request.old_member_id, "old_member_id"),
            convert.new_member_from_request(request.new_member, "new_member", request_id),
            validate_only=request.validate_only,
        )
        return pb.ReplaceMemberResponse(replacement=convert.replacement_to_proto(replacement))

    async def CancelReplacement(
        self, request: pb.CancelReplacementRequest, context: Any
    ) -> pb.CancelReplacementResponse:
        """End a replacement."""
        replacement_id = uuid_from_request(request.replacement_id, "replacement_id")
        replacement = await self._agreements.cancel_replacement(replacement_id)
        return pb.CancelReplacementResponse(replacement=convert.replacement_to_proto(replacement))

    async def GetGroupSettings(self, request: pb.GetGroupSettingsRequest, context: Any) -> pb.GetGroupSettingsResponse:
        """Return the settings all members share."""
        settings, log_index = self._agreements.settings()
        return pb.GetGroupSettingsResponse(settings=convert.settings_to_proto(settings), log_index=log_index)

    async def SetGroupSettings(self, request: pb.SetGroupSettingsRequest, context: Any) -> pb.SetGroupSettingsResponse:
        """Change settings for all members."""
        settings, log_index = await self._agreements.set_settings(
            uuid_from_request(request.request_id, "request_id"),
            convert.settings_from_request(request.settings),
            validate_only=request.validate_only,
        )
        return pb.SetGroupSettingsResponse(settings=convert.settings_to_proto(settings), log_index=log_index)

    async def RaiseGroupVersion(
        self, request: pb.RaiseGroupVersionRequest, context: Any
    ) -> pb.RaiseGroupVersionResponse:
        """Raise the version all members speak."""
        version = await self._agreements.raise_version(request.version, validate_only=request.validate_only)
        return pb.RaiseGroupVersionResponse(version=version)

    async def TransferLeadership(
        self, request: pb.TransferLeadershipRequest, context: Any
    ) -> pb.TransferLeadershipResponse:
        """Hand leadership over."""
        done = await self._changes.transfer(request.member_id, force=request.force, validate_only=request.validate_only)
        return pb.TransferLeadershipResponse(leader=convert.member_to_proto(done.leader), term=done.term)

    async def StepDown(self, request: pb.StepDownRequest, context: Any) -> pb.StepDownResponse:
        """Hand leadership to whom it fits best, and leave it there for a while."""
        hold = duration_from_request(request.hold, "hold") if request.HasField("hold") else _DEFAULT_HOLD
        done = await self._changes.transfer(
            hold_s=hold.total_seconds(), force=request.force, validate_only=request.validate_only
        )
        return pb.StepDownResponse(leader=convert.member_to_proto(done.leader), term=done.term)


def _changed_to_proto(done: Changed) -> _ChangedFields:
    """Return the fields that all answers to a change have."""
    return {
        "members": convert.members_to_proto(done.configuration),
        "configuration_index": done.index,
        "warnings": done.warnings,
    }
