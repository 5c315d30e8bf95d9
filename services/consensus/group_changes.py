"""What operators do to the group: its members and who leads it (8.1, 8.4, section 9).

Every change is idempotent: when the group already is as asked, the answer is the configuration that is. What passes
by itself (a leader that has just been elected, another change that is not committed yet) is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.consensus.app import ConsensusApp
from services.consensus.member_loop import ChangeRefused, NotLeading
from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind
from services.consensus.raft.events import AddLearner, MemberChange, PromoteMember, RemoveMember, UpdateMember
from services.consensus.raft.membership import changed
from services.consensus.raft.model import NOBODY
from services.consensus.raft.outputs import ChangeBlocker, TransferOutcome
from services.consensus.raft.status import configuration_warnings
from services.consensus.raft.succession import fit_successors
from services.consensus.state.group_errors import ChangeBlocked, TransferRefused
from services.shared.runtime.errors import NoLeader

log = logging.getLogger(__name__)

_PASSING: Final = (ChangeBlocker.NOT_READY, ChangeBlocker.CHANGE_OPEN)
_LOOK_AGAIN_S: Final = 0.05
_RESULT_S: Final = 5.0
"""How long a transfer may take beyond its drain: the catch-up of its target, its election."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change left behind.

    Attributes:
        configuration: All members.
        index: Where it stands in the log; 0 = it was only judged.
        warnings: What to look at, one sentence each.
    """

    configuration: Configuration
    index: int
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Handover:
    """Who leads, and in which term; term 0 = would lead."""

    leader: GroupMember | None
    term: int


class GroupChanges:
    """Changes of members and leadership, on the leader."""

    def __init__(self, app: ConsensusApp, *, drain_s: float) -> None:
        """Take the longest wait for lease holders before a transfer (8.1)."""
        self._app = app
        self._drain_s = drain_s

    async def add(self, member: GroupMember, *, force: bool, validate_only: bool) -> Changed:
        """Take a member in as a learner (M3)."""
        known = self._find(member.member_id)
        if known is not None and _same_place(known, member):
            return await self._present()
        return await self._change(lambda: AddLearner(member), force=force, validate_only=validate_only)

    async def promote(self, member_id: int, *, force: bool, validate_only: bool) -> Changed:
        """Make a learner a voter (M3)."""
        known = self._find(member_id)
        if known is not None and known.kind is MemberKind.VOTER:
            return await self._present()
        return await self._change(lambda: PromoteMember(member_id), force=force, validate_only=validate_only)

    async def remove(self, member_id: int, *, force: bool, validate_only: bool) -> Changed:
        """Take a member out; ids are never reused, so one that is not there has been taken out."""
        if self._find(member_id) is None:
            return replace(await self._present(), warnings=(f"no member has id {member_id}: nothing was changed",))
        return await self._change(lambda: RemoveMember(member_id), force=force, validate_only=validate_only)

    async def update(
        self, member_id: int, revise: Callable[[GroupMember], GroupMember], *, validate_only: bool
    ) -> Changed:
        """Change what is known of a member; `revise` is given what that is when the change is made."""
        known = self.member(member_id)
        if revise(known) == known:
            return await self._present()
        return await self._change(
            lambda: UpdateMember(revise(self.member(member_id))), force=False, validate_only=validate_only
        )

    def member(self, member_id: int) -> GroupMember:
        """Return a member.

        Raises:
            ChangeBlocked: There is none.
        """
        found = self._find(member_id)
        if found is None:
            raise ChangeBlocked(ChangeBlocker.UNKNOWN_MEMBER)
        return found

    async def transfer(
        self, target: int = NOBODY, *, force: bool = False, hold_s: float = 0.0, validate_only: bool = False
    ) -> Handover:
        """Hand leadership over (8.1); `target` nobody: whom it fits best. A member that leads already is an answer.

        Raises:
            TransferRefused: Nobody else leads.
        """
        self._app.require_leader()
        loop = self._app.loop
        if target == self._app.who.member_id:
            return Handover(self._app.leader(), 0 if validate_only else loop.leadership.term)
        if validate_only:
            return Handover(loop.configuration.find(self._successor(target)), 0)
        result = await loop.transfer(
            target,
            self._drain_s + _RESULT_S,
            drain_ns=round(self._drain_s * 1e9),
            force=force,
            hold_ns=round(hold_s * 1e9),
        )
        if result.outcome is TransferOutcome.NOT_LEADER:
            raise self._app.not_leader()
        if result.outcome is not TransferOutcome.DONE:
            raise TransferRefused(result.outcome)
        return Handover(loop.configuration.find(loop.leadership.leader or result.leader), loop.leadership.term)

    def _successor(self, target: int) -> int:
        """Return who would lead after a transfer now."""
        status, now = self._app.loop.status(), self._app.loop.read_clock()
        fit = fit_successors(
            status.peers, status.configuration, status.last_index, now - self._app.timing().election_min
        )
        ids = [peer.member_id for peer in fit]
        if target != NOBODY and target not in ids:
            raise TransferRefused(TransferOutcome.UNFIT_TARGET)
        if not ids:
            raise TransferRefused(TransferOutcome.NO_TARGET)
        return target or ids[0]

    async def _change(self, make: Callable[[], MemberChange], *, force: bool, validate_only: bool) -> Changed:
        """Make a change; it is made anew for each try, because others are made in between."""
        loop = self._app.loop
        deadline = loop.read_clock() + round(self._app.commit_s * 1e9)
        while True:
            self._app.require_leader()
            try:
                if validate_only:
                    return self._judge(make(), force=force)
                configuration = await loop.change_members(make(), self._app.commit_s, force=force)
                index = loop.machine.mark.configuration_index
                return Changed(configuration, index, configuration_warnings(configuration))
            except NotLeading:
                raise self._app.not_leader() from None
            except ChangeRefused as refusal:
                if refusal.blocker not in _PASSING or loop.read_clock() > deadline:
                    raise ChangeBlocked(refusal.blocker) from None
            await loop.applied.wait_beyond(loop.applied.count, _LOOK_AGAIN_S)

    def _judge(self, change: MemberChange, *, force: bool) -> Changed:
        blocker = self._app.loop.judge_change(change, force=force)
        if blocker is not None:
            raise ChangeRefused(blocker)
        after = changed(change, self._app.loop.configuration, 0)
        return Changed(after, 0, configuration_warnings(after))

    async def _present(self) -> Changed:
        """Return what is, once it is committed."""
        status = self._app.loop.status()
        try:
            await self._app.loop.wait_applied(status.configuration_index, self._app.commit_s)
        except NotLeading:
            raise NoLeader from None
        return Changed(status.configuration, status.configuration_index, configuration_warnings(status.configuration))

    def _find(self, member_id: int) -> GroupMember | None:
        self._app.require_leader()
        return self._app.loop.configuration.find(member_id)


def _same_place(known: GroupMember, asked: GroupMember) -> bool:
    """Tell whether a member is there as asked; what it counts for, and what it learned since, may differ."""
    return (known.name, known.raft_endpoint, known.api_endpoint) == (
        asked.name,
        asked.raft_endpoint,
        asked.api_endpoint,
    )
