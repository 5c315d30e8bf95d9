"""One term of leadership: heartbeats, proposals, reads, the lease, and when to give up (E11, E12, 8.6)."""

from __future__ import annotations

from services.consensus.events import Proposed
from services.consensus.leader_lease import LeaseClock
from services.consensus.log import ENTRY_OVERHEAD
from services.consensus.member import Member
from services.consensus.messages import AppendAck, AppendReject, Heartbeat, HeartbeatAck
from services.consensus.model import NOBODY, Entry, EntryKind, Role
from services.consensus.outputs import ProposalOutcome, ProposalResult, ReadOutcome, ReadResult
from services.consensus.proposals import OpenProposals
from services.consensus.quorum import reached_by
from services.consensus.reads import ReadRounds
from services.consensus.replication import Replication


class Leading:
    """What a member does while it leads; made when it wins, closed when it follows again."""

    def __init__(self, member: Member) -> None:
        """Take the lead of the present term: append its NOOP and tell everybody (E12)."""
        self._member = member
        self.replication = self._new_replication()
        self.lease_clock = self._new_lease_clock()
        self.proposal_results: list[ProposalResult] = []
        self.read_results: list[ReadResult] = []
        self._reads = ReadRounds()
        self._proposals = OpenProposals(member.settings.max_uncommitted)
        self._round = 0
        self._next_heartbeat = member.now
        member.role, member.leader = Role.LEADER, member.member_id
        member.leader_contact_at = member.now
        uncommitted = member.log.size(member.commit_index + 1)
        self._noop_index = self._append((b"",), EntryKind.NOOP, 0)
        self._proposals.add(self._noop_index, None, uncommitted + ENTRY_OVERHEAD)
        self._begin_round()

    def tick(self) -> None:
        """Give up without a majority or a disk (E11, 8.6); else send what is due (R7)."""
        member = self._member
        contacts = [peer.contact_at for peer in self.replication.peers.values()]
        member.leader_contact_at = reached_by([*contacts, member.now], member.quorum_need)
        if not member.store_usable or member.now - member.leader_contact_at >= member.settings.election_min:
            member.become_follower(member.term, NOBODY)
            return
        if member.now >= self._next_heartbeat:
            self._begin_round()
        self._refresh_lease()

    def propose(self, proposal: Proposed) -> None:
        """Append commands and tell where they are, or why not (R8)."""
        settings = self._member.settings
        sizes = [len(command) for command in proposal.commands]
        size = sum(sizes) + ENTRY_OVERHEAD * len(sizes)
        if max(sizes) > settings.max_append_bytes:
            self.proposal_results.append(ProposalResult(proposal.waiter, ProposalOutcome.TOO_LARGE))
        elif not self._proposals.fits(size):
            self.proposal_results.append(ProposalResult(proposal.waiter, ProposalOutcome.OVERLOADED))
        else:
            last = self._append(proposal.commands, EntryKind.COMMAND, proposal.stamp_ms)
            self._proposals.add(last, proposal.waiter, size)
            first, term = last - len(sizes) + 1, self._member.term
            appended = ProposalResult(proposal.waiter, ProposalOutcome.APPENDED, first, last, term)
            self.proposal_results.append(appended)

    def read(self, waiter: int) -> None:
        """Answer a read under the lease, or after a round of heartbeats; none before the NOOP is applied (E12, 12)."""
        member = self._member
        if not self.ready:
            self.read_results.append(ReadResult(waiter, ReadOutcome.NOT_READY))
        elif member.lease.valid_at(member.now):
            self.read_results.append(ReadResult(waiter, ReadOutcome.READY, member.commit_index))
        else:
            self._reads.add(waiter, member.commit_index)

    @property
    def ready(self) -> bool:
        """True once the NOOP of this term is applied (E12)."""
        return self._member.applied_index >= self._noop_index

    def append_acknowledged(self, ack: AppendAck) -> None:
        """Take an acknowledgement of entries (R5)."""
        if self._heard(ack.sender, ack.term, ack.sent_at, ack.promise_ns) and self.replication.acknowledged(ack):
            self._committed()

    def append_refused(self, refusal: AppendReject) -> None:
        """Take a refusal of entries (R4)."""
        if self._heard(refusal.sender, refusal.term, refusal.sent_at, refusal.promise_ns):
            self.replication.refused(refusal)

    def heartbeat_answered(self, ack: HeartbeatAck) -> None:
        """Take an answer to a heartbeat: contact, promise, and the word that this member still leads (12)."""
        if self._heard(ack.sender, ack.term, ack.sent_at, ack.promise_ns):
            self.replication.heartbeat_answered(ack)
            self.read_results += self._reads.confirmed(self._confirmed_round())

    def persisted(self) -> None:
        """Count the own disk (R5)."""
        if self.replication.commit():
            self._committed()

    def applied(self) -> None:
        """Start to serve once the NOOP is applied (E12)."""
        self._refresh_lease()

    def send(self) -> None:
        """Send what the events so far call for; once per output (R9)."""
        if self._reads.wants_round:
            self._begin_round()
        self.replication.send_appends()

    def close(self) -> None:
        """End the term: whoever waits learns that its outcome is unknown (P5)."""
        self.proposal_results += self._proposals.close()
        self.read_results += self._reads.close()

    def _new_replication(self) -> Replication:
        return Replication(self._member)

    def _new_lease_clock(self) -> LeaseClock:
        return LeaseClock(self._member.settings, self._member.term)

    def _append(self, commands: tuple[bytes, ...], kind: EntryKind, stamp_ms: int) -> int:
        """Append commands in the own term; return the last index."""
        log, term = self._member.log, self._member.term
        first = log.last_index + 1
        log.append([Entry(first + i, term, kind, stamp_ms, command) for i, command in enumerate(commands)])
        return log.last_index

    def _begin_round(self) -> None:
        """Send a heartbeat to everybody; it serves all reads that came before (12)."""
        member = self._member
        self._round += 1
        self._next_heartbeat = member.now + member.settings.heartbeat
        self._reads.round_begun(self._round)
        for peer in self.replication.peers.values():
            heartbeat = Heartbeat(
                member.member_id,
                member.term,
                min(member.commit_index, peer.match_index),
                member.now,
                member.settings.election_min,
                self._round,
            )
            member.send(peer.member_id, heartbeat)
        self.read_results += self._reads.confirmed(self._confirmed_round())

    def _confirmed_round(self) -> int:
        rounds = [peer.round for peer in self.replication.peers.values()]
        return reached_by([*rounds, self._round], self._member.quorum_need)

    def _heard(self, sender: int, term: int, sent_at: int, promise_ns: int) -> bool:
        """Note contact with a voter; False when the answer is of another term or a stranger's (E13)."""
        member = self._member
        peer = self.replication.peers.get(sender)
        if peer is None or term != member.term:
            return False
        peer.heard(member.now)
        contacts = [peer.contact_at for peer in self.replication.peers.values()]
        member.leader_contact_at = reached_by([*contacts, member.now], member.quorum_need)
        if promise_ns > 0:
            peer.promise_end = max(peer.promise_end, self.lease_clock.promise_end(sent_at, promise_ns, member.now))
            self._refresh_lease()
        return True

    def _refresh_lease(self) -> None:
        """Extend the lease; the leader gives its own word for as long as it relies on the others' (L1, L2, L4)."""
        member = self._member
        if not self.ready or not member.store_usable:
            return
        ends = [peer.promise_end for peer in self.replication.peers.values()]
        member.lease = self.lease_clock.refresh(ends, member.quorum_need, member.now)
        member.promise_until = max(member.promise_until, member.lease.valid_until)

    def _committed(self) -> None:
        self._proposals.committed(self._member.commit_index)
