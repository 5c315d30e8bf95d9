"""Values of the group <-> proto messages of `GroupService`, both directions, pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.api.convert import duration_from_request, nanoseconds_to_proto, text_from_request
from services.consensus.raft.configuration import DEFAULT_PREFERENCE, Configuration, GroupMember, MemberKind
from services.consensus.raft.status import Blocker
from services.consensus.state.group_settings import GroupSettings
from services.consensus.state.replacements import Replacement, ReplacementState
from services.shared.runtime.errors import InvalidField
from services.shared.runtime.settings import parse_host_port

MAX_MEMBER_ID: Final = 2**63 - 1
MAX_PREFERENCE: Final = 100
_KINDS: Final = {MemberKind.VOTER: pb.MEMBER_KIND_VOTER, MemberKind.LEARNER: pb.MEMBER_KIND_LEARNER}
_REPLACEMENT_STATES: Final = {
    ReplacementState.ADD: pb.Replacement.STATE_ADD,
    ReplacementState.CATCH_UP: pb.Replacement.STATE_CATCH_UP,
    ReplacementState.REMOVE: pb.Replacement.STATE_REMOVE,
    ReplacementState.DONE: pb.Replacement.STATE_DONE,
    ReplacementState.CANCELLED: pb.Replacement.STATE_CANCELLED,
}
_BLOCKERS: Final = {
    Blocker.NO_QUORUM: pb.BLOCKER_NO_QUORUM,
    Blocker.NO_LEADER: pb.BLOCKER_NO_LEADER,
    Blocker.STORE_STALLED: pb.BLOCKER_STORE_STALLED,
    Blocker.STORE_FAILED: pb.BLOCKER_STORE_FAILED,
    Blocker.QUARANTINED: pb.BLOCKER_QUARANTINED,
    Blocker.CLOCK_DRIFT: pb.BLOCKER_CLOCK_DRIFT,
    Blocker.NOT_READY: pb.BLOCKER_NOT_READY,
    Blocker.CATCHING_UP: pb.BLOCKER_CATCHING_UP,
    Blocker.VERSION: pb.BLOCKER_VERSION,
    Blocker.REMOVED: pb.BLOCKER_REMOVED,
}


def member_to_proto(member: GroupMember | None) -> pb.Member | None:
    """Return a member; None stays None (an absent field)."""
    if member is None:
        return None
    return pb.Member(
        member_id=member.member_id,
        name=member.name,
        raft_endpoint=member.raft_endpoint,
        api_endpoint=member.api_endpoint,
        recovery_endpoint=member.recovery_endpoint,
        site=member.site,
        kind=_KINDS[member.kind],
        preference=member.preference,
        incarnation=member.incarnation,
    )


def members_to_proto(configuration: Configuration) -> list[pb.Member]:
    """Return all members, by id."""
    return [message for message in map(member_to_proto, configuration.members) if message is not None]


def blockers_to_proto(blockers: Iterable[Blocker]) -> list[pb.Blocker.ValueType]:
    """Return what stands in the way."""
    return [_BLOCKERS[blocker] for blocker in blockers]


def replacement_to_proto(replacement: Replacement) -> pb.Replacement:
    """Return how far a replacement is."""
    return pb.Replacement(
        replacement_id=replacement.replacement_id,
        old_member_id=replacement.old_member_id,
        new_member=member_to_proto(replacement.new_member),
        state=_REPLACEMENT_STATES[replacement.state],
    )


def settings_to_proto(settings: GroupSettings) -> pb.GroupSettings:
    """Return the settings all members share."""
    return pb.GroupSettings(
        heartbeat=nanoseconds_to_proto(settings.heartbeat),
        election_min=nanoseconds_to_proto(settings.election_min),
        election_max=nanoseconds_to_proto(settings.election_max),
        clock_drift_ppm=settings.clock_drift_ppm,
    )


def settings_from_request(settings: pb.GroupSettings) -> GroupSettings:
    """Return the settings a request asks for; 0 = as it is. Whether they go together is not looked at."""
    heartbeat, election_min, election_max = (
        duration_from_request(getattr(settings, name), f"settings.{name}") // timedelta(microseconds=1) * 1_000
        for name in ("heartbeat", "election_min", "election_max")
    )
    return GroupSettings(heartbeat, election_min, election_max, settings.clock_drift_ppm)


def new_member_from_request(member: pb.Member, field: str, request_id: str) -> GroupMember:
    """Return the learner a request adds.

    An absent id is made of the request's id, so that a repeated request means the same member.
    """
    member_id = member.member_id or drawn_member_id(request_id)
    return GroupMember(
        member_id_from_request(member_id, f"{field}.member_id"),
        name=text_from_request(member.name, f"{field}.name"),
        raft_endpoint=_endpoint(member.raft_endpoint, f"{field}.raft_endpoint", required=True),
        api_endpoint=_endpoint(member.api_endpoint, f"{field}.api_endpoint", required=True),
        recovery_endpoint=_endpoint(member.recovery_endpoint, f"{field}.recovery_endpoint"),
        site=text_from_request(member.site, f"{field}.site", required=False),
        preference=_preference(member, field),
        kind=MemberKind.LEARNER,
    )


def changed_member_from_request(member: pb.Member, known: GroupMember) -> GroupMember:
    """Return a known member with what a request changes of it; empty fields leave what is known."""
    return replace(
        known,
        name=text_from_request(member.name, "member.name", required=False) or known.name,
        raft_endpoint=_endpoint(member.raft_endpoint, "member.raft_endpoint") or known.raft_endpoint,
        api_endpoint=_endpoint(member.api_endpoint, "member.api_endpoint") or known.api_endpoint,
        recovery_endpoint=_endpoint(member.recovery_endpoint, "member.recovery_endpoint") or known.recovery_endpoint,
        site=text_from_request(member.site, "member.site", required=False) or known.site,
        preference=_preference(member, "member") if member.HasField("preference") else known.preference,
    )


def member_id_from_request(member_id: int, field: str = "member_id") -> int:
    """Return a member's id.

    Raises:
        InvalidField: It is none a member can have.
    """
    if not 0 < member_id <= MAX_MEMBER_ID:
        raise InvalidField(field, "is required: the id of a member")
    return member_id


def drawn_member_id(request_id: str) -> int:
    """Return the id that a request without one stands for: 48 bits of its UUID's random ones, never 0."""
    return (uuid.UUID(request_id).int & (2**48 - 1)) or 1


def _endpoint(text: str, field: str, *, required: bool = False) -> str:
    text = text_from_request(text, field, required=required)
    if not text:
        return ""
    try:
        return parse_host_port(text)
    except ValueError as error:
        raise InvalidField(field, str(error)) from None


def _preference(member: pb.Member, field: str) -> int:
    if not member.HasField("preference"):
        return DEFAULT_PREFERENCE
    if member.preference > MAX_PREFERENCE:
        raise InvalidField(f"{field}.preference", f"is not between 0 and {MAX_PREFERENCE}")
    return member.preference
