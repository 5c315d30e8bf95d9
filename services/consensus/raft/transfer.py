"""Handing leadership over: the stages of one transfer (8.1; thesis 3.10, made safe for leases).

DRAINING: lease holders end their steps, the group works as ever. CLOSED: no new proposals; the target catches up.
SURRENDERED: the lease of the term has ended for good, the target campaigns. Before SURRENDERED a failure resumes normal
work; after it the leader gives its role up within E, whatever happens. A forced transfer closes although lease holders
are not done; they may rely on the lease they were told of, so the surrender then waits until that has run out.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.consensus.raft.events import TransferRequested
from services.consensus.raft.leader_lease import LeaseClock
from services.consensus.raft.member import Member
from services.consensus.raft.messages import TimeoutNow
from services.consensus.raft.model import NOBODY
from services.consensus.raft.outputs import TransferOutcome, TransferResult
from services.consensus.raft.replication import Replication
from services.consensus.raft.succession import fit_successors


class Transfer:
    """One transfer of one leader."""

    def __init__(self, request: TransferRequested, target: int, now: int) -> None:
        """Start to drain."""
        self.waiter = request.waiter
        self.target = target
        self.hold_ns = request.hold_ns
        self.surrendered_at: int | None = None
        self._force = request.force
        self._drained = False
        self._deadline = now + request.drain_ns
        self._closed_at: int | None = None

    @property
    def closed(self) -> bool:
        """True when no more proposals are taken."""
        return self._closed_at is not None

    @property
    def surrendered(self) -> bool:
        """True when there is no way back."""
        return self.surrendered_at is not None

    @property
    def keeps_lease(self) -> bool:
        """True while the leader lease may be extended; one that a forced transfer waits for may not."""
        return not self.surrendered and (self._drained or not self.closed)

    def drained(self, now: int) -> None:
        """Note that all lease holders are done."""
        self._drained = True
        self._close(now)

    def failure(self, now: int, *, fit: bool, patience: int) -> TransferOutcome | None:
        """Tell why it must be given up at this time; None = go on. Closes a forced one when its time is over.

        Args:
            now: Present time.
            fit: The target may still take over.
            patience: Time the target has to catch up after the close, even beyond the deadline.
        """
        if self.surrendered:
            return None
        if not fit:
            return TransferOutcome.UNFIT_TARGET
        if now < self._deadline:
            return None
        if self._closed_at is None:
            if not self._force:
                return TransferOutcome.NOT_DRAINED
            self._close(now)
        late = self._closed_at is not None and now >= self._closed_at + patience
        return TransferOutcome.NOT_CAUGHT_UP if late else None

    def may_surrender(self, *, caught_up: bool, lease_valid: bool) -> bool:
        """Tell whether the lease may end now."""
        return self.closed and not self.surrendered and caught_up and (self._drained or not lease_valid)

    def surrender(self, now: int) -> None:
        """Pass the point of no return."""
        self.surrendered_at = now

    def _close(self, now: int) -> None:
        if self._closed_at is None:
            self._closed_at = now


@dataclass(frozen=True, slots=True)
class Parting:
    """What a member that surrendered and does not lead any more waits for: another leader.

    Attributes:
        waiter: Asked for the transfer.
        target: Was to take over.
        term: Term that was given up.
        until: When to wait no longer.
    """

    waiter: int
    target: int
    term: int
    until: int

    def outcome(self, term: int, leader: int, own_id: int, now: int) -> TransferOutcome | None:
        """Tell what became of the transfer; None = not known yet."""
        if term > self.term and leader != NOBODY:
            return TransferOutcome.NO_SUCCESSOR if leader == own_id else TransferOutcome.DONE
        return TransferOutcome.NO_SUCCESSOR if now >= self.until else None


class Transfers:
    """The transfers of one term of leadership, one at a time."""

    def __init__(self, member: Member, replication: Replication, lease_clock: LeaseClock) -> None:
        """Work on what the leader has."""
        self.results: list[TransferResult] = []
        self._member = member
        self._replication = replication
        self._lease_clock = lease_clock
        self._transfer: Transfer | None = None

    @property
    def running(self) -> bool:
        """True from the begin of a transfer to its failure or the end of the leadership."""
        return self._transfer is not None

    @property
    def closed(self) -> bool:
        """True while no proposals are taken."""
        return self._transfer is not None and self._transfer.closed

    @property
    def surrendered(self) -> bool:
        """True when the lease of this term has ended for good (8.1 d)."""
        return self._transfer is not None and self._transfer.surrendered

    @property
    def keeps_lease(self) -> bool:
        """True while the leader lease may be extended."""
        return self._transfer is None or self._transfer.keeps_lease

    def begin(self, request: TransferRequested) -> None:
        """Begin to hand over, or tell why not (8.1)."""
        target, refusal = self._choose_target(request.target)
        if self._transfer is not None:
            refusal = TransferOutcome.ALREADY_RUNNING
        if refusal is not None:
            self.results.append(TransferResult(request.waiter, refusal, target))
            return
        self._transfer = Transfer(request, target, self._member.now)

    def drained(self) -> None:
        """Go on: no lease holder has a running step any more (8.1 b)."""
        if self._transfer is not None:
            self._transfer.drained(self._member.now)
            self.advance()

    def advance(self) -> None:
        """Take the next stage when it is due (8.1)."""
        member, transfer = self._member, self._transfer
        if transfer is None:
            return
        patience = member.settings.election_min
        if transfer.surrendered_at is not None:
            if member.now - transfer.surrendered_at >= patience:
                self._end(transfer, TransferOutcome.NO_SUCCESSOR)
                member.become_follower(member.term, NOBODY)
            return
        fit = self._fit(transfer.target)
        caught_up = fit and self._replication.peers[transfer.target].match_index == member.log.last_index
        if transfer.may_surrender(caught_up=caught_up, lease_valid=member.lease.valid_at(member.now)):
            self._surrender(transfer)
            return
        failure = transfer.failure(member.now, fit=fit, patience=patience)
        if failure is not None:
            self._end(transfer, failure)

    def remind(self) -> None:
        """Tell the target again that it shall campaign: the first word may be lost."""
        if self._transfer is not None and self._transfer.surrendered:
            self._ask(self._transfer.target)

    def close(self) -> None:
        """End with the leadership; what follows a surrender is left to `parting`."""
        if self._transfer is not None and not self._transfer.surrendered:
            self._end(self._transfer, TransferOutcome.LOST)

    def parting(self) -> Parting | None:
        """Return what is left to find out after `close`: who leads now. None = nothing."""
        member, transfer = self._member, self._transfer
        if transfer is None:
            return None
        until = member.now + member.settings.election_min
        return Parting(transfer.waiter, transfer.target, self._lease_clock.lease.term, until)

    def _choose_target(self, named: int) -> tuple[int, TransferOutcome | None]:
        """Return who shall take over, and why not (8.1)."""
        if named != NOBODY:
            return named, None if self._fit(named) else TransferOutcome.UNFIT_TARGET
        member = self._member
        peers = [peer.view() for peer in self._replication.voters]
        since = member.now - member.settings.election_min
        fit = fit_successors(peers, member.configuration, member.log.last_index, since)
        return (fit[0].member_id, None) if fit else (NOBODY, TransferOutcome.NO_TARGET)

    def _fit(self, target: int) -> bool:
        """Tell whether a voter could lead at all."""
        found = next((peer for peer in self._replication.voters if peer.member_id == target), None)
        return found is not None and found.trusted and found.store_health.usable

    def _surrender(self, transfer: Transfer) -> None:
        """End the lease of this term for good, and let the target campaign (8.1 d, e)."""
        member = self._member
        transfer.surrender(member.now)
        member.lease = self._lease_clock.end()
        member.hold_until = max(member.hold_until, member.now + transfer.hold_ns)
        self._ask(transfer.target)

    def _ask(self, target: int) -> None:
        self._member.send(target, TimeoutNow(self._member.member_id, self._member.term))

    def _end(self, transfer: Transfer, outcome: TransferOutcome) -> None:
        self.results.append(TransferResult(transfer.waiter, outcome, transfer.target))
        self._transfer = None
