"""What the use cases need from outside, as protocols. Adapters translate every error into a domain error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from services.recovery.lease import LeaseGuard
from services.recovery.model import Primary, Record, Recovery, Step
from services.recovery.turn import Command, StepResult
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


class JournalUnavailable(Exception):
    """The journal did not answer, or not in time: what was asked may or may not have happened; ask again."""


class JournalRefused(Exception):
    """The journal refused a write for a reason that repeating it does not change."""


class LeaseRefused(Exception):
    """The lease was not granted."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep why.

        Args:
            reason: `LEASE_HELD`, `NOT_LEADER`, or the name of a gRPC status.
            message: For people.
        """
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Clock(Protocol):
    """Time, for the edge."""

    def now(self) -> datetime:
        """Return the wall time in UTC."""
        ...

    def boottime_ns(self) -> int:
        """Return nanoseconds of `CLOCK_BOOTTIME`."""
        ...


class Journal(Protocol):
    """The replicated records of recoveries. Every write shows a fencing token and may be repeated."""

    async def register(self, recovery: Recovery, steps: Sequence[Step], block_period: timedelta) -> Record:
        """Open a recovery with its first steps, in one entry.

        Raises:
            RecoveryOpen, AntiFlapping, RecoveryForbidden, StaleFencingToken, JournalUnavailable: As their names say.
        """

    async def adopt(self, recovery_id: str, fencing_token: int) -> Record:
        """Take over an open recovery with a newer token.

        Raises:
            StaleFencingToken, RecoveryUnknown, JournalUnavailable: As their names say.
        """

    async def record(self, recovery: Recovery, steps: Sequence[Step]) -> None:
        """Write steps, and the recovery without its steps, in one entry.

        Raises:
            StaleFencingToken, RecoveryUnknown, JournalUnavailable: As their names say.
        """

    async def close(self, recovery: Recovery) -> Record:
        """End a recovery; return its record.

        Raises:
            StaleFencingToken, RecoveryUnknown, JournalUnavailable: As their names say.
        """

    async def get(self, recovery_id: str) -> Record:
        """Return one record.

        Raises:
            RecoveryUnknown, JournalUnavailable: As their names say.
        """


class Directory(Protocol):
    """The replicated directory of primaries."""

    async def publish(self, request_id: str, fencing_token: int, primary: Primary, recovery_id: str) -> Primary:
        """Write the primary of a cluster; return the entry as it stands. Idempotent for a repeated `request_id`.

        Args:
            request_id: UUID.
            fencing_token: Token of the lease.
            primary: Cluster, alias, endpoint and server UUID; the epoch is the directory's business.
            recovery_id: What made it primary; empty = found as it is.

        Raises:
            StaleFencingToken, JournalUnavailable: As their names say.
        """


class Executor(Protocol):
    """Carries out commands on servers. Nothing else in the suite changes a server."""

    def prepare(self, failed: Instance, replicas: Sequence[Instance], token: int) -> None:
        """Begin to connect to servers that will be needed soon; changes nothing, returns at once."""

    async def carry_out(self, command: Command, guard: LeaseGuard, hold_until_ns: int | None) -> StepResult:
        """Do what a command says, unless it is done already.

        Args:
            command: A command on servers; PUBLISH is not one.
            guard: Checked before every statement that changes something.
            hold_until_ns: End of the hold in the step's intent, on `CLOCK_BOOTTIME`.

        Raises:
            LeaseLost: A statement was not allowed any more: nothing further was done.
        """

    async def read(self, instance: Instance) -> Instance:
        """Read an instance anew, without changing it; one that does not answer comes back as invalid."""
        ...

    def running(self, key: InstanceKey) -> str:
        """Return the statement that was sent to an instance and has no answer yet; empty when there is none."""
        ...

    def release(self, keys: Sequence[InstanceKey]) -> None:
        """Close the sessions of instances, so that their locks are given back; a running statement is aborted."""
