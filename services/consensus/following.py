"""Following a leader: its Appends and heartbeats, and the promise each asks for (rules R1-R4, R6, R7, E6, E7)."""

from __future__ import annotations

from services.consensus.invariant import ensure
from services.consensus.member import Member
from services.consensus.messages import AppendAck, AppendReject, AppendRequest, Heartbeat, HeartbeatAck
from services.consensus.model import NOBODY, Entry, Role, StoreHealth
from services.consensus.outputs import Outgoing


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
            self._refuse(request, 0, 0, promise_ns=0)
            return
        if not self.fits(request.prev_index, request.prev_term):
            self._refuse(request, *member.log.may_match(request.prev_index, request.prev_term), request.promise_ns)
            return
        self.store(request.entries)
        match_index = request.prev_index + len(request.entries)
        member.advance_commit(min(request.commit, match_index))
        self._acknowledge(request, match_index)

    def heartbeat_received(self, heartbeat: Heartbeat) -> None:
        """Answer a heartbeat; it waits for no log entry, only for the promise and the term (R7)."""
        member = self._member
        accepted = self._accepts_leader(heartbeat.sender, heartbeat.term, heartbeat.promise_ns)
        if accepted:
            member.advance_commit(min(heartbeat.commit, member.log.last_index))
        health = StoreHealth.STALLED if member.health.usable and not member.store_usable else member.health
        answer = HeartbeatAck(
            member.member_id,
            member.term,
            heartbeat.sent_at,
            heartbeat.promise_ns if accepted else 0,
            heartbeat.round,
            member.applied_index,
            health,
        )
        member.send(heartbeat.sender, answer)

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
        """Tell whether an Append behind that entry may be accepted (R1)."""
        return self._member.log.term_at(prev_index) == prev_term

    def store(self, entries: tuple[Entry, ...]) -> None:
        """Append what is new; truncate only at the first real conflict (R1, R2)."""
        member = self._member
        for position, entry in enumerate(entries):
            term = member.log.term_at(entry.index)
            if term == entry.term:
                continue
            if term is not None:
                ensure(entry.index > member.commit_index, "R2", f"conflict at {entry.index}, committed")
                member.durability.truncate(entry.index)
            member.log.append(entries[position:])
            return

    def _acknowledge(self, request: AppendRequest, match_index: int) -> None:
        """Keep the newest acknowledgement only (R3)."""
        if self._ack is not None and self._ack.term == request.term:
            match_index = max(match_index, self._ack.match_index)
        self._ack_to = request.sender
        self._ack = AppendAck(self._member.member_id, request.term, match_index, request.sent_at, request.promise_ns)

    def _refuse(self, request: AppendRequest, hint_index: int, hint_term: int, promise_ns: int) -> None:
        member = self._member
        answer = AppendReject(
            member.member_id, member.term, request.prev_index, hint_index, hint_term, request.sent_at, promise_ns
        )
        member.send(request.sender, answer)
