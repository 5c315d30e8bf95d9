"""What members say to each other. Each message carries who says it and the sender's term.

`sent_at` and `promise_ns` are echoed in answers, never compared with another member's clock.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from services.consensus.raft.model import Entry, StoreHealth


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
    QUARANTINED = "quarantined"
    """14.6: the asked member does not trust its own store."""
    STORE = "store"
    """8.6: the asked member cannot write."""


class PreVoteRequest(Struct, frozen=True):
    """Asks whether an election could be won (E1); changes nothing at the receiver. `term` is the sender's term + 1."""

    sender: int
    term: int
    last_index: int
    last_term: int


class PreVoteResponse(Struct, frozen=True):
    """Answers a pre-vote. `term` is the requested one when granted, else the own (E5); `request_term` always echoes."""

    sender: int
    term: int
    request_term: int
    refusal: VoteRefusal


class VoteRequest(Struct, frozen=True):
    """Asks for the vote of `term`; leaves only when the sender's own vote is durable (C1).

    Attributes:
        transfer_term: Term of the leader that asked the sender to take over (E8, 8.1); 0 = nobody asked.
    """

    sender: int
    term: int
    last_index: int
    last_term: int
    transfer_term: int = 0


class VoteResponse(Struct, frozen=True):
    """Answers a vote request; `term` is the sender's own, `request_term` echoes. A grant is durable (C1)."""

    sender: int
    term: int
    request_term: int
    refusal: VoteRefusal


class AppendRequest(Struct, frozen=True):
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


class AppendAck(Struct, frozen=True):
    """The sender's log matches the leader's up to `match_index`, durably (R3). A newer one replaces an unsent older."""

    sender: int
    term: int
    match_index: int
    sent_at: int
    promise_ns: int


class AppendReject(Struct, frozen=True):
    """Refuses an Append: wrong place in the log (R4), or a lower term (E6; then `promise_ns` is 0).

    Attributes:
        prev_index: Of the refused request.
        hint_index: Last own entry that may still match (R4).
        hint_term: Its term.
        installing: True while a snapshot is being installed (N4): ask again when that is over.
    """

    sender: int
    term: int
    prev_index: int
    hint_index: int
    hint_term: int
    sent_at: int
    promise_ns: int
    installing: bool = False


class Heartbeat(Struct, frozen=True):
    """Sent every H, independent of disk and data (R7). A newer one replaces an unsent older.

    Attributes:
        commit: min(leader's commit, what this peer matches).
        round: Grows with every round of heartbeats; confirms leadership for reads (12).
        digest_index: Newest multiple of 256 at which a majority's state agrees (A4); 0 = not known.
        digest: State digest there, as the majority has it.
    """

    sender: int
    term: int
    commit: int
    sent_at: int
    promise_ns: int
    round: int
    digest_index: int = 0
    digest: bytes = b""


class HeartbeatAck(Struct, frozen=True):
    """Answers a heartbeat, echoing it; a refusal because of a lower term has `promise_ns` 0 and the higher term (E6).

    Attributes:
        applied_index: Index the sender's state machine is at.
        store_health: How its store does.
        clock: The sender's clock when it answered; only its rate is looked at (L5). 0 = not told.
        digest_index: Newest multiple of 256 the sender has applied (A4); 0 = none.
        digest: Its state digest there.
        ready: Its node's recovery is alive (8.3).
        quarantined: It does not trust its own store (14.6).
    """

    sender: int
    term: int
    sent_at: int
    promise_ns: int
    round: int
    applied_index: int
    store_health: StoreHealth
    clock: int = 0
    digest_index: int = 0
    digest: bytes = b""
    ready: bool = True
    quarantined: bool = False


class TimeoutNow(Struct, frozen=True):
    """The leader of `term` has surrendered and asks the receiver to campaign at once (8.1)."""

    sender: int
    term: int


class Removed(Struct, frozen=True):
    """Tells a former member that the configuration at `configuration_index` does not have it any more (M7)."""

    sender: int
    term: int
    configuration_index: int


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
    | TimeoutNow
    | Removed
)
