"""A member whose store may not be trusted comes back by itself, blank and under a new id (14.6).

    distrusted --the rest of the group stays well--> store set aside, process begins anew under a new id
    begun anew --the old id is still a member--> it is removed --> the new id is added --> a learner like any other

Every step can be repeated, and the store alone says how far it is: one under another id than the settings name, that no
group has greeted yet, is in the second line. What the group lost with the old store, it lost before: the member votes
and acknowledges nothing from the moment it is distrusted. An operator who removed the member keeps the last word: it
comes back only while the group counts on one of its name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from services.consensus.member_loop import MemberLoop
from services.consensus.raft.configuration import NO_MEMBERS, Configuration, GroupMember, MemberKind

log = logging.getLogger(__name__)

ROUND_S: Final = 1.0
"""How often the group is asked."""
STEADY_ROUNDS: Final = 5
"""Rounds in a row in which all others are well before a store is given up: a leader notices late who has just died."""


class GroupNotReached(Exception):
    """Nobody who leads was found, or the call was refused. `str()` says why."""


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """The group as its leader sees it, with a valid lease.

    Attributes:
        configuration: The newest.
        unfit: Ids of members that are silent, distrust their store, or cannot write to it.
        changing: A replacement or a handover is under way.
    """

    configuration: Configuration
    unfit: frozenset[int] = frozenset()
    changing: bool = False


class GroupCaller(Protocol):
    """Asks the group on behalf of a member that is not of it at the moment. Every method raises `GroupNotReached`."""

    async def look(self, known: Configuration) -> GroupSeen:
        """Return how the group is; `known` are members that may be asked."""

    async def remove(self, member_id: int) -> None:
        """Have a member taken out; one that is not there is no error."""

    async def add(self, member: GroupMember) -> None:
        """Have a learner taken in that shall vote; one that is there is no error."""


def namesake(seen: GroupSeen, name: str) -> GroupMember | None:
    """Return the member that stands for this node in the group."""
    return next((member for member in seen.configuration.members if member.name == name), None)


def rejoin_blocker(seen: GroupSeen, member_id: int, name: str) -> str:
    """Return why a member that lost its store may not begin anew now; empty = it may.

    Its store is the last thing it has: it is given up only while every other voter is well, so that all that was
    ever decided is in their stores.
    """
    known = namesake(seen, name)
    if known is None:
        return f"no member is named {name}: it was taken out of the group"
    if known.member_id != member_id and known.member_id not in seen.unfit:
        return f"{name} is member {known.member_id} by now, and that one is well"
    unfit = [
        member.name or f"member {member.member_id}"
        for member in seen.configuration.members
        if member.votes and member.name != name and member.member_id in seen.unfit
    ]
    if unfit:
        return f"not all others are well: {', '.join(unfit)}"
    return "the group is being changed" if seen.changing else ""


class Rejoin:
    """Runs beside a member, until cancelled."""

    def __init__(
        self,
        loop: MemberLoop,
        caller: GroupCaller,
        myself: GroupMember,
        listed: Configuration,
        begin_anew: Callable[[str], None],
        *,
        begun_anew: bool,
    ) -> None:
        """Take what the work is done with.

        Args:
            loop: Of this member.
            caller: Reaches the group.
            myself: This member as its settings describe it, under the id it has now.
            listed: Members the settings name; asked as well as those the store knows.
            begin_anew: Ends this member and begins another one with a blank store; given why.
            begun_anew: The store is such a one.
        """
        self._loop = loop
        self._caller = caller
        self._myself = myself
        self._listed = listed
        self._begin_anew = begin_anew
        self._begun_anew = begun_anew
        self._told = ""
        self._steady = 0

    async def run(self) -> None:
        """Watch over this member."""
        while True:
            try:
                await self._round()
            except GroupNotReached as error:
                self._steady = 0
                self._tell(str(error))
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> None:
        status = self._loop.status()
        if status.quarantine or status.removed:
            await self._leave(status.quarantine or "the member lost its store, and then the id it had come back under")
        elif self._begun_anew and self._loop.configuration == NO_MEMBERS:
            await self._enter()

    async def _leave(self, why: str) -> None:
        blocker = rejoin_blocker(await self._look(), self._myself.member_id, self._myself.name)
        self._tell(blocker)
        self._steady = 0 if blocker else self._steady + 1
        if self._steady >= STEADY_ROUNDS:
            log.warning("consensus.rejoins", extra={"problem": why, "member": self._myself.member_id})
            self._begin_anew(why)

    async def _enter(self) -> None:
        seen = await self._look()
        if self._myself.member_id in seen.configuration.ids:
            return  # Its greeting is under way.
        former = namesake(seen, self._myself.name)
        if former is not None and former.member_id not in seen.unfit:
            self._tell(f"the group does not miss member {former.member_id} yet")
            return
        if former is not None:
            # What operators have said of the member since it was first described goes on to hold.
            self._myself = replace(former, member_id=self._myself.member_id)
            await self._caller.remove(former.member_id)
            log.info("consensus.former_self_removed", extra={"member": former.member_id})
        await self._caller.add(replace(self._myself, kind=MemberKind.LEARNER, auto_promote=True))
        log.info("consensus.rejoined", extra={"member": self._myself.member_id})

    async def _look(self) -> GroupSeen:
        known = {member.api_endpoint: member for member in (*self._listed.members, *self._loop.configuration.members)}
        known.pop(self._myself.api_endpoint, None)
        return await self._caller.look(Configuration(tuple(known.values())))

    def _tell(self, why_not: str) -> None:
        """Say once what is in the way."""
        if why_not and why_not != self._told:
            log.warning("consensus.rejoin_waits", extra={"problem": why_not})
        self._told = why_not
