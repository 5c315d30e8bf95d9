"""What every use case of consensus stands on: writes through the leader, reads from the state applied here.

Everything here runs in the event loop's thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from services.consensus.errors import CommandTooLarge, MemberDoesNotLead, Overloaded, RecoveryUnknown
from services.consensus.member_loop import MemberLoop, NotLeading
from services.consensus.raft.configuration import GroupMember
from services.consensus.raft.model import NOBODY, Role
from services.consensus.state.commands import Command
from services.consensus.state.directory import Primary
from services.consensus.state.drain import begins_work, runs_step
from services.consensus.state.group_settings import MAX_GROUP_VERSION, GroupSettings
from services.consensus.state.machine import Result
from services.consensus.state.recovery_record import Recovery
from services.shared.runtime.errors import ClusterUnknown, DependencyUnavailable, DomainError, NoLeader

T = TypeVar("T")

RETRY_SOON_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Who:
    """This member, as its settings name it; the group may know it otherwise by now."""

    member_id: int
    name: str


class ConsensusApp:
    """One member's group as callers use it.

    Attributes:
        outcomes: What became of commands, counted: committed, refused, not_leader, overloaded, unknown.
        answered: Told of each command when it is answered: what it is, when it was asked (T1), what became of it.
    """

    def __init__(
        self,
        loop: MemberLoop,
        who: Who,
        timing: GroupSettings,
        *,
        commit_s: float,
        max_group_version: int = MAX_GROUP_VERSION,
        read_index: Callable[[float], Awaitable[int]] | None = None,
    ) -> None:
        """Take the loop of this member.

        Args:
            loop: Running.
            who: This member.
            timing: Its own timers, in force until the group agreed on others (18.5).
            commit_s: Longest wait for a commit.
            max_group_version: Newest version this member speaks (18.4).
            read_index: Asks the leader for the index of a linearizable read, within so many seconds; raises
                `NoLeader`. None: such reads are answered by the leader only.
        """
        self.loop = loop
        self.who = who
        self.commit_s = commit_s
        self.max_group_version = max_group_version
        self.outcomes: Counter[str] = Counter()
        self.answered: tuple[Callable[[Command, int, str], None], ...] = ()
        self._own_timing = timing
        self._remote_read_index = read_index
        self._beginning = 0

    # Who is in the group.

    def member(self) -> GroupMember:
        """Return this member as the group knows it; as the settings name it when the group does not."""
        known = self.loop.configuration.find(self.who.member_id)
        return known or GroupMember(self.who.member_id, name=self.who.name)

    def leader(self) -> GroupMember | None:
        """Return the leader this member knows."""
        return self.loop.configuration.find(self.loop.leadership.leader)

    @property
    def leads(self) -> bool:
        """Whether this member leads, with a lease or not."""
        return self.loop.leadership.role is Role.LEADER

    def timing(self) -> GroupSettings:
        """Return the timers in force here (18.5)."""
        return self.loop.machine.group.settings or self._own_timing

    # Writes.

    async def ask(self, kind: type[T], command: Command) -> T:
        """Have a command committed and return what applying it gave.

        Raises:
            DomainError: It was refused, or certainly not written, or its outcome is unknown: the class says which.
        """
        result = await self.propose(command)
        assert isinstance(result, kind), "a command answers with what it is for, or is refused"
        return result

    async def propose(self, command: Command) -> Result:
        """As `ask`, for commands that answer nothing."""
        self.require_leader()
        if not begins_work(command):
            return await self._propose(command)
        if self.loop.draining:
            raise NoLeader(RETRY_SOON_MS)
        self._beginning += 1
        try:
            return await self._propose(command)
        finally:
            self._beginning -= 1

    def holders_act(self) -> bool:
        """Tell whether a lease holder may be executing a step, or may be about to (8.1 b)."""
        return self._beginning > 0 or runs_step(self.loop.machine)

    async def _propose(self, command: Command) -> Result:
        outcome, asked_at = "unknown", self.loop.read_clock()
        try:
            result = await self.loop.propose(command, self.commit_s)
            outcome = "refused" if isinstance(result, DomainError) else "committed"
        except NotLeading:
            outcome = "not_leader"
            raise self.not_leader() from None
        except (Overloaded, CommandTooLarge):
            outcome = "overloaded"
            raise
        finally:
            self.outcomes[outcome] += 1
            for tell in self.answered:
                tell(command, asked_at, outcome)
        if isinstance(result, DomainError):
            raise result
        return result

    def require_leader(self) -> None:
        """Refuse when this member cannot write, or does not lead.

        Raises:
            DependencyUnavailable: Its store is in trouble.
            NotLeader: Another member leads.
            NoLeader: Nobody does.
        """
        if not self.loop.watch.health.usable:
            raise DependencyUnavailable(f"store of {self.who.name}", self.loop.watch.problem)
        if not self.leads:
            raise self.not_leader()

    def require_lease(self) -> None:
        """Refuse when this member does not lead with a valid leader lease.

        Raises:
            NotLeader: Another member leads.
            NoLeader: Nobody does, or its lease is not valid at the moment.
        """
        if not self.leads:
            raise self.not_leader()
        if not self.loop.leads_with_lease():
            raise NoLeader(RETRY_SOON_MS)

    def not_leader(self) -> DomainError:
        """Return the refusal that names who leads."""
        leader = self.leader()
        if leader is None or leader.member_id in (NOBODY, self.who.member_id):
            return NoLeader()
        return MemberDoesNotLead(leader.name, leader.api_endpoint, leader.recovery_endpoint)

    # Reads.

    def recovery(self, recovery_id: str) -> Recovery:
        """Return one record as applied here.

        Raises:
            RecoveryUnknown: There is none.
        """
        found = self.loop.machine.journal.get(recovery_id)
        if found is None:
            raise RecoveryUnknown(recovery_id)
        return found

    def recoveries(self, cluster_id: str, *, only_open: bool) -> tuple[Recovery, ...]:
        """Return the records as applied here, newest first; empty `cluster_id` = all."""
        return tuple(
            recovery
            for recovery in self.loop.machine.journal.all()
            if (recovery.is_open or not only_open) and cluster_id in ("", recovery.cluster_id)
        )

    async def primary(self, cluster: str, *, linearizable: bool) -> Primary:
        """Return the primary of a cluster, by its id or exact alias.

        Raises:
            ClusterUnknown: There is none.
        """
        if linearizable:
            await self.read_barrier()
        found = self.loop.machine.find_primary(cluster)
        if found is None:
            raise ClusterUnknown(cluster)
        return found

    async def read_barrier(self) -> None:
        """Wait until everything committed before the call is applied here (12).

        Raises:
            NotLeader: Only the leader can tell.
            NoLeader: Nobody can.
        """
        try:
            await self.loop.wait_applied(await self._read_index(), self.commit_s)
        except NotLeading:
            raise self.not_leader() from None

    async def _read_index(self) -> int:
        """Return the index of a linearizable read; a follower asks the leader for it."""
        if self.leads or self._remote_read_index is None:
            return await self.loop.read_index(self.commit_s)
        return await self._remote_read_index(self.commit_s)

    def staleness_ns(self) -> int:
        """Return the time since a leader was last heard; 0 when this member leads with a lease."""
        if self.loop.leads_with_lease():
            return 0
        contact = self.loop.status().leader_contact_at
        now = self.loop.read_clock()
        # Never heard since the start: as old as the clock, which is surely stale.
        return now if contact is None else max(0, now - contact)
