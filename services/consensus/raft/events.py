"""What the app tells the core. Time comes beside the event, as the `now` of its step (T2)."""

from __future__ import annotations

from msgspec import Struct

from services.consensus.raft.configuration import Configuration, GroupMember
from services.consensus.raft.messages import Message
from services.consensus.raft.model import LogMark, StoreHealth


class Tick(Struct, frozen=True):
    """Time passed. Sent about every 10 ms; the number of ticks means nothing (T3)."""


class Received(Struct, frozen=True):
    """A message of another member arrived."""

    message: Message


class Proposed(Struct, frozen=True):
    """Commands to append, in order and without others between them; answered by one `ProposalResult` or two.

    Attributes:
        commands: At least one command, each at most `max_append_bytes` long.
        stamp_ms: Wall time in Unix milliseconds (T4).
        waiter: Names the proposal in its results; unique while it is open.
    """

    commands: tuple[bytes, ...]
    stamp_ms: int
    waiter: int


class Persisted(Struct, frozen=True):
    """All persist batches up to `number` are durable. The other two repeat that batch's fields (C2)."""

    number: int
    last_index: int
    last_term: int


class Applied(Struct, frozen=True):
    """The state machine is at `index` now; never beyond what `Output.committed` gave out."""

    index: int


class ReadRequested(Struct, frozen=True):
    """A linearizable read (12), answered by a `ReadResult`. Its step's `now` is read after the request arrived."""

    waiter: int


class StoreHealthChanged(Struct, frozen=True):
    """The store's health, told at each change (8.6). It becomes usable again only after the probe writes of 8.6."""

    health: StoreHealth


class PeerUnreachable(Struct, frozen=True):
    """The connection to a member broke (W3); says nothing about whether it lives."""

    member_id: int


class AddLearner(Struct, frozen=True):
    """Take a member in; it votes once promoted (M3)."""

    member: GroupMember


class PromoteMember(Struct, frozen=True):
    """Make a learner that has caught up a voter (M3)."""

    member_id: int


class RemoveMember(Struct, frozen=True):
    """Take a member out; a leader never itself (M5)."""

    member_id: int


class UpdateMember(Struct, frozen=True):
    """Change what is known of a member: names, endpoints, site, preference, incarnation; never its kind."""

    member: GroupMember


MemberChange = AddLearner | PromoteMember | RemoveMember | UpdateMember


class MemberChangeRequested(Struct, frozen=True):
    """Asks the leader to change the group; answered like a proposal, or REFUSED with a blocker (M2, M5, M6).

    Attributes:
        change: What to change.
        stamp_ms: Wall time in Unix milliseconds (T4).
        waiter: As in `Proposed`.
        force: Go on although fewer than a majority of the new voters were heard within E, or it is not caught up (M6).
    """

    change: MemberChange
    stamp_ms: int
    waiter: int
    force: bool = False


class TransferRequested(Struct, frozen=True):
    """Asks the leader to hand over (8.1); answered by a `TransferResult`.

    Attributes:
        target: Voter that shall lead; `NOBODY` = the most caught-up ready voter of the highest preference.
        drain_ns: Longest wait for lease holders to end their running steps, and for the target to catch up.
        waiter: Names the request in its result.
        force: Go on when the drain takes too long.
        hold_ns: How long this member does not campaign afterwards (8.4); 0 = as usual.
    """

    target: int
    drain_ns: int
    waiter: int
    force: bool = False
    hold_ns: int = 0


class Drained(Struct, frozen=True):
    """No lease holder has a running step any more (8.1 b), or one whose intent is proposed. Said while draining.

    From then on no proposals are taken, so that nobody can begin another step under this leader.
    """


class LocalReadiness(Struct, frozen=True):
    """Whether this node's recovery keeps its session alive (8.3)."""

    ready: bool


class StateDigest(Struct, frozen=True):
    """The state machine's digest at a multiple of 256 it has just applied (A4)."""

    index: int
    digest: bytes


class QuarantineChanged(Struct, frozen=True):
    """The app found a reason to distrust the store, or an operator cleared it: empty = trusted (14.6)."""

    reason: str


class TimingChanged(Struct, frozen=True):
    """New group settings are in force from the applied index on (18.5). Durations in nanoseconds."""

    heartbeat: int
    election_min: int
    election_max: int
    clock_drift_ppm: int


class Compacted(Struct, frozen=True):
    """The store shall forget the log up to `index`, which is applied; the core forgets it at once (N1)."""

    index: int


class SnapshotReceived(Struct, frozen=True):
    """A checked snapshot is at hand. The core installs it with a persist batch, or lets it be (N4, N5).

    Attributes:
        sender: Leader that sent it.
        mark: Entry it stands at.
        configuration: Newest configuration committed there.
        configuration_index: Where that stands.
    """

    sender: int
    mark: LogMark
    configuration: Configuration
    configuration_index: int


class SnapshotSent(Struct, frozen=True):
    """A transfer to a peer ended; `delivered` means that the peer has it installed, or did not need it."""

    member_id: int
    mark: LogMark
    delivered: bool


Event = (
    Tick
    | Received
    | Proposed
    | Persisted
    | Applied
    | ReadRequested
    | StoreHealthChanged
    | PeerUnreachable
    | MemberChangeRequested
    | TransferRequested
    | Drained
    | LocalReadiness
    | StateDigest
    | QuarantineChanged
    | TimingChanged
    | Compacted
    | SnapshotReceived
    | SnapshotSent
)
