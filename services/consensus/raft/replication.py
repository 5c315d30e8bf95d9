"""A leader's log to its peers, and what is committed (section 6, rules R4-R9)."""

from __future__ import annotations

from services.consensus.raft.clock_rate import Reading
from services.consensus.raft.events import SnapshotSent
from services.consensus.raft.invariant import ensure
from services.consensus.raft.member import Member
from services.consensus.raft.messages import AppendAck, AppendReject, AppendRequest, HeartbeatAck
from services.consensus.raft.model import Entry
from services.consensus.raft.outputs import ReplicationState
from services.consensus.raft.progress import Progress
from services.consensus.raft.quorum import reached_by

RETRY_ELECTIONS = 2
"""Longest election deadlines to wait after a failed transfer before the next one begins."""
FORGET_ELECTIONS = 5
"""Longest election deadlines during which a former member that does not answer is told that it is one (M7)."""


class Replication:
    """Sends Appends and counts acknowledgements in one term of leadership."""

    def __init__(self, member: Member) -> None:
        """Probe every peer from the end of the log; call before the NOOP is appended."""
        self._member = member
        next_index = member.log.last_index + 1
        ids = (other for other in member.configuration.ids if other != member.member_id)
        self.peers = {other: Progress(other, next_index, member.now) for other in ids}
        self.voters = [self.peers[voter] for voter in member.other_voters]
        self._snapshot_wanted: list[int] = []

    def acknowledged(self, ack: AppendAck) -> bool:
        """Take an acknowledgement; return True when the commit index rose by it (R5)."""
        ensure(ack.match_index <= self._member.log.last_index, "R3", f"{ack.sender} matches {ack.match_index}")
        peer = self.peers[ack.sender]
        peer.reaches(ack.match_index, ack.sent_at)
        if not peer.acknowledged(ack.match_index):
            return False
        peer.matched_at = self._member.now
        return self.commit()

    def reconfigure(self) -> None:
        """Follow the newest configuration: who is fed, and who counts (M1, M8).

        A former member is fed on until it knows, so that it gives up by itself (M7).
        """
        member, configuration = self._member, self._member.configuration
        for other in configuration.ids:
            if other != member.member_id and other not in self.peers:
                # It is shown the newest entry, and answers where its log ends.
                self.peers[other] = Progress(other, member.log.last_index, member.now)
        self.peers = dict(sorted(self.peers.items()))  # C3
        for peer in self.peers.values():
            stays = peer.member_id in configuration.ids
            peer.left_index = 0 if stays else peer.left_index or member.configurations.newest_index
        self.voters = [self.peers[voter] for voter in member.other_voters]

    def former(self) -> list[Progress]:
        """Return the former members to be told that they are; forget those that know, or do not answer (M7)."""
        member = self._member
        told = [peer for peer in self.peers.values() if 0 < peer.left_index <= member.commit_index]
        for peer in told:
            peer.forget_at = peer.forget_at or member.now + FORGET_ELECTIONS * member.settings.election_max
            if peer.applied_index >= peer.left_index or member.now >= peer.forget_at:
                del self.peers[peer.member_id]
        return told

    def reached(self, values: list[int], own: int) -> int:
        """Return what a majority of voters reaches; a leader that is no voter does not count itself (M8).

        Args:
            values: Of the other voters, in the order of `voters`.
            own: Of this member.
        """
        member = self._member
        return reached_by([*values, own] if member.votes else values, member.quorum_need)

    def refused(self, refusal: AppendReject) -> None:
        """Jump back to where a peer's log may match (R4); one that installs a snapshot says nothing about it (N4)."""
        if refusal.installing:
            return
        self.peers[refusal.sender].reaches(refusal.hint_index, refusal.sent_at)
        log = self._member.log
        may_match = log.may_match(refusal.hint_index, refusal.hint_term)
        before_mark = log.mark.index - 1
        self.peers[refusal.sender].refused(refusal.prev_index, before_mark if may_match is None else may_match.index)

    def heartbeat_answered(self, ack: HeartbeatAck) -> None:
        """Notice lost Appends, and what the peer says of itself (R7)."""
        peer = self.peers[ack.sender]
        peer.heartbeat_answered(ack.sent_at)
        peer.applied_index = ack.applied_index
        peer.store_health = ack.store_health
        peer.ready, peer.quarantined = ack.ready, ack.quarantined
        peer.rtt_ns = self._member.now - ack.sent_at
        if ack.clock:
            peer.clock_rate.observe(Reading(ack.sent_at, self._member.now, ack.clock))
        if peer.trusted:
            peer.round = max(peer.round, ack.round)
        else:
            peer.promise_end = 0

    def unreachable(self, member_id: int) -> None:
        """Probe a peer whose connection broke, once a heartbeat was answered again (W3)."""
        peer = self.peers.get(member_id)
        if peer is not None:
            peer.connection_broke(self._member.log.mark.index)

    def snapshot_sent(self, sent: SnapshotSent) -> None:
        """Ask a peer whether it goes on behind a snapshot; if not, send another, after a failure not at once (N2).

        A transfer may have failed in its last answer, and the peer has the snapshot all the same.
        """
        peer, member = self.peers.get(sent.member_id), self._member
        if peer is not None:
            pause = 0 if sent.delivered else RETRY_ELECTIONS * member.settings.election_max
            peer.transfer_ended(max(sent.mark.index, member.log.mark.index) + 1, member.now + pause)

    def take_snapshot_wanted(self) -> tuple[int, ...]:
        """Return who needs a snapshot from now on, each once until its transfer has ended (N2)."""
        wanted = tuple(self._snapshot_wanted)
        self._snapshot_wanted.clear()
        return wanted

    def commit(self) -> bool:
        """Commit what a majority has durably, the own disk counting like any other (R5); True when it rose."""
        member = self._member
        matches = [peer.match_index if peer.trusted else 0 for peer in self.voters]
        index = self.reached(matches, member.durability.durable_index)
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
            if not self._feeds(peer):
                continue
            last_index = self._member.log.last_index
            while peer.next_index <= last_index and peer.may_send(self._member.settings, last_index):
                self._send(peer)
                if peer.state is ReplicationState.PROBE:
                    break
            if peer.nudge:
                peer.nudged(self._member.now)
                self._send_append(peer, ())

    def _feeds(self, peer: Progress) -> bool:
        """Tell whether the log has what a peer needs next; else it needs a snapshot (N2)."""
        member = self._member
        if not peer.trusted:
            return False
        if peer.next_index <= member.log.mark.index:
            if peer.need_snapshot(member.now, member.settings.heartbeat):
                self._snapshot_wanted.append(peer.member_id)
            return False
        if peer.state is ReplicationState.SNAPSHOT:
            peer.ask_from(peer.next_index)
        return True

    def _send(self, peer: Progress) -> None:
        settings = self._member.settings
        entries, size = self._member.log.batch(peer.next_index, settings.max_batch, settings.max_append_bytes)
        self._send_append(peer, entries)
        peer.sent(entries[-1].index, size, self._member.now)

    def _send_append(self, peer: Progress, entries: tuple[Entry, ...]) -> None:
        member = self._member
        prev_index = peer.next_index - 1
        prev_term = member.log.term_at(prev_index)
        assert prev_term is not None  # next_index is neither ahead of the log nor before its mark.
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
