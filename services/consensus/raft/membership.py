"""Changes of the group: which configuration holds, and which change may be made next (section 9).

A configuration holds from the moment its entry is appended, and ends when that entry is truncated (M1). One change at
a time, of one voter at a time (M2): then majorities of neighbouring configurations overlap (thesis, 4.1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from services.consensus.raft.configuration import (
    NEVER_LEADS,
    Configuration,
    GroupMember,
    MemberKind,
    decode_configuration,
)
from services.consensus.raft.events import AddLearner, MemberChange, PromoteMember, RemoveMember, UpdateMember
from services.consensus.raft.model import NOBODY, Entry, EntryKind, InvariantViolated
from services.consensus.raft.outputs import ChangeBlocker

MAX_VOTERS: Final = 7
CAUGHT_UP_ENTRIES: Final = 64
"""A peer at most this far behind the end of the log has caught up (M3, 8.2)."""
CAUGHT_UP_ROUNDS: Final = 2
"""For so many rounds of heartbeats in a row a learner must have been caught up before it votes (M3)."""


class Configurations:
    """The configurations of one member's log: the newest committed one, and those appended after it."""

    def __init__(self, committed: Configuration, index: int, entries: Iterable[Entry]) -> None:
        """Start from what is committed, at `index`, and the entries of the log; those up to `index` do not count."""
        self._held: list[tuple[int, Configuration]] = [(index, committed)]
        self.appended(entry for entry in entries if entry.index > index)

    @property
    def newest(self) -> Configuration:
        """The one that holds (M1)."""
        return self._held[-1][1]

    @property
    def newest_index(self) -> int:
        """Where it stands in the log; 0 = bootstrap."""
        return self._held[-1][0]

    def appended(self, entries: Iterable[Entry]) -> bool:
        """Take the configurations among new entries; True when there was one.

        Raises:
            InvariantViolated: A3 (a configuration of a version this member does not know).
        """
        found = [(entry.index, _decode(entry)) for entry in entries if entry.kind is EntryKind.CONFIG]
        self._held += found
        return bool(found)

    def truncated(self, from_index: int) -> bool:
        """Fall back to what held before the log from an index on; True when that is another one (M1)."""
        count = len(self._held)
        while self._held[-1][0] >= from_index and len(self._held) > 1:
            self._held.pop()
        return len(self._held) < count

    def committed(self, index: int) -> None:
        """Forget what can never be fallen back to."""
        while len(self._held) > 1 and self._held[1][0] <= index:
            del self._held[0]


def _decode(entry: Entry) -> Configuration:
    try:
        return decode_configuration(entry.data)
    except ValueError as error:
        raise InvariantViolated("A3", f"entry {entry.index}: {error}") from error


@dataclass(frozen=True, slots=True)
class GroupView:
    """What a leader knows that decides about a change.

    Attributes:
        member_id: The leader.
        configuration: The newest.
        ready: The NOOP of the leader's term is committed and applied (E12).
        change_open: The newest configuration is not committed yet.
        transferring: The leader is handing over.
        heard: Members heard within E and trusted, the leader included.
        caught_up: Members close to the end of the log for two rounds, whose store is well (M3).
    """

    member_id: int
    configuration: Configuration
    ready: bool
    change_open: bool
    transferring: bool
    heard: Collection[int]
    caught_up: Collection[int]


def judge_change(change: MemberChange, view: GroupView, *, force: bool) -> ChangeBlocker | None:
    """Tell what is in the way of a change; None = nothing (M2, M3, M5, M6).

    Args:
        change: What is asked for.
        view: The group as its leader sees it.
        force: Leave out what an operator may answer for: a quorum at risk, a learner that is behind.
    """
    if view.transferring:
        return ChangeBlocker.TRANSFER_RUNNING
    if not view.ready:
        return ChangeBlocker.NOT_READY
    if view.change_open:
        return ChangeBlocker.CHANGE_OPEN
    blocker = _unfit(change, view.configuration, view.member_id)
    if blocker is not None:
        return blocker
    after = changed(change, view.configuration, NOBODY)
    if not any(member.votes and member.preference > NEVER_LEADS for member in after.members):
        return ChangeBlocker.LAST_VOTER
    if len(after.voters) > MAX_VOTERS:
        return ChangeBlocker.TOO_MANY_VOTERS
    return None if force else _risk(change, view, after)


def changed(change: MemberChange, configuration: Configuration, at_index: int) -> Configuration:
    """Return the successor of a configuration that stands at `at_index`; the change is fit for it."""
    match change:
        case AddLearner(member):
            return configuration.with_member(replace(member, kind=MemberKind.LEARNER), at_index)
        case PromoteMember(member_id):
            return configuration.promoted(member_id, at_index)
        case RemoveMember(member_id):
            return configuration.without(member_id, at_index)
        case UpdateMember(member):
            known = configuration.find(member.member_id)
            assert known is not None, "the change is fit"
            return configuration.with_member(replace(member, kind=known.kind), at_index)


def _unfit(change: MemberChange, configuration: Configuration, leader: int) -> ChangeBlocker | None:
    """Tell why a change makes no sense for a configuration."""
    asked = change.member.member_id if isinstance(change, AddLearner | UpdateMember) else change.member_id
    known = configuration.find(asked)
    if isinstance(change, AddLearner):
        fresh = known is None and asked != NOBODY and not _taken(change.member, configuration)
        return None if fresh else ChangeBlocker.ALREADY_MEMBER
    if known is None:
        return ChangeBlocker.UNKNOWN_MEMBER
    match change:
        case PromoteMember() if known.votes:
            return ChangeBlocker.ALREADY_MEMBER
        case RemoveMember() if asked == leader:
            return ChangeBlocker.LEADER_ITSELF
        case UpdateMember(member) if _taken(member, configuration):
            return ChangeBlocker.ALREADY_MEMBER
    return None


def _taken(member: GroupMember, configuration: Configuration) -> bool:
    """Tell whether another member has the name or an endpoint of this one; empty ones are nobody's."""
    return any(
        other.member_id != member.member_id
        and (
            member.name == other.name != ""
            or member.raft_endpoint == other.raft_endpoint != ""
            or member.api_endpoint == other.api_endpoint != ""
        )
        for other in configuration.members
    )


def _risk(change: MemberChange, view: GroupView, after: Configuration) -> ChangeBlocker | None:
    if isinstance(change, PromoteMember) and change.member_id not in view.caught_up:
        return ChangeBlocker.NOT_CAUGHT_UP
    touches_voters = after.voters != view.configuration.voters
    if touches_voters and sum(voter in view.heard for voter in after.voters) < after.quorum_need:
        return ChangeBlocker.QUORUM_AT_RISK
    return None
