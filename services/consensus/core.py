"""The Raft core of one member: events in, output out (section 4).

No I/O, no clock, no randomness of its own: the same boot state, seed and events give the same outputs, byte for byte.
`Elections` decides who leads, `Following` takes a leader's entries, `Leading` exists while this member leads; they
share one `Member`. What they decide collects until `take_output`.
"""

from __future__ import annotations

from services.consensus.election import Elections
from services.consensus.events import (
    Applied,
    Event,
    PeerUnreachable,
    Persisted,
    Proposed,
    ReadRequested,
    Received,
    StoreHealthChanged,
    Tick,
)
from services.consensus.following import Following
from services.consensus.invariant import ensure
from services.consensus.leading import Leading
from services.consensus.member import Member
from services.consensus.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
    VoteResponse,
)
from services.consensus.model import NOBODY, BootState, CoreSettings, Entry, InvariantViolated, Role
from services.consensus.outputs import (
    CoreStatus,
    LeaderLease,
    Leadership,
    Output,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
)


class RaftCore:
    """One member's Raft state machine: same boot state, seed and events give the same outputs, byte for byte."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int) -> None:
        """Start as a follower from what the store gave back.

        Args:
            settings: Identity, voters and durations.
            boot: Term, vote, log and applied index; all of it durable.
            seed: Source of the election timers' randomness; different on each member.
            now: Local clock (T1), nanoseconds.

        Raises:
            InvariantViolated: S3, S7 (a gap in the log, or applied beyond its end).
        """
        self._member = Member(settings, boot, seed, now)
        self._elections = self._new_elections()
        self._following = self._new_following()
        self._leading: Leading | None = None
        self._halted: InvariantViolated | None = None
        self._given_index = boot.applied_index
        self._told_lease = self._member.lease
        self._told_leadership: Leadership | None = None
        self._proposal_results: list[ProposalResult] = []
        self._read_results: list[ReadResult] = []

    def step(self, event: Event, now: int) -> None:
        """Take one event.

        Args:
            event: What happened.
            now: Local clock when it was taken, nanoseconds; never goes back (T2).

        Raises:
            InvariantViolated: A rule does not hold (C4). Every later call raises it again.
        """
        if self._halted is not None:
            raise self._halted
        try:
            ensure(now >= self._member.now, "T2", f"time {now} after {self._member.now}")
            self._member.now = now
            self._take(event)
            if self._leading is not None and self._member.role is not Role.LEADER:
                self._stop_leading(self._leading)
        except InvariantViolated as violation:
            self._halted = violation
            raise

    def take_output(self) -> Output:
        """Return what follows from the events since the last call; each thing is given out once.

        Raises:
            InvariantViolated: The member has halted (C4).
        """
        if self._halted is not None:
            raise self._halted
        member = self._member
        if self._leading is not None:
            self._leading.send()
            self._collect(self._leading)
        batch = member.durability.take_batch(member.now)
        acknowledgement = self._following.take_acknowledgement()
        if acknowledgement is not None:
            member.outbox.append(acknowledgement)
        committed = member.log.between(self._given_index + 1, member.commit_index)
        self._given_index = member.commit_index
        output = Output(
            persist=() if batch is None else (batch,),
            messages=tuple(member.outbox),
            proposal_results=tuple(self._proposal_results),
            committed=committed,
            read_results=tuple(self._read_results),
            lease=self._changed_lease(),
            leadership=self._changed_leadership(),
        )
        member.outbox.clear()
        self._proposal_results.clear()
        self._read_results.clear()
        return output

    def status(self) -> CoreStatus:
        """Return this member's view as of the last step."""
        member = self._member
        peers = () if self._leading is None else tuple(p.view() for p in self._leading.replication.peers.values())
        return CoreStatus(
            member_id=member.member_id,
            role=member.role,
            term=member.term,
            voted_for=member.voted_for,
            leader=member.leader,
            commit_index=member.commit_index,
            applied_index=member.applied_index,
            last_index=member.log.last_index,
            last_term=member.log.last_term,
            durable_index=member.durability.durable_index,
            promise_until=member.promise_until,
            leader_contact_at=member.leader_contact_at,
            lease=member.lease,
            peers=peers,
            quorum_have=self._quorum_have(),
            quorum_need=member.quorum_need,
            store_health=member.health,
        )

    def position(self) -> tuple[Role, int, int, int, int]:
        """Return role, term, commit index, last index and applied index: what a trace tells of each event."""
        member = self._member
        return member.role, member.term, member.commit_index, member.log.last_index, member.applied_index

    def entries(self) -> tuple[Entry, ...]:
        """Return the whole log, for tests and checks."""
        return self._member.log.between(1, self._member.log.last_index)

    def _new_elections(self) -> Elections:
        return Elections(self._member)

    def _new_following(self) -> Following:
        return Following(self._member)

    def _new_leading(self) -> Leading:
        return Leading(self._member)

    def _take(self, event: Event) -> None:
        leading, member = self._leading, self._member
        match event:
            case Received(message):
                if message.sender != member.member_id:
                    self._receive(message)
            case Proposed():
                self._propose(event)
            case Persisted():
                member.durability.persisted(event)
                if leading is not None:
                    leading.persisted()
            case Applied(index):
                ensure(member.applied_index <= index <= self._given_index, "I16", f"applied {index}")
                member.applied_index = index
                if leading is not None:
                    leading.applied()
            case ReadRequested(waiter):
                self._read(waiter)
            case Tick():
                self._tick()
            case StoreHealthChanged(health):
                member.health = health
                if leading is not None:
                    leading.tick()
            case PeerUnreachable(member_id):
                if leading is not None:
                    leading.replication.unreachable(member_id)

    def _receive(self, message: Message) -> None:
        match message:
            case AppendAck() | AppendReject() | HeartbeatAck():
                self._receive_answer(message)
            case AppendRequest():
                self._following.append_requested(message)
            case Heartbeat():
                self._following.heartbeat_received(message)
            case PreVoteRequest():
                self._elections.pre_vote_requested(message)
            case VoteRequest():
                self._elections.vote_requested(message)
            case PreVoteResponse():
                self._lead_if(self._elections.pre_vote_answered(message))
            case VoteResponse():
                self._lead_if(self._elections.vote_answered(message))

    def _receive_answer(self, answer: AppendAck | AppendReject | HeartbeatAck) -> None:
        leading = self._leading
        if self._elections.overtaken(answer.sender, answer.term) or leading is None:
            return
        match answer:
            case AppendAck():
                leading.append_acknowledged(answer)
            case AppendReject():
                leading.append_refused(answer)
            case HeartbeatAck():
                leading.heartbeat_answered(answer)

    def _tick(self) -> None:
        if self._leading is not None:
            self._leading.tick()
        else:
            self._lead_if(self._elections.tick())

    def _propose(self, proposal: Proposed) -> None:
        if self._leading is not None:
            self._leading.propose(proposal)
        else:
            self._proposal_results.append(ProposalResult(proposal.waiter, ProposalOutcome.NOT_LEADER))

    def _read(self, waiter: int) -> None:
        if self._leading is not None:
            self._leading.read(waiter)
        else:
            self._read_results.append(ReadResult(waiter, ReadOutcome.NOT_LEADER))

    def _lead_if(self, won: bool) -> None:
        if won:
            self._leading = self._new_leading()

    def _stop_leading(self, leading: Leading) -> None:
        leading.close()
        self._collect(leading)
        self._leading = None

    def _collect(self, leading: Leading) -> None:
        """Take over what the leader has to say to its waiters."""
        self._proposal_results += leading.proposal_results
        self._read_results += leading.read_results
        leading.proposal_results.clear()
        leading.read_results.clear()

    def _changed_lease(self) -> LeaderLease | None:
        lease = self._member.lease
        if lease == self._told_lease:
            return None
        self._told_lease = lease
        return lease

    def _changed_leadership(self) -> Leadership | None:
        member = self._member
        leadership = Leadership(member.role, member.term, member.leader)
        if leadership == self._told_leadership:
            return None
        self._told_leadership = leadership
        return leadership

    def _quorum_have(self) -> int:
        member = self._member
        since = member.now - member.settings.election_min
        if self._leading is not None:
            return 1 + sum(peer.contact_at > since for peer in self._leading.replication.peers.values())
        contact = member.leader_contact_at
        return 2 if member.leader != NOBODY and contact is not None and contact > since else 1
