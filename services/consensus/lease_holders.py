"""The holders of leases beside the leader: grants, for how long they are good, and when they end (F1-F3, 8.1)."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Final

from services.consensus.app import ConsensusApp
from services.consensus.raft.model import Role
from services.consensus.state.commands import ExpireLease, GrantLease, ReleaseLease
from services.consensus.state.lease_table import Lease
from services.shared.runtime.errors import StaleFencingToken

log = logging.getLogger(__name__)

_NEVER: Final = 0


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


class LeaseHolders:
    """Sessions beside this member that hold leases while it leads.

    Attributes:
        checks: Answers to `check`, counted: held, stale.
    """

    def __init__(self, app: ConsensusApp, *, ttl_s: float) -> None:
        """Know nobody yet; `ttl_s` is the silence after which a session loses its lease (F3)."""
        self.app = app
        self._ttl_ns = round(ttl_s * 1e9)
        self.checks: Counter[str] = Counter()
        self._heard: dict[int, int] = {}

    async def acquire(self, name: str, session_id: str) -> tuple[Lease, Validity]:
        """Grant a lease to a session beside this member (F1)."""
        self.app.require_lease()
        lease = await self.app.ask(Lease, GrantLease(name, self.app.who.member_id, session_id))
        self.touch(lease.fencing_token)
        validity = self.validity(name, lease.fencing_token)
        if validity is None:
            raise self.app.not_leader()
        return lease, validity

    async def release(self, name: str, session_id: str, fencing_token: int) -> None:
        """Give a lease back; what is not held is no error."""
        await self.app.propose(ReleaseLease(name, session_id, fencing_token))

    def check(self, name: str, fencing_token: int) -> Validity:
        """Tell for how long a token may be relied upon now.

        Raises:
            StaleFencingToken: It is not the newest of its lease, or the lease ended.
        """
        self.app.require_lease()
        validity = self.validity(name, fencing_token)
        self.checks["stale" if validity is None else "held"] += 1
        if validity is None:
            newest = self.app.loop.machine.leases.newest(name)
            raise StaleFencingToken(_NEVER if newest is None else newest.fencing_token, fencing_token)
        return validity

    def validity(self, name: str, fencing_token: int) -> Validity | None:
        """Return for how long a grant is good; None when it ended or another member leads: it never comes back.

        A lapse of the leader lease within the term shows as no time remaining, and later as a higher `lease_seq`.
        """
        loop = self.app.loop
        lease, leadership = loop.machine.leases.newest(name), loop.leadership
        held = lease is not None and lease.live and lease.fencing_token == fencing_token
        if not held or lease is None or leadership.role is not Role.LEADER or leadership.term != lease.grant_term:
            return None
        remaining = max(0, loop.lease.valid_until - loop.read_clock())
        return Validity(loop.lease.seq, loop.lease.valid_until, remaining)

    def require_session(self, name: str, session_id: str, fencing_token: int) -> None:
        """Refuse a session that shows another session's token.

        Raises:
            StaleFencingToken: The newest grant of the lease has this token, but another session.
        """
        lease = self.app.loop.machine.leases.newest(name)
        if lease is not None and lease.fencing_token == fencing_token and lease.session_id != session_id:
            raise StaleFencingToken(lease.fencing_token, 0)

    def touch(self, fencing_token: int) -> None:
        """Note that the session which holds this token was heard."""
        self._heard[fencing_token] = self.app.loop.read_clock()

    async def expire_silent(self) -> None:
        """As leader, end the leases whose session was not heard for its time to live (F3)."""
        now = self.app.loop.read_clock()
        if not self.app.leads:
            self._heard.clear()
            return
        live = self.app.loop.machine.leases.live()
        heard = self._heard
        self._heard = {lease.fencing_token: heard.get(lease.fencing_token, now) for lease in live}
        for lease in live:
            if now - self._heard[lease.fencing_token] > self._ttl_ns:
                log.warning("consensus.session_silent", extra={"fencing_token": lease.fencing_token})
                await self.app.propose(ExpireLease(lease.name, lease.fencing_token))
