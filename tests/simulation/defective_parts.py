"""Parts of the core and of the state machine, each with one mistake in it (21.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.consensus.raft.configuration import Configuration, decode_configuration
from services.consensus.raft.durability import Durability
from services.consensus.raft.election import Elections
from services.consensus.raft.events import MemberChange, Persisted
from services.consensus.raft.following import Following
from services.consensus.raft.leader_lease import LeaseClock
from services.consensus.raft.leading import Leading
from services.consensus.raft.member import Member
from services.consensus.raft.membership import Configurations
from services.consensus.raft.messages import (
    AppendRequest,
    Heartbeat,
    VoteRefusal,
    VoteRequest,
)
from services.consensus.raft.model import NOBODY, Entry, EntryKind, LogMark
from services.consensus.raft.outputs import ChangeBlocker, ReadOutcome, ReadResult
from services.consensus.raft.replication import Replication
from services.consensus.raft.transfer import Transfers
from services.consensus.state.lease_table import LeaseTable
from services.consensus.state.rows import Change
from tests.simulation.defect import Defect

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


class AbaAccepted(Durability):
    """Lets a notice from before a truncation count (C2)."""

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


ELECTIONS: dict[Defect, Callable[[Member], Elections]] = {
    Defect.PROMISE_IGNORED: _Promiscuous,
    Defect.VOTE_WITHOUT_LOG_CHECK: _Blind,
    Defect.PROMISE_CLEARED: _Faithless,
    Defect.FORCE_WITHOUT_TERM_CHECK: _Gullible,
    Defect.QUARANTINED_VOTES: _VotesOn,
}
FOLLOWING: dict[Defect, Callable[[Member], Following]] = {
    Defect.TRUNCATE_WITHOUT_CONFLICT: _Truncating,
    Defect.ACCEPT_AT_WRONG_PREV: _Credulous,
    Defect.SNAPSHOT_DROPS_SUFFIX: _DropsSuffix,
    Defect.QUARANTINED_ACKNOWLEDGES: _AnswersOn,
}
LEADING: dict[Defect, Callable[[Member], Leading]] = {
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
CONFIGURATIONS: dict[Defect, Callable[[Configuration, int, Iterable[Entry]], Configurations]] = {
    Defect.CONFIG_AT_COMMIT: _LateConfigurations,
    Defect.FALLBACK_CONFIG_LOST: _NoFallback,
}
LEASES: dict[Defect, Callable[[], LeaseTable]] = {
    Defect.GRANT_WITHOUT_TERM_CHECK: _OldGrantsLive,
    Defect.STEP_WITHOUT_TOKEN_CHECK: _AnyToken,
}
