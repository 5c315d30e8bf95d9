"""Mistakes that simulator or scripts must find: switchable defects of the core and of its surroundings (21.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum

from services.consensus.raft.configuration import Configuration, decode_configuration
from services.consensus.raft.core import RaftCore
from services.consensus.raft.durability import Durability
from services.consensus.raft.election import Elections
from services.consensus.raft.events import MemberChange, Persisted
from services.consensus.raft.following import Following
from services.consensus.raft.leader_lease import LeaseClock
from services.consensus.raft.leading import Leading
from services.consensus.raft.member import Member
from services.consensus.raft.membership import Configurations
from services.consensus.raft.messages import (
    AppendAck,
    AppendRequest,
    Heartbeat,
    Message,
    VoteRefusal,
    VoteRequest,
    VoteResponse,
)
from services.consensus.raft.model import NOBODY, BootState, CoreSettings, Entry, EntryKind, LogMark
from services.consensus.raft.outputs import ChangeBlocker, ReadOutcome, ReadResult
from services.consensus.raft.replication import Replication
from services.consensus.raft.transfer import Transfers
from services.consensus.state.lease_table import LeaseTable
from services.consensus.state.machine import Machine, Mark
from services.consensus.state.rows import Change, Row


class Defect(Enum):
    """One broken rule each."""

    NONE = "none"
    ACK_BEFORE_FSYNC = "ack_before_fsync"
    VOTE_BEFORE_FSYNC = "vote_before_fsync"
    VOTE_WITHOUT_LOG_CHECK = "vote_without_log_check"
    VOTE_FORGOTTEN = "vote_forgotten"
    PROMISE_IGNORED = "promise_ignored"
    PROMISE_CLEARED = "promise_cleared"
    NO_QUIET_AFTER_START = "no_quiet_after_start"
    LEADER_WORD_FORGOTTEN = "leader_word_forgotten"
    LEASE_FROM_ACK_ARRIVAL = "lease_from_ack_arrival"
    LEASE_FROM_LAST_TICK = "lease_from_last_tick"
    LEASE_AFTER_SURRENDER = "lease_after_surrender"
    FORCE_WITHOUT_TERM_CHECK = "force_without_term_check"
    OLD_TERM_COMMIT = "old_term_commit"
    TRUNCATE_WITHOUT_CONFLICT = "truncate_without_conflict"
    ACCEPT_AT_WRONG_PREV = "accept_at_wrong_prev"
    READ_WITHOUT_CONFIRMATION = "read_without_confirmation"
    NO_NOOP_BARRIER = "no_noop_barrier"
    NO_NOOP_BARRIER_FOR_CONFIG = "no_noop_barrier_for_config"
    TWO_CHANGES = "two_changes"
    CONFIG_AT_COMMIT = "config_at_commit"
    FALLBACK_CONFIG_LOST = "fallback_config_lost"
    LEARNER_COUNTED = "learner_counted"
    LEADER_REMOVES_ITSELF = "leader_removes_itself"
    SNAPSHOT_KEEPS_OLD_ROWS = "snapshot_keeps_old_rows"
    SNAPSHOT_DROPS_SUFFIX = "snapshot_drops_suffix"
    APPLIED_INDEX_ALONE = "applied_index_alone"
    DEDUP_FORGOTTEN_IN_SNAPSHOT = "dedup_forgotten_in_snapshot"
    GRANT_WITHOUT_TERM_CHECK = "grant_without_term_check"
    STEP_WITHOUT_TOKEN_CHECK = "step_without_token_check"
    ADOPT_WITHOUT_WAIT = "adopt_without_wait"
    ABA_ACCEPTED = "aba_accepted"
    QUARANTINED_ACKNOWLEDGES = "quarantined_acknowledges"
    QUARANTINED_VOTES = "quarantined_votes"
    COMPACTION_ABOVE_TRANSFER = "compaction_above_transfer"


def waits_for_disk(defect: Defect, message: Message) -> bool:
    """Tell whether a message honours the batch it names (C1)."""
    hasty = {Defect.ACK_BEFORE_FSYNC: AppendAck, Defect.VOTE_BEFORE_FSYNC: VoteResponse}.get(defect)
    return hasty is None or not isinstance(message, hasty)


# Elections.


class _Promiscuous(Elections):
    def promised(self) -> bool:
        return False


class _Blind(Elections):
    def log_suffices(self, last_index: int, last_term: int) -> bool:
        return True


class _Faithless(Elections):
    """Thinks a promise ends when no leader is known any more."""

    def promised(self) -> bool:
        return self._member.leader != NOBODY and super().promised()


class _Gullible(Elections):
    def forced(self, request: VoteRequest) -> bool:
        return request.transfer_term > 0


class _VotesOn(Elections):
    def _own_trouble(self) -> VoteRefusal:
        return VoteRefusal.NONE


# Following.


class _Truncating(Following):
    def store(self, entries: tuple[Entry, ...]) -> None:
        member = self._member
        if entries and member.commit_index < entries[0].index <= member.log.last_index:
            member.truncate(entries[0].index)
        super().store(entries)


class _Credulous(Following):
    def fits(self, prev_index: int, prev_term: int) -> bool:
        return prev_index <= self._member.log.last_index


class _DropsSuffix(Following):
    def keeps_suffix(self, mark: LogMark) -> bool:
        return False


class _AnswersOn(Following):
    """Answers in quarantine as if nothing were wrong."""

    def append_requested(self, request: AppendRequest) -> None:
        reason, self._member.quarantine = self._member.quarantine, ""
        super().append_requested(request)
        self._member.quarantine = reason

    def heartbeat_received(self, heartbeat: Heartbeat) -> None:
        reason, self._member.quarantine = self._member.quarantine, ""
        super().heartbeat_received(heartbeat)
        self._member.quarantine = self._member.quarantine or reason


# Leading.


class _OldTermCommit(Replication):
    def counts_for_commit(self, index: int) -> bool:
        return True


class _CountsLearners(Replication):
    def reconfigure(self) -> None:
        super().reconfigure()
        self.voters = [self.peers[other] for other in self._member.configuration.ids if other in self.peers]


class _ArrivalLease(LeaseClock):
    def promise_end(self, sent_at: int, promise_ns: int, now: int) -> int:
        return super().promise_end(now, promise_ns, now)


class _CountsCopies(Leading):
    def _new_replication(self) -> Replication:
        return _OldTermCommit(self._member)


class _CountsEverybody(Leading):
    def _new_replication(self) -> Replication:
        return _CountsLearners(self._member)


class _TrustsArrival(Leading):
    def _new_lease_clock(self) -> LeaseClock:
        return _ArrivalLease(self._member.settings, self._member.term)


class _AnswersReadsAtOnce(Leading):
    def read(self, waiter: int) -> None:
        self.read_results.append(ReadResult(waiter, ReadOutcome.READY, self._member.commit_index))


class _LooksAtTicks(Leading):
    """Believes in the lease as it was at the last tick."""

    _ticked_at = 0

    def tick(self) -> None:
        self._ticked_at = self._member.now
        super().tick()

    def read(self, waiter: int) -> None:
        now, self._member.now = self._member.now, self._ticked_at
        super().read(waiter)
        self._member.now = now


class _Impatient(Leading):
    @property
    def ready(self) -> bool:
        return True


class _GivesNoWord(Leading):
    def _refresh_lease(self) -> None:
        promised = self._member.promise_until
        super()._refresh_lease()
        self._member.promise_until = promised


class _SurrendersNothing(Transfers):
    @property
    def keeps_lease(self) -> bool:
        return True


class _KeepsLease(Leading):
    """Extends the lease of a term it has surrendered."""

    def __init__(self, member: Member) -> None:
        super().__init__(member)
        self.transfers = _SurrendersNothing(member, self.replication, self.lease_clock)


class _ChangesBeforeNoop(Leading):
    def judge_change(self, change: MemberChange, *, force: bool) -> ChangeBlocker | None:
        noop, self._noop_index = self._noop_index, 0
        blocker = super().judge_change(change, force=force)
        self._noop_index = noop
        return blocker


class _ChangesTwice(Leading):
    def judge_change(self, change: MemberChange, *, force: bool) -> ChangeBlocker | None:
        commit, self._member.commit_index = self._member.commit_index, self._member.log.last_index
        blocker = super().judge_change(change, force=force)
        self._member.commit_index = commit
        return blocker


class _RemovesItself(Leading):
    def judge_change(self, change: MemberChange, *, force: bool) -> ChangeBlocker | None:
        blocker = super().judge_change(change, force=force)
        return None if blocker is ChangeBlocker.LEADER_ITSELF else blocker


# What all parts share.


class _AbaAccepted(Durability):
    def persisted(self, notice: Persisted) -> None:
        self._rewrite_batch = 0
        super().persisted(notice)


class _LateConfigurations(Configurations):
    """Uses a configuration only when it is committed."""

    def __init__(self, committed: Configuration, index: int, entries: Iterable[Entry]) -> None:
        self._waiting: list[tuple[int, Configuration]] = []
        super().__init__(committed, index, entries)

    def appended(self, entries: Iterable[Entry]) -> bool:
        self._waiting += [(e.index, decode_configuration(e.data)) for e in entries if e.kind is EntryKind.CONFIG]
        return False

    def truncated(self, from_index: int) -> bool:
        self._waiting = [waiting for waiting in self._waiting if waiting[0] < from_index]
        return False

    def committed(self, index: int) -> None:
        self._held += [waiting for waiting in self._waiting if waiting[0] <= index]
        self._waiting = [waiting for waiting in self._waiting if waiting[0] > index]
        super().committed(index)


class _NoFallback(Configurations):
    def truncated(self, from_index: int) -> bool:
        return False


# State machine.


class _OldGrantsLive(LeaseTable):
    def begin_term(self, term: int) -> tuple[Change, ...]:
        return ()


class _AnyToken(LeaseTable):
    def is_live(self, name: str, fencing_token: int) -> bool:
        return True


_ELECTIONS: dict[Defect, Callable[[Member], Elections]] = {
    Defect.PROMISE_IGNORED: _Promiscuous,
    Defect.VOTE_WITHOUT_LOG_CHECK: _Blind,
    Defect.PROMISE_CLEARED: _Faithless,
    Defect.FORCE_WITHOUT_TERM_CHECK: _Gullible,
    Defect.QUARANTINED_VOTES: _VotesOn,
}
_FOLLOWING: dict[Defect, Callable[[Member], Following]] = {
    Defect.TRUNCATE_WITHOUT_CONFLICT: _Truncating,
    Defect.ACCEPT_AT_WRONG_PREV: _Credulous,
    Defect.SNAPSHOT_DROPS_SUFFIX: _DropsSuffix,
    Defect.QUARANTINED_ACKNOWLEDGES: _AnswersOn,
}
_LEADING: dict[Defect, Callable[[Member], Leading]] = {
    Defect.OLD_TERM_COMMIT: _CountsCopies,
    Defect.LEARNER_COUNTED: _CountsEverybody,
    Defect.LEASE_FROM_ACK_ARRIVAL: _TrustsArrival,
    Defect.READ_WITHOUT_CONFIRMATION: _AnswersReadsAtOnce,
    Defect.NO_NOOP_BARRIER: _Impatient,
    Defect.LEADER_WORD_FORGOTTEN: _GivesNoWord,
    Defect.LEASE_FROM_LAST_TICK: _LooksAtTicks,
    Defect.LEASE_AFTER_SURRENDER: _KeepsLease,
    Defect.NO_NOOP_BARRIER_FOR_CONFIG: _ChangesBeforeNoop,
    Defect.TWO_CHANGES: _ChangesTwice,
    Defect.LEADER_REMOVES_ITSELF: _RemovesItself,
}
_CONFIGURATIONS: dict[Defect, Callable[[Configuration, int, Iterable[Entry]], Configurations]] = {
    Defect.CONFIG_AT_COMMIT: _LateConfigurations,
    Defect.FALLBACK_CONFIG_LOST: _NoFallback,
}
_LEASES: dict[Defect, Callable[[], LeaseTable]] = {
    Defect.GRANT_WITHOUT_TERM_CHECK: _OldGrantsLive,
    Defect.STEP_WITHOUT_TOKEN_CHECK: _AnyToken,
}


def new_machine(defect: Defect, mark: Mark, tables: Mapping[str, Iterable[Row]]) -> Machine:
    """Return a state machine with one defect, or with none."""
    machine = Machine(mark, tables)
    if defect in _LEASES:
        leases = _LEASES[defect]()
        leases.__dict__.update(machine.leases.__dict__)
        machine.leases = leases
    return machine


class DefectiveCore(RaftCore):
    """A core with one defect, or with none."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int, defect: Defect) -> None:
        """Start like a core."""
        self._defect = defect
        if defect is Defect.VOTE_FORGOTTEN:
            boot = replace(boot, hard_state=replace(boot.hard_state, voted_for=NOBODY))
        elif defect is Defect.NO_QUIET_AFTER_START:
            boot = replace(boot, hard_state=replace(boot.hard_state, promise_max_ns=0))
        super().__init__(settings, boot, seed, now)
        if defect is Defect.ABA_ACCEPTED:
            self._member.durability = _AbaAccepted(self._member.log, boot.hard_state)
        if defect in _CONFIGURATIONS:
            known = _CONFIGURATIONS[defect](boot.configuration, boot.configuration_index, boot.entries)
            self._member.configurations = known

    @property
    def term(self) -> int:
        """Newest term seen."""
        return self._member.term

    @property
    def log_length(self) -> int:
        """How many entries are behind the log's mark."""
        return self._member.log.last_index - self._member.log.mark.index

    def position_numbers(self) -> tuple[int, ...]:
        """Return what the hash of a trace is made of: where this member stands, and what it waits for."""
        member = self._member
        return (
            member.term,
            member.leader,
            member.commit_index,
            member.log.last_index,
            member.applied_index,
            member.promise_until,
            member.election_deadline,
        )

    def _new_elections(self) -> Elections:
        return _ELECTIONS.get(self._defect, Elections)(self._member)

    def _new_following(self) -> Following:
        return _FOLLOWING.get(self._defect, Following)(self._member)

    def _new_leading(self) -> Leading:
        return _LEADING.get(self._defect, Leading)(self._member)
