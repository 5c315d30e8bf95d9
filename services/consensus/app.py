"""Use cases of consensus: leases, the journal, the directory and the group, on top of one member's loop.

Writes go through the leader only; reads come from the state this member applied. Everything here runs in the event
loop's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from services.consensus.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    ExpireLease,
    GrantLease,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    ReleaseLease,
)
from services.consensus.directory import Primary
from services.consensus.errors import MemberDoesNotLead, RecoveryUnknown
from services.consensus.journal import Recovery
from services.consensus.lease_table import Lease
from services.consensus.machine import Result
from services.consensus.member_loop import MemberLoop, NotLeading
from services.consensus.model import NOBODY, Role
from services.consensus.settings import MemberSettings
from services.shared.runtime.errors import (
    ClusterUnknown,
    DependencyUnavailable,
    DomainError,
    NoLeader,
    StaleFencingToken,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_SOON_MS: Final = 50


@dataclass(frozen=True, slots=True)
class Validity:
    """For how long a lease may be relied upon (F3).

    Attributes:
        lease_seq: Grows with every lapse.
        valid_until_ns: On `CLOCK_BOOTTIME` of this host.
        remaining_ns: Until then, when it was read; never negative.
    """

    lease_seq: int
    valid_until_ns: int
    remaining_ns: int


class ConsensusApp:
    """What the API offers, as values."""

    def __init__(
        self, loop: MemberLoop, members: Mapping[int, MemberSettings], member_id: int, *, commit_s: float, ttl_s: float
    ) -> None:
        """Take the loop of this member.

        Args:
            loop: Running.
            members: All members by id.
            member_id: This one.
            commit_s: Longest wait for a commit.
            ttl_s: Silence after which a session loses its lease.
        """
        self.loop = loop
        self.members = members
        self.member = members[member_id]
        self._commit_s = commit_s
        self._ttl_ns = round(ttl_s * 1e9)
        self._heard_sessions: dict[int, int] = {}

    # Leases.

    async def acquire(self, name: str, session_id: str) -> tuple[Lease, Validity]:
        """Grant a lease to a session beside this member (F1)."""
        self._require_lease()
        lease = _expect(Lease, await self._propose(GrantLease(name, self.member.member_id, session_id)))
        self.touch(lease.fencing_token)
        validity = self.validity(name, lease.fencing_token)
        if validity is None:
            raise self._not_leader()
        return lease, validity

    async def release(self, name: str, session_id: str, fencing_token: int) -> None:
        """Give a lease back; what is not held is no error."""
        await self._propose(ReleaseLease(name, session_id, fencing_token))

    def check(self, name: str, fencing_token: int) -> Validity:
        """Tell for how long a token may be relied upon now.

        Raises:
            StaleFencingToken: It is not the newest of its lease, or the lease ended.
        """
        self._require_lease()
        validity = self.validity(name, fencing_token)
        if validity is None:
            newest = self.loop.machine.leases.newest(name)
            raise StaleFencingToken(0 if newest is None else newest.fencing_token, fencing_token)
        return validity

    def validity(self, name: str, fencing_token: int) -> Validity | None:
        """Return for how long a grant is good; None when it ended or another member leads: it never comes back.

        A lapse of the leader lease within the term shows as no time remaining, and later as a higher `lease_seq`.
        """
        lease, leadership = self.loop.machine.leases.newest(name), self.loop.leadership
        held = lease is not None and lease.live and lease.fencing_token == fencing_token
        if not held or lease is None or leadership.role is not Role.LEADER or leadership.term != lease.grant_term:
            return None
        leader_lease = self.loop.lease
        remaining = max(0, leader_lease.valid_until - self.loop.read_clock())
        return Validity(leader_lease.seq, leader_lease.valid_until, remaining)

    def require_session(self, name: str, session_id: str, fencing_token: int) -> None:
        """Refuse a session that shows another session's token.

        Raises:
            StaleFencingToken: The newest grant of the lease has this token, but another session.
        """
        lease = self.loop.machine.leases.newest(name)
        if lease is not None and lease.fencing_token == fencing_token and lease.session_id != session_id:
            raise StaleFencingToken(lease.fencing_token, 0)

    def touch(self, fencing_token: int) -> None:
        """Note that the session which holds this token was heard."""
        self._heard_sessions[fencing_token] = self.loop.read_clock()

    async def expire_silent_sessions(self) -> None:
        """As leader, end the leases whose session was not heard for its time to live (F3)."""
        now = self.loop.read_clock()
        if self.loop.leadership.role is not Role.LEADER:
            self._heard_sessions.clear()
            return
        live = self.loop.machine.leases.live()
        heard_at = self._heard_sessions
        self._heard_sessions = {lease.fencing_token: heard_at.get(lease.fencing_token, now) for lease in live}
        for lease in live:
            heard = self._heard_sessions[lease.fencing_token]
            if now - heard > self._ttl_ns:
                log.warning("consensus.session_silent", extra={"fencing_token": lease.fencing_token})
                await self._propose(ExpireLease(lease.name, lease.fencing_token))

    # Journal.

    async def register(self, command: RegisterRecovery) -> Recovery:
        """Open a recovery."""
        return _expect(Recovery, await self._propose(command))

    async def adopt(self, command: AdoptRecovery) -> Recovery:
        """Take over an open recovery."""
        return _expect(Recovery, await self._propose(command))

    async def record_steps(self, command: RecordSteps) -> int:
        """Write steps; return the log index that wrote them."""
        return _expect(int, await self._propose(command))

    async def close(self, command: CloseRecovery) -> Recovery:
        """End a recovery."""
        return _expect(Recovery, await self._propose(command))

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

    # Directory.

    async def publish(self, command: PublishPrimary) -> Primary:
        """Write the primary of a cluster."""
        return _expect(Primary, await self._propose(command))

    async def primary(self, cluster: str, *, linearizable: bool) -> Primary:
        """Return the primary of a cluster, by its id or exact alias.

        Raises:
            ClusterUnknown: There is none.
        """
        if linearizable:
            try:
                await self.loop.read_barrier(self._commit_s)
            except NotLeading:
                raise self._not_leader() from None
        found = self.loop.machine.directory.find(cluster)
        if found is None:
            raise ClusterUnknown(cluster)
        return found

    def staleness_ns(self) -> int:
        """Return the time since a leader was last heard; 0 when this member leads with a lease."""
        if self.loop.leads_with_lease():
            return 0
        contact = self.loop.status().leader_contact_at
        now = self.loop.read_clock()
        # Never heard since the start: as old as the clock, which is surely stale.
        return now if contact is None else max(0, now - contact)

    # Group.

    def leader(self) -> MemberSettings | None:
        """Return the leader this member knows."""
        return self.members.get(self.loop.leadership.leader)

    # How writes are refused.

    async def _propose(self, command: Command) -> Result:
        self._require_store()
        if self.loop.leadership.role is not Role.LEADER:
            raise self._not_leader()
        try:
            result = await self.loop.propose(command, self._commit_s)
        except NotLeading:
            raise self._not_leader() from None
        if isinstance(result, DomainError):
            raise result
        return result

    def _require_lease(self) -> None:
        if self.loop.leadership.role is not Role.LEADER:
            raise self._not_leader()
        if not self.loop.leads_with_lease():
            raise NoLeader(RETRY_SOON_MS)

    def _require_store(self) -> None:
        if not self.loop.watch.health.usable:
            raise DependencyUnavailable(f"store of {self.member.name}", self.loop.watch.problem)

    def _not_leader(self) -> DomainError:
        leader = self.leader()
        if leader is None or leader.member_id in (NOBODY, self.member.member_id):
            return NoLeader()
        return MemberDoesNotLead(leader.name, leader.api_endpoint, leader.recovery_endpoint)


def _expect(kind: type[T], result: Result) -> T:
    assert isinstance(result, kind), "a command answers with what it is for, or is refused"
    return result
