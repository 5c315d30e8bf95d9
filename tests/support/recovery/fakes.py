"""Fakes of what recovery needs from consensus, in memory: a journal, a directory, a lease, a clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.recovery.lease import LeaseGuard, LeaseState
from services.recovery.model import Primary, Record, Recovery, RecoveryOpen, RecoveryUnknown, Step
from services.recovery.ports import JournalUnavailable
from services.shared.runtime.clock import boottime_ns
from services.shared.runtime.errors import StaleFencingToken


class RealClock:
    """The clocks of this host."""

    def now(self) -> datetime:
        """Return the wall time."""
        return datetime.now(UTC)

    def boottime_ns(self) -> int:
        """Return `CLOCK_BOOTTIME`."""
        return boottime_ns()


class FakeLease:
    """A lease that is live until it is lost.

    Attributes:
        state: The lease as last told; None = lost.
    """

    def __init__(self, token: int, valid_for: timedelta = timedelta(hours=1)) -> None:
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(valid_for.total_seconds() * 1e9)
        self.pinned = LeaseState(token, 1, until, "here")
        self.state: LeaseState | None = self.pinned

    def lose(self) -> None:
        """Lose the lease for good."""
        self.state = None

    def drain(self) -> None:
        """Let consensus say that it hands leadership over."""
        self.state = replace(self.pinned, draining=True)

    def guard(self) -> LeaseGuard:
        """Return a guard that pins the lease."""
        return LeaseGuard(lambda: self.state, self.pinned, "here", boottime_ns)


class FakeJournal:
    """Records in memory, with the rules of the real one: tokens, one open recovery per cluster, ended steps stay.

    Attributes:
        records: By recovery id.
        writes: How many entries were committed.
        fail_next: So many writes are committed and not answered.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.writes = 0
        self.fail_next = 0

    async def register(self, recovery: Recovery, steps: Sequence[Step], block_period: timedelta) -> Record:
        """Open a recovery."""
        del block_period
        for record in self.records.values():
            same = record.recovery.recovery_id == recovery.recovery_id
            if record.open and not same and record.recovery.cluster_id == recovery.cluster_id:
                raise RecoveryOpen(recovery.cluster_id, record.recovery.recovery_id)
        self._put(replace(recovery, steps=tuple(steps)), is_open=True)
        return self.records[recovery.recovery_id]

    async def adopt(self, recovery_id: str, fencing_token: int) -> Record:
        """Put a record under a newer token."""
        record = await self.get(recovery_id)
        if fencing_token < record.fencing_token:
            raise StaleFencingToken(record.fencing_token, fencing_token)
        adopted = replace(record.recovery, fencing_token=fencing_token)
        self.records[recovery_id] = replace(record, fencing_token=fencing_token, recovery=adopted)
        return self.records[recovery_id]

    async def record(self, recovery: Recovery, steps: Sequence[Step]) -> None:
        """Write steps."""
        known = self._writable(recovery).recovery
        merged = {step.number: step for step in known.steps}
        for step in steps:
            before = merged.get(step.number)
            assert before is None or not before.state.ended or before == step, f"step {step.number} has ended"
            merged[step.number] = step
        self._put(replace(recovery, steps=tuple(merged[number] for number in sorted(merged))), is_open=True)

    async def close(self, recovery: Recovery) -> Record:
        """End a recovery."""
        record = self.records[recovery.recovery_id]
        if record.open:
            self._writable(recovery)
        self._put(replace(recovery, steps=record.recovery.steps), is_open=False)
        return self.records[recovery.recovery_id]

    async def get(self, recovery_id: str) -> Record:
        """Return one record."""
        if recovery_id not in self.records:
            raise RecoveryUnknown(recovery_id)
        return self.records[recovery_id]

    def _writable(self, recovery: Recovery) -> Record:
        record = self.records[recovery.recovery_id]
        assert record.open
        if record.fencing_token != recovery.fencing_token:
            raise StaleFencingToken(record.fencing_token, recovery.fencing_token)
        return record

    def _put(self, recovery: Recovery, *, is_open: bool) -> None:
        self.writes += 1
        closed = None if is_open else datetime.now(UTC)
        record = Record(recovery, is_open, recovery.fencing_token, self.writes, close_time=closed)
        self.records[recovery.recovery_id] = record
        if self.fail_next:
            self.fail_next -= 1
            raise JournalUnavailable("no answer in time")


class FakeDirectory:
    """The directory in memory."""

    def __init__(self) -> None:
        self.primaries: dict[str, Primary] = {}
        self._answers: dict[str, Primary] = {}

    async def publish(self, request_id: str, fencing_token: int, primary: Primary, recovery_id: str) -> Primary:
        """Write an entry, once per request id."""
        del fencing_token
        if request_id not in self._answers:
            before = self.primaries.get(primary.cluster_id)
            if before is None or recovery_id:
                epoch = before.epoch + 1 if before is not None else 1
                self.primaries[primary.cluster_id] = replace(primary, epoch=epoch)
            self._answers[request_id] = self.primaries[primary.cluster_id]
        return self._answers[request_id]
