"""What all parts of one member's core share: role, term, vote, promise, log position, timers, messages to send.

Roles: FOLLOWER -> PRE_CANDIDATE (deadline passed) -> CANDIDATE (majority of pre-votes) -> LEADER (majority of votes);
from each of them back to FOLLOWER by a higher term, a leader of the own term, a lost round, a lost quorum, or a store
in trouble. Terms only grow; a vote is given once a term; `commit_index` and `applied_index` only grow.
"""

from __future__ import annotations

from services.consensus.durability import Durability
from services.consensus.invariant import ensure
from services.consensus.log import Log
from services.consensus.messages import Message
from services.consensus.model import NOBODY, BootState, CoreSettings, HardState, Role, StoreHealth
from services.consensus.outputs import LeaderLease, Outgoing
from services.consensus.randomness import SplitMix64


class Member:
    """Shared state of one member's core and the changes that must stay together."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int) -> None:
        """Start as a follower; quiet for `promise_max` when the member may have promised something before (E9)."""
        self.settings = settings
        self.now = now
        self.random = SplitMix64(seed)
        self.log = Log(boot.entries)
        self.durability = Durability(self.log, boot.hard_state)
        self.configuration = boot.configuration
        self.role = Role.FOLLOWER
        self.leader = NOBODY
        self.health = StoreHealth.OK
        self.commit_index = boot.applied_index
        self.applied_index = boot.applied_index
        self.leader_contact_at: int | None = None
        self.lease = LeaderLease(0, 0, 0)
        self.outbox: list[Outgoing] = []
        self.promise_until = now + boot.hard_state.promise_max_ns
        self.election_deadline = now
        ensure(boot.applied_index <= self.log.last_index, "S7", f"applied {boot.applied_index} beyond the log")
        ensure(self.log.last_term <= self.term, "S7", f"log of term {self.log.last_term}, own term {self.term}")
        if self.quorum_need > 1:
            self.restart_election_timer()

    @property
    def member_id(self) -> int:
        """Id of this member."""
        return self.settings.member_id

    @property
    def term(self) -> int:
        """Newest term seen."""
        return self.durability.hard_state.current_term

    @property
    def voted_for(self) -> int:
        """Member that has this term's vote, or nobody."""
        return self.durability.hard_state.voted_for

    @property
    def others(self) -> tuple[int, ...]:
        """All voters but this one, by id (C3)."""
        return tuple(voter for voter in self.configuration.voters if voter != self.member_id)

    @property
    def quorum_need(self) -> int:
        """Majority of the voters."""
        return self.configuration.quorum_need

    @property
    def store_usable(self) -> bool:
        """True while the store takes writes in time (8.6)."""
        since = self.durability.waiting_since()
        stall = max(self.settings.store_stall, 4 * self.settings.heartbeat)
        return self.health.usable and (since is None or self.now - since <= stall)

    def send(self, to: int, message: Message) -> None:
        """Queue a message; it leaves when the present term, vote and promise are durable (C1, S1)."""
        self.outbox.append(Outgoing(to, message, self.durability.hard_barrier()))

    def become_follower(self, term: int, leader: int) -> None:
        """Follow in a term at least the own one, under a leader or nobody; the promise stays (5)."""
        if term != self.term:
            self.enter_term(term, NOBODY)
        if self.role is not Role.FOLLOWER:
            self.role = Role.FOLLOWER
            self.restart_election_timer()
        self.leader = leader
        if self.lease.valid_until:
            self.lease = LeaderLease(self.lease.term, self.lease.seq, 0)

    def enter_term(self, term: int, voted_for: int) -> None:
        """Set term and vote together; terms never fall, a vote given is never changed (I7)."""
        ensure(term >= self.term, "I7", f"term {term} below {self.term}")
        ensure(term > self.term or self.voted_for in (NOBODY, voted_for), "I7", f"second vote in term {term}")
        self.durability.set_hard_state(HardState(term, voted_for, self.durability.hard_state.promise_max_ns))

    def promise(self, length: int) -> None:
        """Promise not to help replace the present leader for `length` from now (5); a promise is never shortened."""
        self.promise_until = max(self.promise_until, self.now + length)
        self.expect_promise(length)

    def expect_promise(self, length: int) -> None:
        """Make the longest promise durable before the first answer that needs it (5, E9)."""
        hard = self.durability.hard_state
        if length > hard.promise_max_ns:
            self.durability.set_hard_state(HardState(hard.current_term, hard.voted_for, length))

    def restart_election_timer(self) -> None:
        """Draw a new deadline: E + random(0, max - E) from now, E being at least the longest promise (5)."""
        settings = self.settings
        quiet = max(settings.election_min, self.durability.hard_state.promise_max_ns)
        earliest = max(self.now + quiet, self.promise_until)
        self.election_deadline = earliest + self.random.below(settings.election_max - settings.election_min)

    def retry_election_soon(self) -> None:
        """Draw a short deadline after a lost round: random(0, E / 2) (E10)."""
        self.election_deadline = self.now + self.random.below(self.settings.election_min // 2)

    def advance_commit(self, index: int) -> None:
        """Raise the commit index; a lower one changes nothing (I16)."""
        if index > self.commit_index:
            ensure(index <= self.log.last_index, "I16", f"commit {index} beyond the log")
            self.commit_index = index
