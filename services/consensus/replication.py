"""A leader's log to its peers, and what is committed (section 6, rules R4-R9)."""

from __future__ import annotations

from services.consensus.invariant import ensure
from services.consensus.member import Member
from services.consensus.messages import AppendAck, AppendReject, AppendRequest, HeartbeatAck
from services.consensus.model import Entry
from services.consensus.outputs import ReplicationState
from services.consensus.progress import Progress
from services.consensus.quorum import reached_by


class Replication:
    """Sends Appends and counts acknowledgements in one term of leadership."""

    def __init__(self, member: Member) -> None:
        """Probe every peer from the end of the log; call before the NOOP is appended."""
        self._member = member
        next_index = member.log.last_index + 1
        self.peers = {other: Progress(other, next_index, member.now) for other in member.others}

    def acknowledged(self, ack: AppendAck) -> bool:
        """Take an acknowledgement; return True when the commit index rose by it (R5)."""
        ensure(ack.match_index <= self._member.log.last_index, "R3", f"{ack.sender} matches {ack.match_index}")
        return self.peers[ack.sender].acknowledged(ack.match_index) and self.commit()

    def refused(self, refusal: AppendReject) -> None:
        """Jump back to where a peer's log may match (R4)."""
        may_match, _ = self._member.log.may_match(refusal.hint_index, refusal.hint_term)
        self.peers[refusal.sender].refused(refusal.prev_index, may_match)

    def heartbeat_answered(self, ack: HeartbeatAck) -> None:
        """Notice lost Appends, and what the peer says of itself (R7)."""
        peer = self.peers[ack.sender]
        peer.heartbeat_answered(ack.sent_at)
        peer.applied_index = ack.applied_index
        peer.store_health = ack.store_health
        peer.round = max(peer.round, ack.round)

    def unreachable(self, member_id: int) -> None:
        """Probe a peer whose connection broke, once a heartbeat was answered again (W3)."""
        peer = self.peers.get(member_id)
        if peer is not None:
            peer.probe_from(peer.match_index + 1)
            peer.probe_sent = True

    def commit(self) -> bool:
        """Commit what a majority has durably, the own disk counting like any other (R5); True when it rose."""
        member = self._member
        matches = [peer.match_index for peer in self.peers.values()]
        index = reached_by([*matches, member.durability.durable_index], member.quorum_need)
        if index <= member.commit_index or not self.counts_for_commit(index):
            return False
        member.advance_commit(index)
        return True

    def counts_for_commit(self, index: int) -> bool:
        """Tell whether counting copies commits an entry: only one of the own term (R5, thesis 3.6.2)."""
        return self._member.log.term_at(index) == self._member.term

    def send_appends(self) -> None:
        """Send each peer what its window allows (R6, R9)."""
        for peer in self.peers.values():
            while peer.next_index <= self._member.log.last_index and peer.may_send(self._member.settings):
                self._send(peer)
                if peer.state is ReplicationState.PROBE:
                    break
            if peer.nudge:
                peer.nudge = False
                self._send_append(peer, ())

    def _send(self, peer: Progress) -> None:
        settings = self._member.settings
        entries, size = self._member.log.batch(peer.next_index, settings.max_batch, settings.max_append_bytes)
        self._send_append(peer, entries)
        peer.sent(entries[-1].index, size, self._member.now)

    def _send_append(self, peer: Progress, entries: tuple[Entry, ...]) -> None:
        member = self._member
        prev_index = peer.next_index - 1
        prev_term = member.log.term_at(prev_index)
        assert prev_term is not None  # next_index never runs ahead of the log.
        request = AppendRequest(
            member.member_id,
            member.term,
            prev_index,
            prev_term,
            entries,
            member.commit_index,
            member.now,
            member.settings.election_min,
        )
        member.send(peer.member_id, request)
