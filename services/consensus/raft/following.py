"""Following a leader: its Appends, heartbeats and snapshots (rules R1-R4, R6, R7, E6, E7, N4, N5).

Each Append and heartbeat asks for a promise (5). While a snapshot is being installed Appends are refused, heartbeats
answered as always.
"""

from __future__ import annotations

from services.consensus.raft.events import SnapshotReceived
from services.consensus.raft.invariant import ensure
from services.consensus.raft.member import Member
from services.consensus.raft.messages import AppendAck, AppendReject, AppendRequest, Heartbeat, HeartbeatAck
from services.consensus.raft.model import NOBODY, START, Entry, LogMark, Role, StoreHealth
from services.consensus.raft.outputs import Outgoing


class Following:
    """One member's part as a follower."""

    def __init__(self, member: Member) -> None:
        """Work on a member's shared state."""
        self._member = member
        self._ack: AppendAck | None = None
        self._ack_to = NOBODY

    def append_requested(self, request: AppendRequest) -> None:
        """Accept entries where they fit, or say where they might (R1, R4)."""
        member = self._member
        if not self._accepts_leader(request.sender, request.term, request.promise_ns):
            self._refuse(request, START, promise_ns=0)
            return
        if member.quarantine:
            return  # No acknowledgement, and nothing to acknowledge (14.6).
        if member.durability.installing:
            self._refuse(request, member.log.mark, request.promise_ns, installing=True)
            return
        if not self.fits(request.prev_index, request.prev_term):
            hint = member.log.may_match(request.prev_index, request.prev_term) or member.log.mark
            self._refuse(request, hint, request.promise_ns)
            return
        self.store(request.entries)
        # What the mark covers is committed, so it is in the log of every leader of this term or a later one (I4).
        match_index = max(request.prev_index + len(request.entries), member.log.mark.index)
        member.advance_commit(min(request.commit, match_index))
        self._acknowledge(request, match_index)

    def heartbeat_received(self, heartbeat: Heartbeat) -> None:
        """Answer a heartbeat; it waits for no log entry, only for the promise and the term (R7)."""
        member = self._member
        accepted = self._accepts_leader(heartbeat.sender, heartbeat.term, heartbeat.promise_ns)
        if accepted and not member.quarantine and self._state_differs(heartbeat):
            member.distrust(f"state differs from the group's at {heartbeat.digest_index}")  # A4
        trusted = accepted and not member.quarantine
        if trusted:
            member.advance_commit(min(heartbeat.commit, member.log.last_index))
        health = StoreHealth.STALLED if member.health.usable and not member.store_usable else member.health
        answer = HeartbeatAck(
            member.member_id,
            member.term,
            heartbeat.sent_at,
            heartbeat.promise_ns if trusted else 0,
            heartbeat.round,
            member.applied_index,
            health,
            member.now,
            member.own_digests.newest_index,
            member.own_digests.newest,
            member.ready,
            bool(member.quarantine),
        )
        member.send(heartbeat.sender, answer)

    def _state_differs(self, heartbeat: Heartbeat) -> bool:
        return self._member.own_digests.contradicts(heartbeat.digest_index, heartbeat.digest)

    def snapshot_received(self, snapshot: SnapshotReceived) -> None:
        """Install a snapshot if it knows of entries that are not in the log (N4, N5).

        It stands at a committed entry. With that entry in the log nothing has to be replaced: then it only says that
        the entry is committed, and what is behind it stays. A leader never drops entries of its own (I2); but where
        there is an entry of a later term, there was a later leader.
        """
        member, mark = self._member, snapshot.mark
        if mark.index <= member.commit_index or member.quarantine:
            return
        if mark.term > member.term:
            member.become_follower(mark.term, NOBODY)
        if member.role is Role.LEADER:
            return
        if not self.keeps_suffix(mark):
            self._ack = None
            member.durability.install(mark, member.commit_index)
            member.begin_behind(snapshot.configuration, snapshot.configuration_index)
        member.advance_commit(mark.index)

    def keeps_suffix(self, mark: LogMark) -> bool:
        """Tell whether the log has the entry a snapshot stands at (N5)."""
        return self._member.log.term_at(mark.index) == mark.term

    def take_acknowledgement(self) -> Outgoing | None:
        """Return the newest acknowledgement, to leave when log and term are durable (C1, R3); call after the batch."""
        ack, self._ack = self._ack, None
        if ack is None or ack.term != self._member.term:
            return None
        return Outgoing(self._ack_to, ack, self._member.durability.log_barrier(ack.match_index))

    def _accepts_leader(self, sender: int, term: int, promise_ns: int) -> bool:
        """Follow a leader whose term is not old, and promise what it asks (5)."""
        member = self._member
        if term < member.term:
            return False
        ensure(term > member.term or member.role is not Role.LEADER, "I1", f"{sender} leads term {term} as well")
        ensure(term > member.term or member.leader in (NOBODY, sender), "I1", f"{sender} leads term {term} as well")
        if term > member.term or member.role is not Role.FOLLOWER or member.leader != sender:
            member.become_follower(term, sender)
        member.promise(promise_ns)
        member.leader_contact_at = member.now
        member.restart_election_timer()
        return True

    def fits(self, prev_index: int, prev_term: int) -> bool:
        """Tell whether an Append behind that entry may be accepted (R1); what the mark covers, every leader has."""
        log = self._member.log
        return prev_index < log.mark.index or log.term_at(prev_index) == prev_term

    def store(self, entries: tuple[Entry, ...]) -> None:
        """Append what is new; truncate only at the first real conflict (R1, R2)."""
        member = self._member
        for position, entry in enumerate(entries):
            term = member.log.term_at(entry.index)
            if term == entry.term or entry.index < member.log.mark.index:
                continue
            if term is not None:
                ensure(entry.index > member.commit_index, "R2", f"conflict at {entry.index}, committed")
                member.truncate(entry.index)
            member.append(entries[position:])
            return

    def _acknowledge(self, request: AppendRequest, match_index: int) -> None:
        """Keep the newest acknowledgement only (R3)."""
        if self._ack is not None and self._ack.term == request.term:
            match_index = max(match_index, self._ack.match_index)
        self._ack_to = request.sender
        self._ack = AppendAck(self._member.member_id, request.term, match_index, request.sent_at, request.promise_ns)

    def _refuse(self, request: AppendRequest, hint: LogMark, promise_ns: int, *, installing: bool = False) -> None:
        member = self._member
        answer = AppendReject(
            member.member_id,
            member.term,
            request.prev_index,
            hint.index,
            hint.term,
            request.sent_at,
            promise_ns,
            installing,
        )
        member.send(request.sender, answer)
