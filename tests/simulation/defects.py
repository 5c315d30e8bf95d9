"""Mistakes that the simulator must find: switchable defects of the core and of its surroundings."""

from __future__ import annotations

from enum import Enum
from typing import Any

from services.consensus.core import RaftCore
from services.consensus.election import Elections
from services.consensus.leader_lease import LeaseClock
from services.consensus.leading import Leading
from services.consensus.model import BootState, CoreSettings, ReadOutcome, ReadResult
from services.consensus.replication import Replication


class Defect(Enum):
    """One broken rule each."""

    NONE = "none"
    ACK_BEFORE_FSYNC = "ack_before_fsync"
    VOTE_BEFORE_FSYNC = "vote_before_fsync"
    VOTE_WITHOUT_LOG_CHECK = "vote_without_log_check"
    OLD_TERM_COMMIT = "old_term_commit"
    PROMISE_IGNORED = "promise_ignored"
    NO_QUIET_AFTER_START = "no_quiet_after_start"
    VOTE_FORGOTTEN = "vote_forgotten"
    LEASE_FROM_ACK_ARRIVAL = "lease_from_ack_arrival"
    READ_WITHOUT_CONFIRMATION = "read_without_confirmation"
    LEADER_WORD_FORGOTTEN = "leader_word_forgotten"


class _Elections(Elections):
    def __init__(self, *args: Any, defect: Defect) -> None:
        super().__init__(*args)
        self._defect = defect

    def promised(self) -> bool:
        return self._defect is not Defect.PROMISE_IGNORED and super().promised()

    def log_suffices(self, last_index: int, last_term: int) -> bool:
        return self._defect is Defect.VOTE_WITHOUT_LOG_CHECK or super().log_suffices(last_index, last_term)


class _OldTermCommit(Replication):
    def counts_for_commit(self, index: int) -> bool:
        return True


class _ArrivalLease(LeaseClock):
    def promise_end(self, sent_at: int, promise_ns: int, now: int) -> int:
        return super().promise_end(now, promise_ns, now)


class _Leading(Leading):
    def __init__(self, *args: Any, defect: Defect) -> None:
        self._defect = defect
        super().__init__(*args)

    def _new_replication(self) -> Replication:
        if self._defect is Defect.OLD_TERM_COMMIT:
            return _OldTermCommit(self._member)
        return super()._new_replication()

    def _new_lease_clock(self) -> LeaseClock:
        if self._defect is Defect.LEASE_FROM_ACK_ARRIVAL:
            return _ArrivalLease(self._member.settings, self._member.term)
        return super()._new_lease_clock()

    def read(self, waiter: int) -> None:
        if self._defect is Defect.READ_WITHOUT_CONFIRMATION:
            self.read_results.append(ReadResult(waiter, ReadOutcome.READY, self._member.commit_index))
        else:
            super().read(waiter)

    def _refresh_lease(self) -> None:
        promised = self._member.promise_until
        super()._refresh_lease()
        if self._defect is Defect.LEADER_WORD_FORGOTTEN:
            self._member.promise_until = promised


class DefectiveCore(RaftCore):
    """A core with one defect, or with none."""

    def __init__(self, settings: CoreSettings, boot: BootState, seed: int, now: int, defect: Defect) -> None:
        """Start like a core."""
        self._defect = defect
        super().__init__(settings, boot, seed, now)

    def _new_elections(self) -> Elections:
        return _Elections(self._member, defect=self._defect)

    def _new_leading(self) -> Leading:
        return _Leading(self._member, defect=self._defect)
