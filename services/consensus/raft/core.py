"""The Raft core of one member: events in, output out (section 4).

No I/O, no clock, no randomness of its own: the same boot state, seed and events give the same outputs, byte for byte.
`Elections` decides who leads, `Following` takes a leader's entries, `Leading` exists while this member leads; they
share one `Member`. What they decide collects until `take_output`.
"""

from __future__ import annotations

from dataclasses import replace

from services.consensus.raft.configuration import NO_MEMBERS
from services.consensus.raft.election import Elections
from services.consensus.raft.events import (
    Applied,
    Compacted,
    Drained,
    Event,
    LocalReadiness,
    MemberChange,
    MemberChangeRequested,
    PeerUnreachable,
    Persisted,
    Proposed,
    QuarantineChanged,
    ReadRequested,
    Received,
    SnapshotReceived,
    SnapshotSent,
    StateDigest,
    StoreHealthChanged,
    Tick,
    TimingChanged,
    TransferRequested,
)
from services.consensus.raft.following import Following
from services.consensus.raft.invariant import ensure
from services.consensus.raft.leading import Leading
from services.consensus.raft.member import Member
from services.consensus.raft.messages import (
    AppendAck,
    AppendReject,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    Removed,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import NOBODY, BootState, CoreSettings, Entry, InvariantViolated, Role
from services.consensus.raft.outputs import (
    ChangeBlocker,
    CoreStatus,
    Leadership,
    Output,
    ProposalOutcome,
    ProposalResult,
    ReadOutcome,
    ReadResult,
    TransferOutcome,
    TransferResult,
)
from services.consensus.raft.told import Told
from services.consensus.raft.transfer import Parting


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
        self._lease = Told(self._member.lease)
        self._leadership: Leadership | None = None
        self._draining = Told(False)
        self._configuration = Told(NO_MEMBERS)
        self._quarantine = Told(boot.quarantine)
        self._proposal_results: list[ProposalResult] = []
        self._read_results: list[ReadResult] = []
        self._transfer_results: list[TransferResult] = []
        self._parting: Parting | None = None

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
            if self._parting is not None:
                self._watch_successor(self._parting)
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
        output = Output(
            persist=() if batch is None else (batch,),
            messages=tuple(member.outbox),
            proposal_results=tuple(self._proposal_results),
            committed=self._take_committed(),
            read_results=tuple(self._read_results),
            lease=self._lease.change(member.lease),
            leadership=self._take_leadership(),
            transfer_results=tuple(self._transfer_results),
            draining=self._draining.change(self._drains),
            configuration=self._configuration.change(member.configuration),
            snapshot_wanted=self._leading.replication.take_snapshot_wanted() if self._leading is not None else (),
            quarantine=self._quarantine.change(member.quarantine),
            removed=member.removed,
        )
        member.outbox.clear()
        self._transfer_results.clear()
        self._proposal_results.clear()
        self._read_results.clear()
        return output

    def status(self) -> CoreStatus:
        """Return this member's view as of the last step."""
        member, leading = self._member, self._leading
        peers = () if leading is None else tuple(p.view() for p in leading.replication.peers.values())
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
            mark=member.log.mark,
            log_bytes=member.log.bytes,
            configuration=member.configuration,
            configuration_index=member.configurations.newest_index,
            quarantine=member.quarantine,
            removed=member.removed,
            ready=member.ready,
            draining=self._drains,
            surrendered=leading is not None and leading.transfers.surrendered,
            clock_drift_exceeded=leading is not None and leading.drifts,
        )

    @property
    def heard_leader_at(self) -> int | None:
        """When the leader that this member follows was last heard; None = it follows nobody."""
        member = self._member
        follows = member.role is Role.FOLLOWER and member.leader != NOBODY
        return member.leader_contact_at if follows else None

    def judge_change(self, change: MemberChange, *, force: bool) -> ChangeBlocker | None:
        """Tell what would be in the way of a change of the group now; None = nothing (M6). Ask a leader only."""
        assert self._leading is not None, "only a leader can tell"
        return self._leading.judge_change(change, force=force)

    def position(self) -> tuple[Role, int, int, int, int]:
        """Return role, term, commit index, last index and applied index: what a trace tells of each event."""
        member = self._member
        return member.role, member.term, member.commit_index, member.log.last_index, member.applied_index

    def entries(self) -> tuple[Entry, ...]:
        """Return the log behind its mark, for tests and checks."""
        log = self._member.log
        return log.between(log.mark.index + 1, log.last_index)

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
            case MemberChangeRequested():
                self._change_members(event)
            case TransferRequested():
                self._transfer(event)
            case Drained():
                if leading is not None:
                    leading.transfers.drained()
            case LocalReadiness(ready):
                member.ready = ready
            case StateDigest(index, digest):
                member.own_digests.add(index, digest)
                if leading is not None:
                    leading.digest_made()
            case QuarantineChanged(reason):
                member.distrust(reason)
            case TimingChanged():
                self._retime(event)
            case Compacted(index):
                self._compact(index)
            case SnapshotReceived():
                self._following.snapshot_received(event)
                self._given_index = max(self._given_index, member.log.mark.index)
            case SnapshotSent():
                if leading is not None:
                    leading.replication.snapshot_sent(event)
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
                self._asked_by(message.sender)
            case VoteRequest():
                self._elections.vote_requested(message)
                self._asked_by(message.sender)
            case PreVoteResponse():
                self._lead_if(self._elections.pre_vote_answered(message))
            case VoteResponse():
                self._lead_if(self._elections.vote_answered(message))
            case TimeoutNow():
                self._lead_if(self._elections.timeout_now(message))
            case Removed():
                self._elections.removed(message)

    def _asked_by(self, sender: int) -> None:
        if self._leading is not None and self._member.role is Role.LEADER:
            self._leading.asked_by(sender)

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

    def _change_members(self, request: MemberChangeRequested) -> None:
        if self._leading is not None:
            self._leading.change_members(request)
        else:
            self._proposal_results.append(ProposalResult(request.waiter, ProposalOutcome.NOT_LEADER))

    def _transfer(self, request: TransferRequested) -> None:
        if self._leading is not None:
            self._leading.transfers.begin(request)
        else:
            refused = TransferResult(request.waiter, TransferOutcome.NOT_LEADER, request.target)
            self._transfer_results.append(refused)

    def _retime(self, timing: TimingChanged) -> None:
        """Take new group settings; values under which the rules do not hold change nothing (18.5)."""
        member = self._member
        try:
            member.settings = replace(
                member.settings,
                heartbeat=timing.heartbeat,
                election_min=timing.election_min,
                election_max=timing.election_max,
                clock_drift_ppm=timing.clock_drift_ppm,
            )
        except ValueError:
            return
        if self._leading is not None:
            self._leading.retime()

    def _read(self, waiter: int) -> None:
        if self._leading is not None:
            self._leading.read(waiter)
        else:
            self._read_results.append(ReadResult(waiter, ReadOutcome.NOT_LEADER))

    def _compact(self, index: int) -> None:
        """Forget what is applied (N1), unless a snapshot did so meanwhile."""
        member = self._member
        if index > member.log.mark.index:
            ensure(index <= member.applied_index, "I16", f"compaction to {index}, applied {member.applied_index}")
            member.durability.compact(index)

    def _take_committed(self) -> tuple[Entry, ...]:
        """Return what is newly committed: nothing while the snapshot it would continue is being installed (N4)."""
        member = self._member
        committed = member.log.between(self._given_index + 1, member.commit_index)
        ensure(not (committed and member.durability.installing), "N4", f"{member.commit_index} committed too soon")
        self._given_index = member.commit_index
        return committed

    def _take_leadership(self) -> Leadership | None:
        """Return role, term and leader when one of them changed."""
        member, told = self._member, self._leadership
        if told is not None and (told.role, told.term, told.leader) == (member.role, member.term, member.leader):
            return None
        self._leadership = Leadership(member.role, member.term, member.leader)
        return self._leadership

    def _lead_if(self, won: bool) -> None:
        if won:
            self._leading = self._new_leading()

    def _stop_leading(self, leading: Leading) -> None:
        leading.close()
        self._collect(leading)
        self._leading = None
        self._parting = leading.transfers.parting()

    def _collect(self, leading: Leading) -> None:
        """Take over what the leader has to say to its waiters."""
        self._proposal_results += leading.proposal_results
        self._read_results += leading.read_results
        self._transfer_results += leading.transfers.results
        leading.transfers.results.clear()
        leading.proposal_results.clear()
        leading.read_results.clear()

    def _watch_successor(self, parting: Parting) -> None:
        """Tell who asked for a transfer whether another member leads now (8.1)."""
        member = self._member
        outcome = parting.outcome(member.term, member.leader, member.member_id, member.now)
        if outcome is not None:
            leader = member.leader if outcome is TransferOutcome.DONE else parting.target
            self._transfer_results.append(TransferResult(parting.waiter, outcome, leader))
            self._parting = None

    @property
    def _drains(self) -> bool:
        return self._leading is not None and self._leading.transfers.running

    def _quorum_have(self) -> int:
        member = self._member
        since = member.now - member.settings.election_min
        if self._leading is not None:
            heard = {peer.member_id for peer in self._leading.replication.voters if peer.contact_at > since}
        else:
            contact = member.leader_contact_at
            heard = {member.leader} if contact is not None and contact > since else set()
        return len({member.member_id, *heard}.intersection(member.configuration.voters))
