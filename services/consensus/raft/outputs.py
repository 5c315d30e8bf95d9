"""What the core tells the app to do, and what it shows of itself.

Times are integer nanoseconds of the local clock (T1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from msgspec import Struct

from services.consensus.raft.configuration import NO_MEMBERS, Configuration
from services.consensus.raft.messages import Message
from services.consensus.raft.model import START, Entry, HardState, LogMark, Role, StoreHealth


class PersistBatch(Struct, frozen=True):
    """One transaction of the store; batches are written in order of their number, which starts at 1 and has no gaps.

    Several may be written together; then only the last one is reported with `Persisted`.

    Attributes:
        number: Names the batch.
        hard_state: New term, vote and promise; None = unchanged.
        truncate_from: Delete rows from this index on, before the entries are inserted; None = delete nothing.
        entries: To insert, contiguous.
        last_index: Last index of the log after this batch; goes into `Persisted`.
        last_term: Its term.
        install: Mark of the received snapshot whose rows replace all state rows; log rows up to it go, all of them if
            the entry at its index has another term (N4). None = install nothing.
        compact_to: Log rows up to here may go, in later transactions (N1); None = nothing new.
    """

    number: int
    hard_state: HardState | None
    truncate_from: int | None
    entries: tuple[Entry, ...]
    last_index: int
    last_term: int
    install: LogMark | None = None
    compact_to: LogMark | None = None


class Outgoing(Struct, frozen=True):
    """A message to send.

    Attributes:
        to: Receiver.
        message: What to say.
        after_batch: Hold it until this batch is durable (C1); 0 = send at once.
    """

    to: int
    message: Message
    after_batch: int = 0


class ChangeBlocker(Enum):
    """Why the group may not be changed as asked (M2, M5, M6)."""

    NOT_READY = "not_ready"
    """The leader's NOOP is not committed yet: try again soon (M2)."""
    CHANGE_OPEN = "change_open"
    """Another change is not committed yet (M2)."""
    UNKNOWN_MEMBER = "unknown_member"
    ALREADY_MEMBER = "already_member"
    """Its id, name or endpoint is another member's, or it votes already."""
    NOT_CAUGHT_UP = "not_caught_up"
    """The learner is behind, or its store is in trouble (M3); `force` goes on."""
    QUORUM_AT_RISK = "quorum_at_risk"
    """Fewer than a majority of the new voters were heard within E (M6); `force` goes on."""
    LAST_VOTER = "last_voter"
    LEADER_ITSELF = "leader_itself"
    """A leader does not remove itself: transfer first (M5)."""
    TOO_MANY_VOTERS = "too_many_voters"
    """More than seven (section 1)."""
    TRANSFER_RUNNING = "transfer_running"
    """The leader is handing over (8.1)."""


class ProposalOutcome(Enum):
    """What became of a proposal so far (11)."""

    APPENDED = "appended"
    """In the leader's log. Once `last_index` is committed the app answers with what `apply` gave."""
    NOT_LEADER = "not_leader"
    """Certainly in no log."""
    OVERLOADED = "overloaded"
    """Certainly in no log: too many uncommitted bytes (R8)."""
    REFUSED = "refused"
    """Certainly in no log: a change of the group that may not be made now (M6)."""
    TOO_LARGE = "too_large"
    """Certainly in no log: a command is longer than an Append may be (R8)."""
    UNKNOWN = "unknown"
    """Was appended, then leadership was lost before commit (P5): may or may not happen."""


class ProposalResult(Struct, frozen=True):
    """Tells a waiter what became of its proposal; APPENDED may be followed by UNKNOWN, everything else is final.

    Attributes:
        first_index: Where the proposal begins in the log; APPENDED only.
        last_index: Where it ends; APPENDED and UNKNOWN.
        term: Term of its entries; APPENDED only.
        blocker: What is in the way; REFUSED only.
    """

    waiter: int
    outcome: ProposalOutcome
    first_index: int = 0
    last_index: int = 0
    term: int = 0
    blocker: ChangeBlocker | None = None


class ReadOutcome(Enum):
    """What became of a linearizable read (12)."""

    READY = "ready"
    """Answer from the state machine as soon as it has applied `index`."""
    NOT_LEADER = "not_leader"
    """This member does not lead, or lost leadership while the read waited."""
    NOT_READY = "not_ready"
    """It leads, but its NOOP is not applied yet (E12); try again soon."""


class ReadResult(Struct, frozen=True):
    """Answers a `ReadRequested`."""

    waiter: int
    outcome: ReadOutcome
    index: int = 0


class TransferOutcome(Enum):
    """What became of a transfer (8.1)."""

    DONE = "done"
    """A member of a later term leads."""
    NOT_LEADER = "not_leader"
    """This member does not lead."""
    NO_TARGET = "no_target"
    """Nobody named and nobody fit: ready, caught up, with a healthy store and a preference above 0."""
    UNFIT_TARGET = "unfit_target"
    """The named member is no voter, is this member, or its store is in trouble."""
    ALREADY_RUNNING = "already_running"
    NOT_DRAINED = "not_drained"
    """Lease holders did not end their steps in time; leads on."""
    NOT_CAUGHT_UP = "not_caught_up"
    """The target did not catch up in time; leads on."""
    NO_SUCCESSOR = "no_successor"
    """Surrendered, but no later term showed within E: stepped down (8.1)."""
    LOST = "lost"
    """Leadership was lost on the way for another reason."""


class TransferResult(Struct, frozen=True):
    """Answers a `TransferRequested`.

    Attributes:
        leader: DONE: who leads now. Else the target chosen, `NOBODY` if none was.
    """

    waiter: int
    outcome: TransferOutcome
    leader: int = 0


class LeaderLease(Struct, frozen=True):
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


class Leadership(Struct, frozen=True):
    """Role, term and known leader of a member; `leader` is `NOBODY` when none is known."""

    role: Role
    term: int
    leader: int


class Output(Struct, frozen=True):
    """What follows from the events since the last output. Carried out in the order of the fields.

    Attributes:
        persist: To the store, in order.
        messages: To the peers; those with `after_batch` wait for that batch.
        proposal_results: To waiters; register APPENDED before applying `committed` of the same output.
        committed: Entries to apply, in order, each given out exactly once; starts after `BootState.applied_index`.
        read_results: To readers.
        lease: The leader lease, when it changed.
        leadership: Role, term or leader, when one changed.
        transfer_results: To those who asked for a transfer.
        draining: True when lease holders must end their steps (8.1 b), False when that is over; None = unchanged.
        configuration: The newest in the log, when it changed; peers are connected to by it (M1).
        snapshot_wanted: Members that need a snapshot, each once until a `SnapshotSent` names it (N2).
        quarantine: Why this member distrusts its own store, when that changed; empty = it does not (A4, 14.6).
        removed: True once this member learned that it is not in the group any more (M7).
    """

    persist: tuple[PersistBatch, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    proposal_results: tuple[ProposalResult, ...] = ()
    committed: tuple[Entry, ...] = ()
    read_results: tuple[ReadResult, ...] = ()
    lease: LeaderLease | None = None
    leadership: Leadership | None = None
    transfer_results: tuple[TransferResult, ...] = ()
    draining: bool | None = None
    configuration: Configuration | None = None
    snapshot_wanted: tuple[int, ...] = ()
    quarantine: str | None = None
    removed: bool = False


# Status.


class ReplicationState(Enum):
    """How a leader feeds a peer (6)."""

    PROBE = "probe"
    """One Append outstanding, looking for where the logs match."""
    REPLICATE = "replicate"
    """A window of Appends, sent without waiting."""
    SNAPSHOT = "snapshot"
    """Nothing but heartbeats until the transfer of a snapshot ends."""


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
    ready: bool = True
    quarantined: bool = False
    rtt_ns: int | None = None
    """Newest round trip of a heartbeat; None = none yet."""
    clock_rate_ppm: int | None = None
    """How much faster its clock runs than ours, in millionths (L5); None = not measured yet."""


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """One member's view, for status calls and tests.

    Attributes:
        leader_contact_at: When the leader was last heard; None = never. A leader: when a majority was last heard.
        lease: As of the last step; `valid_at(clock())` decides (L1).
        peers: Other members by id, learners included; empty unless this member leads.
        quorum_have: Voters heard within E, itself included; a follower counts its leader and itself.
        quorum_need: Majority of the voters.
        mark: What compaction or a snapshot replaced.
        log_bytes: Size of the log behind it.
        configuration: The newest in the log (M1).
        quarantine: Why this member distrusts its store; empty = it does not.
        removed: This member was taken out of the group (M7).
        clock_drift_exceeded: A voter's clock rate differs by more than clock_drift: no lease (L5).
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
    mark: LogMark = START
    log_bytes: int = 0
    configuration: Configuration = NO_MEMBERS
    configuration_index: int = 0
    quarantine: str = ""
    removed: bool = False
    ready: bool = True
    draining: bool = False
    surrendered: bool = False
    clock_drift_exceeded: bool = False
