"""Values of the Raft core: what goes in, what comes out, what members say to each other.

All times are integer nanoseconds of one local clock (`CLOCK_BOOTTIME`, rule T1); the two that travel (`sent_at`,
`promise_ns`) are echoed, never compared with another member's clock. Log indexes and terms start at 1; index 0 with
term 0 stands before the first entry. Member id 0 means nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

MILLISECOND = 1_000_000
"""Nanoseconds in a millisecond."""

NOBODY = 0
"""The member id no member has: no vote given, no leader known."""


class InvariantViolated(Exception):
    """A rule that must always hold does not (C4). The member answers nothing more and stops with exit code 70.

    Attributes:
        rule: Rule of the specification, for example `R2`.
        facts: What was seen.
    """

    def __init__(self, rule: str, facts: str) -> None:
        """Name the rule and what broke it."""
        super().__init__(f"{rule}: {facts}")
        self.rule = rule
        self.facts = facts


class Role(Enum):
    """What a member is at the moment."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(Enum):
    """What an entry of the log is for."""

    NOOP = "noop"
    """First entry of a leader's term (E12); applied, changes nothing but the term."""
    COMMAND = "command"
    """A command of the state machine; the core does not look into `data`."""


class StoreHealth(Enum):
    """How the member's own store does (8.6). SLOW only warns; the last three end leadership, candidacy and votes."""

    OK = "ok"
    SLOW = "slow"
    STALLED = "stalled"
    FULL = "full"
    FAILED = "failed"

    @property
    def usable(self) -> bool:
        """True while the member may lead, vote and campaign."""
        return self in (StoreHealth.OK, StoreHealth.SLOW)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log.

    Attributes:
        index: Position, 1-based, without gaps.
        term: Term of the leader that made it.
        kind: What it is for.
        stamp_ms: Wall time of the leader in Unix milliseconds (T4); 0 for a NOOP. Never decides leadership.
        data: The command; empty for a NOOP.
    """

    index: int
    term: int
    kind: EntryKind
    stamp_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """What a member must remember beside its log (S1).

    Attributes:
        current_term: Newest term seen; 0 in a blank member.
        voted_for: Member that got this term's vote, `NOBODY` if none did.
        promise_max_ns: Longest promise ever given (5, E9). A store that keeps a coarser unit rounds up.
    """

    current_term: int = 0
    voted_for: int = NOBODY
    promise_max_ns: int = 0


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """What the core needs to know of the settings. All durations in nanoseconds.

    Attributes:
        member_id: This member; never 0.
        voters: Ids of all voters, this member included.
        heartbeat: Interval H of heartbeats, at most `election_min / 4`.
        election_min: E: shortest silence before a member campaigns, and the promise P a leader asks for.
        election_max: Longest; `election_min < election_max <= 3 * election_min`.
        clock_drift_ppm: Bound ρ of how much clock rates differ, in millionths.
        lease_margin: ε, taken off every promise's worth.
        store_stall: Time without a finished persist batch after which a leader gives up (8.6).
        max_inflight / max_inflight_bytes: Window of unanswered Appends to one peer.
        max_batch: Entries in one Append (R9).
        max_append_bytes: Bytes of data in one Append, and the longest entry (R8).
        max_uncommitted: Bytes a leader takes before it refuses proposals (R8).
    """

    member_id: int
    voters: tuple[int, ...]
    heartbeat: int = 60 * MILLISECOND
    election_min: int = 300 * MILLISECOND
    election_max: int = 600 * MILLISECOND
    clock_drift_ppm: int = 10_000
    lease_margin: int = 10 * MILLISECOND
    store_stall: int = 2_000 * MILLISECOND
    max_inflight: int = 64
    max_inflight_bytes: int = 4 << 20
    max_batch: int = 1024
    max_append_bytes: int = 1 << 20
    max_uncommitted: int = 16 << 20

    def __post_init__(self) -> None:
        """Refuse settings under which the rules do not hold.

        Raises:
            ValueError: Names the rule of section 20 that is broken.
        """
        if self.member_id not in self.voters or NOBODY in self.voters or len(set(self.voters)) != len(self.voters):
            raise ValueError("voters must be distinct, positive and contain this member")
        if not 0 < self.heartbeat * 4 <= self.election_min:
            raise ValueError("heartbeat must be positive and at most a quarter of election_min")
        if not self.election_min < self.election_max <= 3 * self.election_min:
            raise ValueError("election_max must be above election_min and at most three times of it")
        if not 0 <= self.clock_drift_ppm < 500_000:
            raise ValueError("clock_drift_ppm must be in 0..499999")
        if min(self.max_inflight, self.max_batch, self.max_append_bytes, self.max_inflight_bytes) < 1:
            raise ValueError("limits must be positive")


@dataclass(frozen=True, slots=True)
class BootState:
    """What the store gave back at start; a blank member has the defaults.

    Attributes:
        hard_state: Term, vote and longest promise.
        entries: The whole log from index 1, contiguous (S3).
        applied_index: Index the state machine is at; known to be committed.
    """

    hard_state: HardState = field(default_factory=HardState)
    entries: tuple[Entry, ...] = ()
    applied_index: int = 0


# Messages between members. Each carries who says it and the sender's term.


class VoteRefusal(Enum):
    """Why a vote or pre-vote was refused."""

    NONE = "none"
    """It was granted."""
    LEADER_ALIVE = "leader_alive"
    """E2: a promise runs, or the asked member leads a majority."""
    STALE_TERM = "stale_term"
    """E6: the asked member has a higher term."""
    STALE_LOG = "stale_log"
    """E4: the candidate's log is behind."""
    ALREADY_VOTED = "already_voted"
    """E4: this term's vote went to another member, or its leader is known."""
    STORE = "store"
    """8.6: the asked member cannot write."""


@dataclass(frozen=True, slots=True)
class PreVoteRequest:
    """Asks whether an election could be won (E1); changes nothing at the receiver. `term` is the sender's term + 1."""

    sender: int
    term: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class PreVoteResponse:
    """Answers a pre-vote. `term` is the requested one when granted, else the own (E5); `request_term` always echoes."""

    sender: int
    term: int
    request_term: int
    refusal: VoteRefusal


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """Asks for the vote of `term`; leaves only when the sender's own vote is durable (C1)."""

    sender: int
    term: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class VoteResponse:
    """Answers a vote request; `term` is the sender's own, `request_term` echoes. A grant is durable (C1)."""

    sender: int
    term: int
    request_term: int
    refusal: VoteRefusal


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Entries after (prev_index, prev_term), at most `max_append_bytes` of data; may be empty to probe.

    Attributes:
        commit: Leader's commit index.
        sent_at: Leader's clock before the message was handed out; echoed.
        promise_ns: Length P of the promise asked for; echoed.
    """

    sender: int
    term: int
    prev_index: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int
    sent_at: int
    promise_ns: int


@dataclass(frozen=True, slots=True)
class AppendAck:
    """The sender's log matches the leader's up to `match_index`, durably (R3). A newer one replaces an unsent older."""

    sender: int
    term: int
    match_index: int
    sent_at: int
    promise_ns: int


@dataclass(frozen=True, slots=True)
class AppendReject:
    """Refuses an Append: wrong place in the log (R4), or a lower term (E6; then `promise_ns` is 0).

    Attributes:
        prev_index: Of the refused request.
        hint_index: Last own entry that may still match (R4).
        hint_term: Its term.
    """

    sender: int
    term: int
    prev_index: int
    hint_index: int
    hint_term: int
    sent_at: int
    promise_ns: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent every H, independent of disk and data (R7). A newer one replaces an unsent older.

    Attributes:
        commit: min(leader's commit, what this peer matches).
        round: Grows with every round of heartbeats; confirms leadership for reads (12).
    """

    sender: int
    term: int
    commit: int
    sent_at: int
    promise_ns: int
    round: int


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """Answers a heartbeat, echoing it; a refusal because of a lower term has `promise_ns` 0 and the higher term (E6).

    Attributes:
        applied_index: Index the sender's state machine is at.
        store_health: How its store does.
    """

    sender: int
    term: int
    sent_at: int
    promise_ns: int
    round: int
    applied_index: int
    store_health: StoreHealth


Message = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendAck
    | AppendReject
    | Heartbeat
    | HeartbeatAck
)


# Events: what the app tells the core.


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Sent about every 10 ms; the number of ticks means nothing (T3)."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of another member arrived."""

    message: Message


@dataclass(frozen=True, slots=True)
class Proposed:
    """Commands to append, in order and without others between them; answered by one `ProposalResult` or two.

    Attributes:
        commands: At least one command, each at most `max_append_bytes` long.
        stamp_ms: Wall time in Unix milliseconds (T4).
        waiter: Names the proposal in its results; unique while it is open.
    """

    commands: tuple[bytes, ...]
    stamp_ms: int
    waiter: int


@dataclass(frozen=True, slots=True)
class Persisted:
    """All persist batches up to `number` are durable. The other two repeat that batch's fields (C2)."""

    number: int
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The state machine is at `index` now; never beyond what `Output.committed` gave out."""

    index: int


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """A linearizable read (12), answered by a `ReadResult`. Its step's `now` is read after the request arrived."""

    waiter: int


@dataclass(frozen=True, slots=True)
class StoreHealthChanged:
    """The store's health, told at each change (8.6). It becomes usable again only after the probe writes of 8.6."""

    health: StoreHealth


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """The connection to a member broke (W3); says nothing about whether it lives."""

    member_id: int


Event = Tick | Received | Proposed | Persisted | Applied | ReadRequested | StoreHealthChanged | PeerUnreachable


# Output: what the app must do.


@dataclass(frozen=True, slots=True)
class PersistBatch:
    """One transaction of the store; batches are written in order of their number, which starts at 1 and has no gaps.

    Several may be written together; then only the last one is reported with `Persisted`.

    Attributes:
        number: Names the batch.
        hard_state: New term, vote and promise; None = unchanged.
        truncate_from: Delete rows from this index on, before the entries are inserted; None = delete nothing.
        entries: To insert, contiguous.
        last_index: Last index of the log after this batch; goes into `Persisted`.
        last_term: Its term.
    """

    number: int
    hard_state: HardState | None
    truncate_from: int | None
    entries: tuple[Entry, ...]
    last_index: int
    last_term: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    Attributes:
        to: Receiver.
        message: What to say.
        after_batch: Hold it until this batch is durable (C1); 0 = send at once.
    """

    to: int
    message: Message
    after_batch: int = 0


class ProposalOutcome(Enum):
    """What became of a proposal so far (11)."""

    APPENDED = "appended"
    """In the leader's log. Once `last_index` is committed the app answers with what `apply` gave."""
    NOT_LEADER = "not_leader"
    """Certainly in no log."""
    OVERLOADED = "overloaded"
    """Certainly in no log: too many uncommitted bytes (R8)."""
    TOO_LARGE = "too_large"
    """Certainly in no log: a command is longer than an Append may be (R8)."""
    UNKNOWN = "unknown"
    """Was appended, then leadership was lost before commit (P5): may or may not happen."""


@dataclass(frozen=True, slots=True)
class ProposalResult:
    """Tells a waiter what became of its proposal; APPENDED may be followed by UNKNOWN, everything else is final.

    Attributes:
        first_index: Where the proposal begins in the log; APPENDED only.
        last_index: Where it ends; APPENDED and UNKNOWN.
        term: Term of its entries; APPENDED only.
    """

    waiter: int
    outcome: ProposalOutcome
    first_index: int = 0
    last_index: int = 0
    term: int = 0


class ReadOutcome(Enum):
    """What became of a linearizable read (12)."""

    READY = "ready"
    """Answer from the state machine as soon as it has applied `index`."""
    NOT_LEADER = "not_leader"
    """This member does not lead, or lost leadership while the read waited."""
    NOT_READY = "not_ready"
    """It leads, but its NOOP is not applied yet (E12); try again soon."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Answers a `ReadRequested`."""

    waiter: int
    outcome: ReadOutcome
    index: int = 0


@dataclass(frozen=True, slots=True)
class LeaderLease:
    """How long this member may rely on being the only leader (7). Compare with the clock at the moment of use (L1).

    Attributes:
        term: Term it leads in.
        seq: Grows each time the lease becomes valid after a lapse, across terms and restarts (L3). 64 bits.
        valid_until: On the local clock; 0 = not held.
    """

    term: int
    seq: int
    valid_until: int

    def valid_at(self, now: int) -> bool:
        """Tell whether it is valid at a time of the local clock."""
        return now < self.valid_until


@dataclass(frozen=True, slots=True)
class Leadership:
    """Role, term and known leader of a member; `leader` is `NOBODY` when none is known."""

    role: Role
    term: int
    leader: int


@dataclass(frozen=True, slots=True)
class Output:
    """What follows from the events since the last output. Carried out in the order of the fields.

    Attributes:
        persist: To the store, in order.
        messages: To the peers; those with `after_batch` wait for that batch.
        proposal_results: To waiters; register APPENDED before applying `committed` of the same output.
        committed: Entries to apply, in order, each given out exactly once; starts after `BootState.applied_index`.
        read_results: To readers.
        lease: The leader lease, when it changed.
        leadership: Role, term or leader, when one changed.
    """

    persist: tuple[PersistBatch, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    proposal_results: tuple[ProposalResult, ...] = ()
    committed: tuple[Entry, ...] = ()
    read_results: tuple[ReadResult, ...] = ()
    lease: LeaderLease | None = None
    leadership: Leadership | None = None


# Status.


class ReplicationState(Enum):
    """How a leader feeds a peer (6)."""

    PROBE = "probe"
    """One Append outstanding, looking for where the logs match."""
    REPLICATE = "replicate"
    """A window of Appends, sent without waiting."""


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """A peer as the leader sees it. `heard_at` is None when it never answered in this term."""

    member_id: int
    match_index: int
    next_index: int
    state: ReplicationState
    heard_at: int | None
    applied_index: int
    store_health: StoreHealth


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """One member's view, for status calls and tests.

    Attributes:
        leader_contact_at: When the leader was last heard; None = never. A leader: when a majority was last heard.
        lease: As of the last step; `valid_at(clock())` decides (L1).
        peers: Other voters by id; empty unless this member leads.
        quorum_have: Voters heard within E, itself included; a follower counts its leader and itself.
        quorum_need: Majority of the voters.
    """

    member_id: int
    role: Role
    term: int
    voted_for: int
    leader: int
    commit_index: int
    applied_index: int
    last_index: int
    last_term: int
    durable_index: int
    promise_until: int
    leader_contact_at: int | None
    lease: LeaderLease
    peers: tuple[PeerProgress, ...]
    quorum_have: int
    quorum_need: int
    store_health: StoreHealth
