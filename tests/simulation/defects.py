"""Mistakes that simulator or scripts must find: switchable defects of the core and of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from services.consensus.core import RaftCore
from services.consensus.election import Elections
from services.consensus.following import Following
from services.consensus.leader_lease import LeaseClock
from services.consensus.leading import Leading
from services.consensus.member import Member
from services.consensus.messages import AppendAck, Message, VoteResponse
from services.consensus.model import NOBODY, BootState, CoreSettings, Entry
from services.consensus.outputs import ReadOutcome, ReadResult
from services.consensus.replication import Replication


class Defect(Enum):
    """One broken rule each."""

    NONE = "none"
    ACK_BEFORE_FSYNC = "ack_before_fsync"
    VOTE_BEFORE_FSYNC = "vote_before_fsync"
    VOTE_WITHOUT_LOG_CHECK = "vote_without_log_check"
    VOTE_FORGOTTEN = "vote_forgotten"
    OLD_TERM_COMMIT = "old_term_commit"
    PROMISE_IGNORED = "promise_ignored"
    PROMISE_CLEARED = "promise_cleared"
    NO_QUIET_AFTER_START = "no_quiet_after_start"
    LEADER_WORD_FORGOTTEN = "leader_word_forgotten"
    LEASE_FROM_ACK_ARRIVAL = "lease_from_ack_arrival"
    READ_WITHOUT_CONFIRMATION = "read_without_confirmation"
    NO_NOOP_BARRIER = "no_noop_barrier"
    TRUNCATE_WITHOUT_CONFLICT = "truncate_without_conflict"
    ACCEPT_AT_WRONG_PREV = "accept_at_wrong_prev"


def waits_for_disk(defect: Defect, message: Message) -> bool:
    """Tell whether a message honours the batch it names (C1)."""
    hasty = {Defect.ACK_BEFORE_FSYNC: AppendAck, Defect.VOTE_BEFORE_FSYNC: VoteResponse}.get(defect)
    return hasty is None or not isinstance(message, hasty)


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


class _Truncating(Following):
    def store(self, entries: tuple[Entry, ...]) -> None:
        member = self._member
        if entries and member.commit_index < entries[0].index <= member.log.last_index:
            member.durability.truncate(entries[0].index)
        super().store(entries)


class _Credulous(Following):
    def fits(self, prev_index: int, prev_term: int) -> bool:
        return prev_index <= self._member.log.last_index


class _OldTermCommit(Replication):
    def counts_for_commit(self, index: int) -> bool:
        return True


class _ArrivalLease(LeaseClock):
    def promise_end(self, sent_at: int, promise_ns: int, now: int) -> int:
        return super().promise_end(now, promise_ns, now)


class _CountsCopies(Leading):
    def _new_replication(self) -> Replication:
        return _OldTermCommit(self._member)


class _TrustsArrival(Leading):
    def _new_lease_clock(self) -> LeaseClock:
        return _ArrivalLease(self._member.settings, self._member.term)


class _AnswersReadsAtOnce(Leading):
    def read(self, waiter: int) -> None:
        self.read_results.append(ReadResult(waiter, ReadOutcome.READY, self._member.commit_index))


class _Impatient(Leading):
    @property
    def ready(self) -> bool:
        return True


class _GivesNoWord(Leading):
    def _refresh_lease(self) -> None:
        promised = self._member.promise_until
        super()._refresh_lease()
        self._member.promise_until = promised


_ELECTIONS: dict[Defect, Callable[[Member], Elections]] = {
    Defect.PROMISE_IGNORED: _Promiscuous,
    Defect.VOTE_WITHOUT_LOG_CHECK: _Blind,
    Defect.PROMISE_CLEARED: _Faithless,
}
_FOLLOWING: dict[Defect, Callable[[Member], Following]] = {
    Defect.TRUNCATE_WITHOUT_CONFLICT: _Truncating,
    Defect.ACCEPT_AT_WRONG_PREV: _Credulous,
}
_LEADING: dict[Defect, Callable[[Member], Leading]] = {
    Defect.OLD_TERM_COMMIT: _CountsCopies,
    Defect.LEASE_FROM_ACK_ARRIVAL: _TrustsArrival,
    Defect.READ_WITHOUT_CONFIRMATION: _AnswersReadsAtOnce,
    Defect.NO_NOOP_BARRIER: _Impatient,
    Defect.LEADER_WORD_FORGOTTEN: _GivesNoWord,
}


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

    def _new_elections(self) -> Elections:
        return _ELECTIONS.get(self._defect, Elections)(self._member)

    def _new_following(self) -> Following:
        return _FOLLOWING.get(self._defect, Following)(self._member)

    def _new_leading(self) -> Leading:
        return _LEADING.get(self._defect, Leading)(self._member)
