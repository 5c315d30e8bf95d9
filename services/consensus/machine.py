"""The replicated state machine: leases, the journal of recoveries, the directory of primaries (10).

`apply` is a pure function of state and entry: no clock, no chance, no order that depends on the process (A1). Its
changes are row for row what the store writes, and what the digest chains (A4). A refusal is a result, the same on
every member (A2). Time is `max(previous, stamp of the entry)` and only ages records (T4).
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from services.consensus.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    ExpireLease,
    GrantLease,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    ReleaseLease,
)
from services.consensus.configuration import NO_MEMBERS, Configuration, encode_configuration
from services.consensus.directory import Directory, Primary
from services.consensus.errors import RequestIdReused
from services.consensus.journal import Journal, Recovery, Step
from services.consensus.lease_table import Lease, LeaseTable
from services.consensus.requests import RequestRecord, RequestTable
from services.consensus.rows import LEASES, PRIMARIES, RECOVERIES, REQUESTS, STEPS, Change, Row, canonical
from services.shared.runtime.errors import DomainError, StaleFencingToken

RECOVERY_LEASE: Final = "recovery"
"""Name of the lease whose token every write of the journal and the directory shows."""

Result = Lease | Recovery | Primary | Configuration | int | DomainError | None
"""What an entry answers: what it wrote, the log index of a step, a refusal, or nothing."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a machine stands; on disk in one transaction with its rows (S4).

    Attributes:
        applied_index: Last entry applied; 0 = none.
        applied_term: Its term.
        time_ms: Machine time (T4).
        digest: Chained hash of all changes so far (A4).
        configuration: Newest configuration applied, thus committed (M1).
        configuration_index: Where it stands in the log; 0 = bootstrap.
    """

    applied_index: int = 0
    applied_term: int = 0
    time_ms: int = 0
    digest: bytes = bytes(16)
    configuration: Configuration = NO_MEMBERS
    configuration_index: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """Effect and answer of one entry."""

    changes: tuple[Change, ...]
    result: Result


class Machine:
    """State as of `mark.applied_index`."""

    def __init__(self, mark: Mark = Mark(), tables: Mapping[str, Iterable[Row]] | None = None) -> None:
        """Start blank, or from the rows and the mark of a store."""
        rows: Mapping[str, Iterable[Any]] = tables or {}
        self.mark = mark
        self.leases = LeaseTable(Lease.from_row(*row) for row in rows.get(LEASES, ()))
        self.journal = Journal(_recoveries(rows))
        self.directory = Directory(Primary.from_row(*row) for row in rows.get(PRIMARIES, ()))
        self._requests = RequestTable(RequestRecord(*row) for row in rows.get(REQUESTS, ()))

    def apply(self, index: int, term: int, stamp_ms: int, command: Command | Configuration | None) -> Applied:
        """Apply one committed entry.

        Args:
            index: Log index, one above the entry applied before.
            term: Term of the entry.
            stamp_ms: The leader's wall time, Unix milliseconds; 0 for a NOOP.
            command: None for a NOOP, a configuration for a CONFIG entry.
        """
        assert index == self.mark.applied_index + 1, "entries are applied in order, each once"
        now_ms = max(self.mark.time_ms, stamp_ms)
        # A deposed leader's lease ends before anything of the new term happens (F1).
        ended = self.leases.begin_term(term)
        if isinstance(command, Configuration):
            return self._configure(index, term, now_ms, command, ended)
        changes, result = self._carry_out(index, term, now_ms, command)
        changes = (*ended, *changes)
        digest = _chain(self.mark.digest, index, canonical(changes))
        self.mark = replace(self.mark, applied_index=index, applied_term=term, time_ms=now_ms, digest=digest)
        return Applied(changes, result)

    def newest_token(self) -> int:
        """Return the newest token of the lease that guards journal and directory; 0 = never granted."""
        lease = self.leases.newest(RECOVERY_LEASE)
        return 0 if lease is None else lease.fencing_token

    def _configure(
        self, index: int, term: int, now_ms: int, configuration: Configuration, ended: tuple[Change, ...]
    ) -> Applied:
        content = canonical(ended) + encode_configuration(configuration)
        self.mark = Mark(index, term, now_ms, _chain(self.mark.digest, index, content), configuration, index)
        return Applied(ended, configuration)

    def _carry_out(
        self, index: int, term: int, now_ms: int, command: Command | None
    ) -> tuple[tuple[Change, ...], Result]:
        match command:
            case None:
                return (), None
            case GrantLease():
                return self.leases.grant(index, term, command)
            case ReleaseLease():
                return self.leases.release(command), None
            case ExpireLease():
                return self.leases.expire(command), None
            case PublishPrimary():
                return self._publish(index, now_ms, command)
            case RegisterRecovery() | AdoptRecovery() | RecordSteps() | CloseRecovery():
                return self._write_journal(index, now_ms, command)

    def _write_journal(
        self, index: int, now_ms: int, command: RegisterRecovery | AdoptRecovery | RecordSteps | CloseRecovery
    ) -> tuple[tuple[Change, ...], Result]:
        if not self.leases.is_live(RECOVERY_LEASE, command.fencing_token):
            return (), self._stale(command.fencing_token)
        match command:
            case RegisterRecovery():
                return self.journal.register(index, now_ms, command)
            case AdoptRecovery():
                return self.journal.adopt(index, command)
            case RecordSteps():
                return self.journal.record_steps(index, now_ms, command)
            case CloseRecovery():
                return self.journal.close(index, now_ms, command)

    def _publish(self, index: int, now_ms: int, command: PublishPrimary) -> tuple[tuple[Change, ...], Result]:
        fingerprint = _fingerprint(command)
        known = self._requests.get(command.request_id)
        if known is not None:
            return (), _published_before(known, fingerprint)
        if not self.leases.is_live(RECOVERY_LEASE, command.fencing_token):
            return (), self._stale(command.fencing_token)
        changes, primary = self.directory.publish(index, now_ms, command)
        if not changes:
            return (), primary
        successor = self.journal.note_successor(index, command.recovery_id, f"{command.host}:{command.port}")
        record = RequestRecord(command.request_id, fingerprint, index, now_ms, json.dumps(primary.to_row()))
        return (*changes, *successor, *self._requests.remember(record)), primary

    def _stale(self, offered: int) -> StaleFencingToken:
        return StaleFencingToken(newest=self.newest_token(), offered=offered)


def _recoveries(rows: Mapping[str, Iterable[Any]]) -> Iterable[Recovery]:
    steps: dict[str, list[Step]] = defaultdict(list)
    for recovery_id, *columns in rows.get(STEPS, ()):
        steps[recovery_id].append(Step.from_row(*columns))
    return (Recovery.from_row(*row).with_steps(steps[row[0]]) for row in rows.get(RECOVERIES, ()))


def _published_before(known: RequestRecord, fingerprint: bytes) -> Primary | RequestIdReused:
    if known.fingerprint != fingerprint:
        return RequestIdReused(known.request_id)
    return Primary.from_row(*json.loads(known.result))


def _fingerprint(command: PublishPrimary) -> bytes:
    # Without the token: a repetition after a new grant is still the same request.
    asked = (
        command.cluster_id,
        command.alias,
        command.host,
        command.port,
        command.server_uuid,
        command.recovery_id,
    )
    return hashlib.blake2b(json.dumps(asked).encode("ascii"), digest_size=16).digest()


def _chain(digest: bytes, index: int, content: bytes) -> bytes:
    return hashlib.blake2b(digest + index.to_bytes(8, "big") + content, digest_size=16).digest()
