"""Values of the Raft core: what goes in, what comes out, what members say to each other.

All times are integer nanoseconds of one local clock (`CLOCK_BOOTTIME`, rule T1); the two that travel (`sent_at`,
`promise_ns`) are echoed, never compared with another member's clock. Log indexes and terms start at 1; index 0 with
term 0 stands before the first entry. Member id 0 means nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from msgspec import Struct

from services.consensus.raft.configuration import NO_MEMBERS, Configuration

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
    CONFIG = "config"
    """A configuration of the group (section 9); `data` is `encode_configuration`."""
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


class Entry(Struct, frozen=True):
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
class LogMark:
    """A place in the log: an index and the term of the entry there; (0, 0) stands before the first entry."""

    index: int = 0
    term: int = 0


START: Final = LogMark()
"""Before the first entry."""


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
        member_id: This member; never 0. Who else is in the group is in the log (section 9).
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
        if self.member_id == NOBODY:
            raise ValueError("member_id must be positive")
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
        entries: The log behind `mark`, contiguous (S3).
        applied_index: Index the state machine is at; known to be committed.
        mark: Last entry that compaction or a snapshot replaced; `entries` begin behind it (15).
        configuration: Newest committed one as of `applied_index`; later ones are in `entries` (M1).
        configuration_index: Where it stands in the log; 0 = bootstrap.
        quarantine: Why the store may not be trusted; empty = it may (14.6).
    """

    hard_state: HardState = field(default_factory=HardState)
    entries: tuple[Entry, ...] = ()
    applied_index: int = 0
    mark: LogMark = START
    configuration: Configuration = NO_MEMBERS
    configuration_index: int = 0
    quarantine: str = ""
