"""Leases as the replicated log defines them: a state machine without I/O (13).

A lease is granted, and ends by release, by expiry, or by the NOOP of a later term (F1). Its fencing token is the log
index of the grant; indexes only grow, so tokens do. An ended lease stays as the newest token of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.consensus.errors import LeaseHeld
from services.consensus.state.commands import ExpireLease, GrantLease, ReleaseLease
from services.consensus.state.rows import LEASES, Change, Row, RowsOf, put


@dataclass(frozen=True, slots=True)
class Lease:
    """The newest grant of a name.

    Attributes:
        member_id: Member whose local client it was granted to.
        session_id: Session of that client.
        fencing_token: Log index of the grant.
        grant_term: Term of that entry.
        live: False once it ended.
    """

    name: str
    member_id: int
    session_id: str
    fencing_token: int
    grant_term: int
    live: bool

    def to_row(self) -> Row:
        """Return the row of `state_lease`."""
        return (
            self.name,
            self.member_id,
            self.session_id,
            self.fencing_token,
            self.grant_term,
            int(self.live),
        )

    @classmethod
    def from_row(cls, name: str, member_id: int, session_id: str, token: int, term: int, live: int) -> Lease:
        """Return the lease of a row."""
        return cls(name, member_id, session_id, token, term, bool(live))


class LeaseTable:
    """The newest grant of each name."""

    def __init__(self, leases: Iterable[Lease] = ()) -> None:
        self._leases = {lease.name: lease for lease in leases}

    def newest(self, name: str) -> Lease | None:
        """Return the newest grant of a name, live or ended."""
        return self._leases.get(name)

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of the table."""
        return {LEASES: RowsOf(tuple(self._leases.values()), lambda lease: lease.to_row())}

    def live(self) -> tuple[Lease, ...]:
        """Return the leases that have not ended, by name."""
        return tuple(self._leases[name] for name in sorted(self._leases) if self._leases[name].live)

    def is_live(self, name: str, fencing_token: int) -> bool:
        """Return whether this token is the newest of its name and has not ended."""
        lease = self._leases.get(name)
        return lease is not None and lease.live and lease.fencing_token == fencing_token

    def grant(self, index: int, term: int, command: GrantLease) -> tuple[tuple[Change, ...], Lease | LeaseHeld]:
        """Grant a free lease; the holder itself gets its grant again; others learn who holds it."""
        held = self._leases.get(command.name)
        if held is not None and held.live:
            if (held.member_id, held.session_id) == (command.member_id, command.session_id):
                return (), held
            return (), LeaseHeld(held.name, held.member_id, held.session_id, held.fencing_token)
        lease = Lease(command.name, command.member_id, command.session_id, index, term, live=True)
        return self._put(lease), lease

    def release(self, command: ReleaseLease) -> tuple[Change, ...]:
        """End the lease if it is this grant and this session's."""
        held = self._leases.get(command.name)
        if held is None or held.session_id != command.session_id:
            return ()
        return self._end(held, command.fencing_token)

    def expire(self, command: ExpireLease) -> tuple[Change, ...]:
        """End the lease if it still is this grant."""
        held = self._leases.get(command.name)
        return () if held is None else self._end(held, command.fencing_token)

    def begin_term(self, term: int) -> tuple[Change, ...]:
        """End all leases that were granted in an earlier term (F1)."""
        ended = [lease for lease in self._leases.values() if lease.live and lease.grant_term < term]
        if not ended:
            return ()
        ended.sort(key=lambda lease: lease.name)
        return tuple(change for lease in ended for change in self._end(lease, lease.fencing_token))

    def _end(self, held: Lease, fencing_token: int) -> tuple[Change, ...]:
        if not held.live or held.fencing_token != fencing_token:
            return ()  # Overtaken by an earlier entry: every member skips it alike.
        return self._put(replace(held, live=False))

    def _put(self, lease: Lease) -> tuple[Change, ...]:
        self._leases[lease.name] = lease
        return (put(LEASES, lease.to_row()),)
