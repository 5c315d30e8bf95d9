"""The replicated state machine: leases, journal, directory, registry, sessions, and the group's own settings (10).

`apply` is a pure function of state and entry: no clock, no chance, no order that depends on the process (A1). Its
changes are row for row what the store writes, and what the digest chains (A4). A refusal is a result, the same on
every member (A2). Time is `max(previous, stamp of the entry)` and only ages records (T4).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, encode_configuration
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    ExpireLease,
    GrantLease,
    NoteStop,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    ReleaseLease,
    UnknownCommand,
)
from services.consensus.state.directory import Directory, Primary
from services.consensus.state.group_commands import (
    BeginReplacement,
    CancelReplacement,
    CloseSession,
    ExpireSession,
    OpenSession,
    RaiseGroupVersion,
    SetGroupSettings,
    TouchSession,
)
from services.consensus.state.group_settings import MAX_GROUP_VERSION, GroupSettings, GroupTable, settings_of
from services.consensus.state.journal import Journal
from services.consensus.state.lease_table import Lease, LeaseTable
from services.consensus.state.once import Once, OnceCommand, fingerprint_of
from services.consensus.state.recovery_record import Recovery, Step, Stop
from services.consensus.state.registry.cluster_name import find_alias
from services.consensus.state.registry.commands import EndDue
from services.consensus.state.registry.registry import Registry, RegistryItem
from services.consensus.state.replacements import Replacement, ReplacementTable
from services.consensus.state.rows import LEASES, PRIMARIES, RECOVERIES, STEPS, STOPS, Change, Row, canonical
from services.consensus.state.sessions import Session, SessionTable
from services.consensus.state.stored_answers import StoredAnswer
from services.shared.runtime.errors import DomainError, StaleFencingToken

RECOVERY_LEASE: Final = "recovery"
"""Name of the lease whose token every write of the journal and the directory shows."""

Result = (
    Lease
    | Recovery
    | Primary
    | Configuration
    | RegistryItem
    | Session
    | GroupSettings
    | Replacement
    | int
    | DomainError
    | None
)
"""What an entry answers: what it wrote or took away, a log index, the group's version, a refusal, or nothing."""


class Mark(Struct, frozen=True):
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


class Applied(Struct, frozen=True):
    """Effect and answer of one entry."""

    changes: tuple[Change, ...]
    result: Result


_NOTHING: Final = Mark()


class Machine:
    """State as of `mark.applied_index`."""

    def __init__(
        self,
        mark: Mark = _NOTHING,
        tables: Mapping[str, Iterable[Row]] | None = None,
        *,
        max_group_version: int = MAX_GROUP_VERSION,
    ) -> None:
        """Start blank, or from the rows and the mark of a store.

        Args:
            mark: Where the rows stand.
            tables: Rows by table.
            max_group_version: Newest version this member speaks (18.4).
        """
        rows: Mapping[str, Iterable[Any]] = tables or {}
        self.mark = mark
        self.leases = LeaseTable(Lease.from_row(*row) for row in rows.get(LEASES, ()))
        self.journal = Journal(_recoveries(rows))
        self.directory = Directory(Primary.from_row(*row) for row in rows.get(PRIMARIES, ()))
        self.registry = Registry(rows)
        self.group = GroupTable(rows)
        self.replacements = ReplacementTable(rows)
        self._once = Once(rows)
        self._max_group_version = max_group_version

    @property
    def sessions(self) -> SessionTable:
        """Sessions of programs (P3)."""
        return self._once.sessions

    def tables(self) -> Mapping[str, Sequence[Row]]:
        """Return all rows by table, as of now: what is applied later does not show in them (N2)."""
        parts = (
            self.leases,
            self.journal,
            self.directory,
            self.registry,
            self.group,
            self.replacements,
            self._once,
        )
        return {name: rows for part in parts for name, rows in part.rows().items()}

    def apply(self, index: int, term: int, stamp_ms: int, command: Command | Configuration | None) -> Applied:
        """Apply one committed entry.

        Args:
            index: Log index, one above the entry applied before.
            term: Term of the entry.
            stamp_ms: The leader's wall time, Unix milliseconds; 0 for a NOOP.
            command: None for a NOOP, a configuration for a CONFIG entry.

        Raises:
            UnknownCommand: The group does not speak its version yet, or this member does not; nothing was applied (A3).
        """
        assert index == self.mark.applied_index + 1, "entries are applied in order, each once"
        now_ms = max(self.mark.time_ms, stamp_ms)
        if isinstance(command, Configuration):
            return self._configure(index, term, now_ms, command)
        self._require_spoken(command)
        begun = self._begin(index, term, now_ms)
        changes, result = self._carry_out(index, term, now_ms, command)
        changes = (*begun, *changes)
        digest = _chain(self.mark.digest, index, canonical(changes))
        self.mark = Mark(index, term, now_ms, digest, self.mark.configuration, self.mark.configuration_index)
        return Applied(changes, result)

    def newest_token(self) -> int:
        """Return the newest token of the lease that guards journal and directory; 0 = never granted."""
        lease = self.leases.newest(RECOVERY_LEASE)
        return 0 if lease is None else lease.fencing_token

    def find_primary(self, cluster: str) -> Primary | None:
        """Return the primary of a cluster by its id, by the alias it was given, or by the one it was published with."""
        named = find_alias(self.registry.names, cluster)
        return self.directory.find(cluster if named is None else named.cluster_id)

    def _begin(self, index: int, term: int, now_ms: int) -> tuple[Change, ...]:
        # A deposed leader's lease ends before anything of the new term happens (F1), and so does what is due.
        return (*self.leases.begin_term(term), *self.registry.end_due(index, now_ms))

    def _require_spoken(self, command: Command | None) -> None:
        if command is None:
            return
        if command.version > self.group.version:
            raise UnknownCommand(f"a command of version {command.version}, the group speaks {self.group.version}")
        if isinstance(command, RaiseGroupVersion) and command.group_version > self._max_group_version:
            raise UnknownCommand(f"the group speaks version {command.group_version} from here on: upgrade this member")

    def _configure(self, index: int, term: int, now_ms: int, configuration: Configuration) -> Applied:
        changes = (*self._begin(index, term, now_ms), *self.replacements.follow(index, configuration))
        content = canonical(changes) + encode_configuration(configuration)
        self.mark = Mark(index, term, now_ms, _chain(self.mark.digest, index, content), configuration, index)
        return Applied(changes, configuration)

    def _carry_out(
        self, index: int, term: int, now_ms: int, command: Command | None
    ) -> tuple[tuple[Change, ...], Result]:
        match command:
            case None | EndDue():
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
            case NoteStop():
                return self.journal.note_stop(index, command)
            case TouchSession() | CloseSession() | ExpireSession():
                return self._write_session(index, now_ms, command)
            case RaiseGroupVersion() | BeginReplacement() | CancelReplacement():
                return self._write_group(index, command)
            case _:
                return self._once.carry_out(index, now_ms, command, lambda: self._effect(index, now_ms, command))

    def _effect(self, index: int, now_ms: int, command: OnceCommand) -> tuple[tuple[Change, ...], StoredAnswer]:
        match command:
            case OpenSession():
                return self.sessions.open(index, now_ms, command.origin.owner)
            case SetGroupSettings():
                return self.group.set(index, settings_of(command))
            case _:
                return self.registry.write(index, now_ms, command)

    def _write_session(
        self, index: int, now_ms: int, command: TouchSession | CloseSession | ExpireSession
    ) -> tuple[tuple[Change, ...], Result]:
        match command:
            case TouchSession():
                return self.sessions.touch(index, now_ms, command.session_id, command.acked_below)
            case CloseSession():
                return self.sessions.close(command.session_id)
            case ExpireSession():
                return self.sessions.expire(command.session_id, command.last_index), None

    def _write_group(
        self, index: int, command: RaiseGroupVersion | BeginReplacement | CancelReplacement
    ) -> tuple[tuple[Change, ...], Result]:
        match command:
            case RaiseGroupVersion():
                return self.group.raise_version(index, command.group_version)
            case BeginReplacement():
                return self.replacements.begin(index, self.mark.configuration, command)
            case CancelReplacement():
                return self.replacements.cancel(index, command.replacement_id)

    def _write_journal(
        self, index: int, now_ms: int, command: RegisterRecovery | AdoptRecovery | RecordSteps | CloseRecovery
    ) -> tuple[tuple[Change, ...], Result]:
        if not self.leases.is_live(RECOVERY_LEASE, command.fencing_token):
            return (), self._stale(command.fencing_token)
        match command:
            case RegisterRecovery():
                return self.journal.register(index, now_ms, command, self.registry.gate(now_ms, command))
            case AdoptRecovery():
                return self.journal.adopt(index, command)
            case RecordSteps():
                return self.journal.record_steps(index, now_ms, command)
            case CloseRecovery():
                return self.journal.close(index, now_ms, command)

    def _publish(self, index: int, now_ms: int, command: PublishPrimary) -> tuple[tuple[Change, ...], Result]:
        known = self._once.known(command.request_id, _fingerprint(command))
        if known is not None:
            return (), known
        if not self.leases.is_live(RECOVERY_LEASE, command.fencing_token):
            return (), self._stale(command.fencing_token)
        changes, primary = self.directory.publish(index, now_ms, command)
        if not changes:
            return (), primary
        successor = self.journal.note_successor(index, command.recovery_id, f"{command.host}:{command.port}")
        kept = self._once.remember(index, now_ms, command.request_id, _fingerprint(command), primary)
        return (*changes, *successor, *kept), primary

    def _stale(self, offered: int) -> StaleFencingToken:
        return StaleFencingToken(newest=self.newest_token(), offered=offered)


def _recoveries(rows: Mapping[str, Iterable[Any]]) -> Iterable[Recovery]:
    steps: dict[str, list[Step]] = defaultdict(list)
    for recovery_id, *columns in rows.get(STEPS, ()):
        steps[recovery_id].append(Step.from_row(*columns))
    stops: dict[str, list[Stop]] = defaultdict(list)
    for recovery_id, *columns in rows.get(STOPS, ()):
        stops[recovery_id].append(Stop.from_row(*columns))
    return (
        Recovery.from_row(*row).with_steps(steps[row[0]]).with_stops(stops[row[0]]) for row in rows.get(RECOVERIES, ())
    )


def _fingerprint(command: PublishPrimary) -> bytes:
    # Without the token: a repetition after a new grant is still the same request.
    return fingerprint_of(replace(command, request_id="", fencing_token=0))


def _chain(digest: bytes, index: int, content: bytes) -> bytes:
    return hashlib.blake2b(digest + index.to_bytes(8, "big") + content, digest_size=16).digest()
