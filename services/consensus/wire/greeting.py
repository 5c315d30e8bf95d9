"""The first frame of a stream: who speaks, and whether this member listens (W1).

Both sides show one. A caller that is not in this member's configuration is let in only when it knows a newer one: it
may lead a group this member has fallen behind of (E7). One that a committed configuration has left out is told so (M7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, GroupMember
from services.shared.runtime.errors import DomainError

PROTOCOL: Final = 1
FIRST_GROUP_VERSION: Final = 1
"""What a member speaks that does not say."""


@dataclass
class PeerRefused(DomainError):
    """A caller that is not a member of this group, or not one this member can talk to (W1)."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass
class StoreForgotten(PeerRefused):
    """A caller with another store than its member had before: what it promised and acknowledged is gone (14.6)."""

    def __str__(self) -> str:
        return self.problem


@dataclass
class MemberRemoved(PeerRefused):
    """A caller that was taken out of the group (M7).

    Attributes:
        term: Of the member that says so.
        configuration_index: Where the configuration without it stands, committed.
    """

    term: int
    configuration_index: int

    def __str__(self) -> str:
        return self.problem


@dataclass(frozen=True, slots=True)
class GroupView:
    """What a member knows of its group at the moment.

    Attributes:
        term: Its term.
        newest: Newest configuration of its log (M1).
        newest_index: Where that stands.
        committed: Newest configuration it applied.
        committed_index: Where that stands.
        group_version: Version the group speaks (18.4).
    """

    term: int = 0
    newest: Configuration = NO_MEMBERS
    newest_index: int = 0
    committed: Configuration = NO_MEMBERS
    committed_index: int = 0
    group_version: int = FIRST_GROUP_VERSION

    def find(self, member_id: int) -> GroupMember | None:
        """Return a member of either configuration."""
        return self.newest.find(member_id) or self.committed.find(member_id)

    def dismissed(self, member_id: int, its_index: int) -> bool:
        """Tell whether a caller that knows configurations up to `its_index` is certainly not in the group."""
        if not self.committed.members:
            return False
        known = member_id in self.newest.ids or member_id in self.committed.ids
        return not known and its_index <= self.committed_index


@dataclass(frozen=True, slots=True)
class Introduction:
    """What another member said of itself in its newest hello.

    Attributes:
        configuration_index: Newest configuration it had.
        group_versions: Oldest and newest group version it speaks (18.4).
    """

    member_id: int
    incarnation: str
    boot_id: str
    raft_endpoint: str
    configuration_index: int
    group_versions: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Self:
    """What this member says of itself.

    Attributes:
        incarnation: UUID of its store.
        raft_endpoint: Where its peers reach it.
        group_versions: Oldest and newest group version it speaks.
    """

    member_id: int
    incarnation: str
    boot_id: str
    raft_endpoint: str
    group_versions: tuple[int, int] = (FIRST_GROUP_VERSION, FIRST_GROUP_VERSION)


class Greeting:
    """Makes and checks hellos, and remembers what others said of themselves."""

    def __init__(
        self, myself: Self, group_id: str, view: Callable[[], GroupView], adopt: Callable[[str], None]
    ) -> None:
        """Begin to know nobody.

        Args:
            myself: This member.
            group_id: Its group; empty = it waits to be taken into one.
            view: What it knows of the group at the moment.
            adopt: Called once with the group's id when a member without one is greeted by its group.
        """
        self.group_id = group_id
        self.introductions: dict[int, Introduction] = {}
        self._myself = myself
        self._view = view
        self._adopt = adopt

    def make(self, to_member_id: int, lane: pb.Hello.Lane.ValueType = pb.Hello.LANE_UNSPECIFIED) -> pb.Hello:
        """Return the hello to a member."""
        myself = self._myself
        return pb.Hello(
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            group_id=self.group_id,
            member_id=myself.member_id,
            to_member_id=to_member_id,
            incarnation=myself.incarnation,
            boot_id=myself.boot_id,
            lane=lane,
            configuration_index=self._view().newest_index,
            group_version_min=myself.group_versions[0],
            group_version_max=myself.group_versions[1],
            raft_endpoint=myself.raft_endpoint,
        )

    def check(self, hello: pb.Hello, certified_names: frozenset[str] | None) -> Introduction:
        """Return who speaks.

        Args:
            hello: What it says of itself.
            certified_names: Names in its certificate; None without TLS.

        Raises:
            PeerRefused: Protocol, group, member, incarnation, versions or certificate do not fit.
        """
        self._check_address(hello)
        introduction = _introduction_of(hello)
        member = self._check_membership(introduction)
        if member is not None and certified_names is not None and member.name not in certified_names:
            raise PeerRefused(f"the certificate is not that of member {member.name}")
        self._check_incarnation(introduction, member)
        self._check_versions(introduction)
        if not self.group_id:
            self.group_id = hello.group_id
            self._adopt(hello.group_id)
        self.introductions[introduction.member_id] = introduction
        return introduction

    def check_answer(self, hello: pb.Hello, member_id: int) -> Introduction:
        """Return who answered; the channel has checked its certificate.

        Raises:
            PeerRefused: As `check`, or it is not the member that was called.
        """
        if hello.member_id != member_id:
            raise PeerRefused(f"member {hello.member_id} answers where member {member_id} was called")
        return self.check(hello, None)

    def recheck(self, introduction: Introduction) -> None:
        """Check again whether a member that was let in is still of the group.

        Raises:
            PeerRefused: It is not.
        """
        self._check_membership(introduction)

    def _check_address(self, hello: pb.Hello) -> None:
        myself = self._myself.member_id
        if not hello.protocol_min <= PROTOCOL <= hello.protocol_max:
            raise PeerRefused(f"protocol {hello.protocol_min}..{hello.protocol_max} is not spoken here, {PROTOCOL} is")
        if not hello.group_id:
            raise PeerRefused("the hello names no group")
        if self.group_id and hello.group_id != self.group_id:
            raise PeerRefused(f"this is group {self.group_id}, not {hello.group_id}: do the lists of members differ?")
        if hello.to_member_id != myself:
            raise PeerRefused(f"this is member {myself}, not {hello.to_member_id}: is its endpoint wrong?")
        if hello.member_id in (0, myself):
            raise PeerRefused(f"member {hello.member_id} is not another member of this group")

    def _check_membership(self, introduction: Introduction) -> GroupMember | None:
        view, member_id = self._view(), introduction.member_id
        if not view.dismissed(member_id, introduction.configuration_index):
            return view.find(member_id)
        if not introduction.configuration_index:
            raise PeerRefused(f"member {member_id} is not another member of this group: add it first")
        raise MemberRemoved(
            f"member {member_id} was taken out of the group", term=view.term, configuration_index=view.committed_index
        )

    def _check_incarnation(self, introduction: Introduction, member: GroupMember | None) -> None:
        known = self.introductions.get(introduction.member_id)
        expected = member.incarnation if member is not None else ""
        if not expected and known is not None:
            expected = known.incarnation
        if expected and introduction.incarnation != expected:
            raise StoreForgotten(
                f"member {introduction.member_id} had store {expected}, not {introduction.incarnation}: "
                "it lost what it promised; rejoin it as a new member"
            )

    def _check_versions(self, introduction: Introduction) -> None:
        oldest, newest = introduction.group_versions
        spoken = self._view().group_version
        if not oldest <= spoken <= newest:
            raise PeerRefused(f"the group speaks version {spoken}, member {introduction.member_id} {oldest}..{newest}")


def _introduction_of(hello: pb.Hello) -> Introduction:
    return Introduction(
        hello.member_id,
        hello.incarnation,
        hello.boot_id,
        hello.raft_endpoint,
        hello.configuration_index,
        (hello.group_version_min or FIRST_GROUP_VERSION, hello.group_version_max or FIRST_GROUP_VERSION),
    )
