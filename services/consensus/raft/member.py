"""What all parts of one member's core share: role, term, vote, promise, log position, timers, messages to send.

Roles: FOLLOWER -> PRE_CANDIDATE (deadline passed) -> CANDIDATE (majority of pre-votes) -> LEADER (majority of votes);
from each of them back to FOLLOWER by a higher term, a leader of the own term, a lost round, a lost quorum, or a store
in trouble. Terms only grow; a vote is given once a term; `commit_index` and `applied_index` only grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.consensus.raft.configuration import NEVER_LEADS, Configuration
from services.consensus.raft.digests import OwnDigests
from services.consensus.raft.durability import Durability
from services.consensus.raft.invariant import ensure
from services.consensus.raft.log import Log
from services.consensus.raft.membership import Configurations
from services.consensus.raft.messages import Message
from services.consensus.raft.model import NOBODY, BootState, CoreSettings, Entry, HardState, Role, StoreHealth
from services.consensus.raft.outputs import LeaderLease, Outgoing
from services.consensus.raft.randomness import SplitMix64

LAST_RESORT: Final = 4
"""A voter of preference 0 campaigns after so many times `election_max` without a leader."""


class Member:
    """Shared state of one member's core and the changes that must stay together."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int) -> None:
        """Start as a follower; quiet for `promise_max` when the member may have promised something before (E9)."""
        self.settings = settings
        self.member_id: Final = settings.member_id
        self.now = now
        self.random = SplitMix64(seed)
        self.log = Log(boot.entries, boot.mark)
        self.durability = Durability(self.log, boot.hard_state)
        self.configurations = Configurations(boot.configuration, boot.configuration_index, boot.entries)
        self.role = Role.FOLLOWER
        self.leader = NOBODY
        self.health = StoreHealth.OK
        self.ready = True  # This node's recovery is alive (8.3).
        self.quarantine = boot.quarantine
        self.told_removed = False
        self._started_at = now
        self.hold_until = now  # An operator wants no candidacy before (8.4).
        self.own_digests = OwnDigests()
        self.commit_index = boot.applied_index
        self.applied_index = boot.applied_index
        self.leader_contact_at: int | None = None
        self.lease = LeaderLease(0, 0, 0)
        self.outbox: list[Outgoing] = []
        self.promise_until = now + boot.hard_state.promise_max_ns
        self.election_deadline = now
        within = boot.mark.index <= boot.applied_index <= self.log.last_index
        ensure(within, "S7", f"applied {boot.applied_index}, log {boot.mark.index}..{self.log.last_index}")
        ensure(self.log.last_term <= self.term, "S7", f"log of term {self.log.last_term}, own term {self.term}")
        self._belonged = bool(boot.configuration.members)
        self._reconfigured()
        if self.configuration.voters != (self.member_id,):
            self.restart_election_timer()

    @property
    def term(self) -> int:
        """Newest term seen."""
        return self.durability.hard_state.current_term

    @property
    def voted_for(self) -> int:
        """Member that has this term's vote, or nobody."""
        return self.durability.hard_state.voted_for

    @property
    def configuration(self) -> Configuration:
        """The newest in the log (M1)."""
        return self.configurations.newest

    @property
    def other_voters(self) -> tuple[int, ...]:
        """All voters but this one, by id (C3)."""
        return tuple(voter for voter in self.configuration.voters if voter != self.member_id)

    @property
    def votes(self) -> bool:
        """True when this member counts in majorities (M8)."""
        return self.member_id in self.configuration.voters

    @property
    def removed(self) -> bool:
        """True when this member knows that the group goes on without it (M7)."""
        if self.told_removed:
            return True
        left = self._belonged and self.member_id not in self.configuration.ids
        return left and self.configurations.newest_index <= self.commit_index

    @property
    def may_stand(self) -> bool:
        """True while this member may become leader when a leader asks it to (8.1)."""
        return self.votes and not self.told_removed and not self.quarantine and self.store_usable

    @property
    def may_campaign(self) -> bool:
        """True while this member may try to become leader by itself (8.2, 8.4).

        A voter of preference 0 does so as a last resort only: it may be the one whose log the others need, and a
        preference never vetoes. Once it leads it hands over as soon as another has caught up.
        """
        willing = self._preference > NEVER_LEADS or self.now >= self._last_resort_at
        return self.may_stand and willing and self.now >= self.hold_until

    @property
    def _last_resort_at(self) -> int:
        """When the group has been without a leader for so long that anybody may lead."""
        since = self._started_at if self.leader_contact_at is None else self.leader_contact_at
        return since + LAST_RESORT * self.settings.election_max

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
        """Draw a new deadline: E + random(0, max - E) from now, E being at least the longest promise (5).

        A member of lower preference than the best voter's waits longer, by at most E / 2 (8.2).
        """
        settings = self.settings
        quiet = max(settings.election_min, self.durability.hard_state.promise_max_ns)
        earliest = max(self.now + quiet, self.promise_until)
        spread = self.random.below(settings.election_max - settings.election_min)
        self.election_deadline = earliest + spread + settings.election_min * self._lateness // 200

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end of the log; a configuration among them holds at once (M1)."""
        self.log.append(entries)
        if self.configurations.appended(entries):
            self._reconfigured()

    def truncate(self, from_index: int) -> None:
        """Drop the log from an index on, and fall back to the configuration before it (M1)."""
        self.durability.truncate(from_index)
        if self.configurations.truncated(from_index):
            self._reconfigured()

    def begin_behind(self, configuration: Configuration, index: int) -> None:
        """Take the configuration of a snapshot; it stands at `index`, and the log begins anew behind the snapshot."""
        self.configurations = Configurations(configuration, index, ())
        self.own_digests = OwnDigests()  # The state they were made of is replaced.
        self._reconfigured()

    def distrust(self, reason: str) -> None:
        """Stop counting on the own store; nothing but an operator or a new store ends that (14.6)."""
        self.quarantine = reason
        if reason and self.role is not Role.FOLLOWER:
            self.become_follower(self.term, NOBODY)

    def retry_election_soon(self) -> None:
        """Draw a short deadline after a lost round: random(0, E / 2) (E10)."""
        self.election_deadline = self.now + self.random.below(self.settings.election_min // 2)

    def advance_commit(self, index: int) -> None:
        """Raise the commit index; a lower one changes nothing (I16)."""
        if index > self.commit_index:
            ensure(index <= self.log.last_index, "I16", f"commit {index} beyond the log")
            self.commit_index = index
            self.configurations.committed(index)

    def _reconfigured(self) -> None:
        """Reckon anew what the newest configuration says of this member."""
        configuration = self.configuration
        own = configuration.find(self.member_id)
        if own is not None:
            self._belonged, self.told_removed = True, False
        self._preference = NEVER_LEADS if own is None else own.preference
        best = max((member.preference for member in configuration.members if member.votes), default=0)
        self._lateness = max(0, best - self._preference)
