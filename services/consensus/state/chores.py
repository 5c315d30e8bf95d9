"""What a leader changes in the group by itself, derived from what is there: nothing is remembered (section 9). Pure.

In this order: record the store a member showed, carry a replacement on (M4), let a learner vote (M3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind
from services.consensus.raft.events import AddLearner, MemberChange, PromoteMember, RemoveMember, UpdateMember
from services.consensus.state.replacements import Replacement, ReplacementState


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What a member said of itself: the UUID of its store, and the newest group version it speaks."""

    incarnation: str
    version: int


@dataclass(frozen=True, slots=True)
class Chores:
    """What a leader looks at.

    Attributes:
        configuration: The newest.
        incarnations: Stores that members showed in their hellos, by id; this member's own included.
        replacement: The open one; None = none.
        auto_promote: Learners that were added for it may vote.
    """

    configuration: Configuration
    incarnations: Mapping[int, str]
    replacement: Replacement | None
    auto_promote: bool


def wanted_changes(seen: Chores) -> Iterator[MemberChange]:
    """Yield the changes to try, the most urgent first; at most one can be made at a time (M2)."""
    for member in seen.configuration.members:
        incarnation = seen.incarnations.get(member.member_id, "")
        if not member.incarnation and incarnation:
            yield UpdateMember(replace(member, incarnation=incarnation))
    if seen.replacement is not None:
        yield from _next_step(seen.replacement)
    if seen.auto_promote:
        for member in seen.configuration.members:
            if member.kind is MemberKind.LEARNER and member.auto_promote:
                yield PromoteMember(member.member_id)


def _next_step(replacement: Replacement) -> Iterator[MemberChange]:
    match replacement.state:
        case ReplacementState.ADD:
            yield AddLearner(replacement.new_member)
        case ReplacementState.CATCH_UP:
            yield PromoteMember(replacement.new_member.member_id)
        case ReplacementState.REMOVE:
            yield RemoveMember(replacement.old_member_id)


def newest_common_version(configuration: Configuration, spoken: Mapping[int, int]) -> int:
    """Return the newest group version that every voter is known to speak; 0 = one of them never said (18.4).

    Args:
        configuration: The newest.
        spoken: Newest version of each member, by id.
    """
    return min((spoken.get(voter, 0) for voter in configuration.voters), default=0)


def leads_out(replacement: Replacement | None, leader: GroupMember | None) -> bool:
    """Tell whether the leader itself is what a replacement has yet to remove: it hands over first (M5)."""
    return (
        replacement is not None
        and leader is not None
        and replacement.state is ReplacementState.REMOVE
        and replacement.old_member_id == leader.member_id
    )
