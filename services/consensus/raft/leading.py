"""One term of leadership: heartbeats, proposals, reads, the lease, and when to give up (E11, E12, 8.1, 8.6, 9)."""

from __future__ import annotations

from services.consensus.raft.configuration import encode_configuration
from services.consensus.raft.digests import DigestPoll
from services.consensus.raft.events import MemberChange, MemberChangeRequested, Proposed
from services.consensus.raft.leader_lease import LeaseClock
from services.consensus.raft.log import ENTRY_OVERHEAD
from services.consensus.raft.member import Member
from services.consensus.raft.membership import (
    GroupView,
    changed,
    judge_change,
)
from services.consensus.raft.messages import AppendAck, AppendReject, Heartbeat, HeartbeatAck, Removed
from services.consensus.raft.model import NOBODY, Entry, EntryKind, Role
from services.consensus.raft.outputs import (
    ChangeBlocker,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
)
from services.consensus.raft.progress import Progress
from services.consensus.raft.proposals import OpenProposals
from services.consensus.raft.reads import ReadRounds
from services.consensus.raft.replication import Replication
from services.consensus.raft.transfer import Transfers


class Leading:
    """What a member does while it leads; made when it wins, closed when it follows again."""

    def __init__(self, member: Member) -> None:
        """Take the lead of the present term: append its NOOP and tell everybody (E12)."""
        self._member = member
        self.replication = self._new_replication()
        self.lease_clock = self._new_lease_clock()
        self.proposal_results: list[ProposalResult] = []
        self.read_results: list[ReadResult] = []
        self.transfers = Transfers(member, self.replication, self.lease_clock)
        self._digests = DigestPoll(member.member_id, member.own_digests)
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
        contact_at = self._note_contact()
        if not member.store_usable or member.now - contact_at >= member.settings.election_min:
            member.become_follower(member.term, NOBODY)
            return
        if member.now >= self._next_heartbeat:
            self._begin_round()
        self._refresh_lease()
        self.transfers.advance()

    def propose(self, proposal: Proposed) -> None:
        """Append commands and tell where they are, or why not (R8)."""
        if self.transfers.closed:
            self.proposal_results.append(ProposalResult(proposal.waiter, ProposalOutcome.NOT_LEADER))
        else:
            self._take(proposal.commands, EntryKind.COMMAND, proposal.stamp_ms, proposal.waiter)

    def change_members(self, request: MemberChangeRequested) -> None:
        """Append the configuration that a change makes, or tell what is in the way (9)."""
        blocker = self.judge_change(request.change, force=request.force)
        if blocker is not None:
            refused = ProposalResult(request.waiter, ProposalOutcome.REFUSED, blocker=blocker)
            self.proposal_results.append(refused)
            return
        held = self._member.configurations
        data = encode_configuration(changed(request.change, held.newest, held.newest_index))
        self._take((data,), EntryKind.CONFIG, request.stamp_ms, request.waiter)

    def judge_change(self, change: MemberChange, *, force: bool) -> ChangeBlocker | None:
        """Tell what is in the way of a change now (M6)."""
        member = self._member
        since = member.now - member.settings.election_min
        heard = [
            peer
            for peer in self.replication.peers.values()
            if peer.trusted and peer.heard_at is not None and peer.heard_at > since
        ]
        view = GroupView(
            member.member_id,
            member.configuration,
            ready=self.ready,
            change_open=member.configurations.newest_index > member.commit_index,
            transferring=self.transfers.running,
            heard={member.member_id, *(peer.member_id for peer in heard)},
            caught_up={peer.member_id for peer in heard if peer.caught_up},
        )
        return judge_change(change, view, force=force)

    def digest_made(self) -> None:
        """Compare the own state with the others' (A4)."""
        member = self._member
        self._digests.settle(member.configuration.voters, member.quorum_need)
        if member.own_digests.contradicts(self._digests.agreed_index, self._digests.agreed):
            member.distrust(f"state differs from the majority's at {self._digests.agreed_index}")

    def retime(self) -> None:
        """Ask for promises, and reckon them, by settings that changed (18.5)."""
        member = self._member
        self.lease_clock.retime(member.settings)
        member.expect_promise(member.settings.election_min)  # Before the first heartbeat that asks for so long.
        self._next_heartbeat = min(self._next_heartbeat, member.now + member.settings.heartbeat)

    def asked_by(self, sender: int) -> None:
        """Tell a former member that asks for votes that it is one (M7)."""
        member = self._member
        index = member.configurations.newest_index
        if sender not in member.configuration.ids and index <= member.commit_index:
            member.send(sender, Removed(member.member_id, member.term, index))

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
        peer = self._answering(ack.sender, ack.term)
        if peer is not None and self._heard(peer, ack.sent_at, ack.promise_ns):
            if self.replication.acknowledged(ack):
                self._committed()
            self.transfers.advance()

    def append_refused(self, refusal: AppendReject) -> None:
        """Take a refusal of entries (R4)."""
        peer = self._answering(refusal.sender, refusal.term)
        if peer is not None and self._heard(peer, refusal.sent_at, refusal.promise_ns):
            self.replication.refused(refusal)

    def heartbeat_answered(self, ack: HeartbeatAck) -> None:
        """Take an answer to a heartbeat: contact, promise, and the word that this member still leads (12)."""
        peer = self._answering(ack.sender, ack.term)
        if peer is None:
            return
        self.replication.heartbeat_answered(ack)
        if self._heard(peer, ack.sent_at, ack.promise_ns):
            self.read_results += self._reads.confirmed(self._confirmed_round())
        if ack.digest_index > self._digests.agreed_index:
            self._digests.report(ack.sender, ack.digest_index, ack.digest)
            self.digest_made()

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
        self.transfers.close()

    @property
    def drifts(self) -> bool:
        """True when a voter's clock surely runs faster or slower than the lease allows for (L5)."""
        bound = self._member.settings.clock_drift_ppm
        return any(peer.clock_rate.differs_ppm > bound for peer in self.replication.voters)

    def _new_replication(self) -> Replication:
        return Replication(self._member)

    def _new_lease_clock(self) -> LeaseClock:
        return LeaseClock(self._member.settings, self._member.term)

    def _take(self, commands: tuple[bytes, ...], kind: EntryKind, stamp_ms: int, waiter: int) -> None:
        sizes = [len(command) for command in commands]
        size = sum(sizes) + ENTRY_OVERHEAD * len(sizes)
        if max(sizes) > self._member.settings.max_append_bytes:
            self.proposal_results.append(ProposalResult(waiter, ProposalOutcome.TOO_LARGE))
        elif not self._proposals.fits(size):
            self.proposal_results.append(ProposalResult(waiter, ProposalOutcome.OVERLOADED))
        else:
            last = self._append(commands, kind, stamp_ms)
            self._proposals.add(last, waiter, size)
            first, term = last - len(sizes) + 1, self._member.term
            self.proposal_results.append(ProposalResult(waiter, ProposalOutcome.APPENDED, first, last, term))

    def _append(self, commands: tuple[bytes, ...], kind: EntryKind, stamp_ms: int) -> int:
        """Append commands in the own term; return the last index. A configuration holds at once (M1)."""
        member = self._member
        first, term = member.log.last_index + 1, member.term
        member.append([Entry(first + i, term, kind, stamp_ms, command) for i, command in enumerate(commands)])
        if kind is EntryKind.CONFIG:
            self.replication.reconfigure()
        return member.log.last_index

    def _begin_round(self) -> None:
        """Send a heartbeat to everybody; it serves all reads that came before (12)."""
        member = self._member
        self._round += 1
        self._next_heartbeat = member.now + member.settings.heartbeat
        self._reads.round_begun(self._round)
        self.transfers.remind()
        for peer in self.replication.former():
            removed = Removed(member.member_id, member.term, member.configurations.newest_index)
            member.send(peer.member_id, removed)
        for peer in self.replication.peers.values():
            peer.round_begun(member.log.last_index)
            heartbeat = Heartbeat(
                member.member_id,
                member.term,
                min(member.commit_index, peer.match_index),
                member.now,
                member.settings.election_min,
                self._round,
                self._digests.agreed_index,
                self._digests.agreed,
            )
            member.send(peer.member_id, heartbeat)
        self.read_results += self._reads.confirmed(self._confirmed_round())

    def _confirmed_round(self) -> int:
        return self.replication.reached([peer.round for peer in self.replication.voters], self._round)

    def _answering(self, sender: int, term: int) -> Progress | None:
        """Return who sent an answer; None when it is of another term or a stranger's (E13)."""
        return self.replication.peers.get(sender) if term == self._member.term else None

    def _heard(self, peer: Progress, sent_at: int, promise_ns: int) -> bool:
        """Note contact with a peer; False when its word does not count (14.6)."""
        peer.heard(self._member.now)
        if not peer.trusted:
            return False
        self._note_contact()
        if promise_ns > 0:
            now = self._member.now
            peer.promise_end = max(peer.promise_end, self.lease_clock.promise_end(sent_at, promise_ns, now))
            self._refresh_lease()
        return True

    def _note_contact(self) -> int:
        """Reckon when a majority was last heard (E11)."""
        member = self._member
        contacts = [peer.contact_at for peer in self.replication.voters]
        member.leader_contact_at = self.replication.reached(contacts, member.now)
        return member.leader_contact_at

    def _refresh_lease(self) -> None:
        """Extend the lease; the leader gives its own word for as long as it relies on the others' (L1, L2, L4)."""
        member = self._member
        if not self.ready or not member.store_usable or not self.transfers.keeps_lease:
            return
        if self.drifts:
            member.lease = self.lease_clock.end()
            return
        ends = [peer.promise_end for peer in self.replication.voters]
        need = member.quorum_need if member.votes else member.quorum_need + 1
        member.lease = self.lease_clock.refresh(ends, need, member.now)
        member.promise_until = max(member.promise_until, member.lease.valid_until)

    def _committed(self) -> None:
        self._proposals.committed(self._member.commit_index)
