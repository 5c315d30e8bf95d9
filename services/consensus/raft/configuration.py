"""Who is in the group: the configuration, an entry of the log like any other (section 9).

A configuration is used from the moment it is appended, by the leader and by followers (M1). It holds the complete list
of members, so nothing has to be added up to know it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, Final

from services.consensus.raft.quorum import majority

VERSION: Final = 1
DEFAULT_PREFERENCE: Final = 50
NEVER_LEADS: Final = 0
"""Preference of a member that votes, campaigns as a last resort only, and is never chosen as a target (8.2)."""


class MemberKind(Enum):
    """What a member counts for."""

    VOTER = "voter"
    LEARNER = "learner"
    """Receives everything, counts nowhere: votes, commit, lease, CheckQuorum (M8)."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One member as the group agreed on it.

    Attributes:
        member_id: Identity, never reused.
        incarnation: Of its store; empty = not known yet. A member that shows another one has lost its store (14.6).
        name: Name of the node; equals the name in its certificate.
        raft_endpoint: Where its peers reach it, `host:port`, resolved at every connect (M9).
        api_endpoint: Where its API is.
        recovery_endpoint: Where the recovery service of the same node is; empty = unknown.
        site: Data centre; empty = unknown.
        preference: 0..100 (8.2).
        kind: Voter or learner.
        auto_promote: A learner that shall vote as soon as it has caught up (M3).
    """

    member_id: int
    incarnation: str = ""
    name: str = ""
    raft_endpoint: str = ""
    api_endpoint: str = ""
    recovery_endpoint: str = ""
    site: str = ""
    preference: int = DEFAULT_PREFERENCE
    kind: MemberKind = MemberKind.VOTER
    auto_promote: bool = False

    @property
    def votes(self) -> bool:
        """True for a voter."""
        return self.kind is MemberKind.VOTER


@dataclass(frozen=True)
class Configuration:
    """The complete list of members, by id.

    Attributes:
        members: Sorted by id, ids distinct.
        previous_index: Log index of the configuration before this one; 0 = none, or the bootstrap.
    """

    members: tuple[GroupMember, ...]
    previous_index: int = 0

    @cached_property
    def voters(self) -> tuple[int, ...]:
        """Ids of the voters, ascending."""
        return tuple(member.member_id for member in self.members if member.votes)

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Ids of all members, ascending."""
        return tuple(member.member_id for member in self.members)

    @cached_property
    def quorum_need(self) -> int:
        """How many voters make a majority."""
        return majority(len(self.voters))

    def find(self, member_id: int) -> GroupMember | None:
        """Return a member, None for a stranger."""
        return next((member for member in self.members if member.member_id == member_id), None)

    def with_member(self, member: GroupMember, at_index: int) -> Configuration:
        """Return the successor in which `member` is new or replaces the one of its id; `at_index` is this one's."""
        others = [known for known in self.members if known.member_id != member.member_id]
        return configuration_of([*others, member], at_index)

    def without(self, member_id: int, at_index: int) -> Configuration:
        """Return the successor without a member; `at_index` is this one's."""
        return configuration_of((known for known in self.members if known.member_id != member_id), at_index)

    def promoted(self, member_id: int, at_index: int) -> Configuration:
        """Return the successor in which a learner votes; `at_index` is this one's."""
        found = self.find(member_id)
        assert found is not None, "the caller looked it up"
        return self.with_member(replace(found, kind=MemberKind.VOTER), at_index)


NO_MEMBERS: Final = Configuration(())
"""What a member knows that nobody has told yet who is in the group."""


def configuration_of(members: Iterable[GroupMember], previous_index: int = 0) -> Configuration:
    """Return a configuration of members in any order."""
    return Configuration(tuple(sorted(members, key=lambda member: member.member_id)), previous_index)


def encode_configuration(configuration: Configuration) -> bytes:
    """Return the data of a CONFIG entry: canonical JSON, equal for equal configurations."""
    members = [{**asdict(member), "kind": member.kind.value} for member in configuration.members]
    document = {"version": VERSION, "previous_index": configuration.previous_index, "members": members}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_configuration(data: bytes) -> Configuration:
    """Return the configuration of a CONFIG entry.

    Raises:
        ValueError: It is none this version can read (A3).
    """
    try:
        document: dict[str, Any] = json.loads(data)
        if document["version"] != VERSION:
            raise ValueError(f"configuration of version {document['version']}, this member reads {VERSION}")
        members = [GroupMember(**{**member, "kind": MemberKind(member["kind"])}) for member in document["members"]]
        return configuration_of(members, document["previous_index"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not a configuration: {error}") from error
