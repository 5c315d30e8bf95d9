"""What each step of a recovery does at one server, in a thread. Every function looks first, and does what is left.

The lease is checked before every statement that changes something, by the session; waiting and looking need none, but a
lost lease ends them too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.recovery import statements
from services.recovery.lease import LeaseGuard
from services.recovery.model import StepKind, StepState
from services.recovery.positions import applied_all, channel_from, executed, missing, received
from services.recovery.server_state import read_server
from services.recovery.session import FencedSession
from services.recovery.turn import Command, StepResult
from services.shared.mysql.connect import MysqlError, Row, StatementFailed
from services.shared.mysql.gtid import GtidSet, MariadbGtidSet, parse_gtid_set
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

_UNKNOWN_VARIABLE: Final = 1193
_WAIT_SLICE: Final = timedelta(milliseconds=500)
_PAUSES_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1)
_KEPT_USERS: Final = ("system user", "event_scheduler", "mysql.session", "mysql.infoschema", "mysql.sys")
_SESSIONS: Final = (
    "SELECT ID AS id, USER AS user, COMMAND AS command, SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AS me,"
    " CONNECTION_ID() AS mine FROM information_schema.processlist"
)
_SESSIONS_NEW: Final = _SESSIONS.replace("information_schema", "performance_schema")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, as the settings of recovery name them."""

    statement: timedelta = timedelta(seconds=5)
    freeze: timedelta = timedelta(seconds=1)
    fence_statement: timedelta = timedelta(seconds=1)
    connect_wait: timedelta = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Work:
    """One command at one server.

    Attributes:
        session: Open, under our token.
        guard: The lease.
        hold_until_ns: End of the hold in the step's intent.
        now: The wall time.
    """

    command: Command
    session: FencedSession
    guard: LeaseGuard
    hold_until_ns: int | None
    limits: Limits
    now: Callable[[], datetime]

    @property
    def instance(self) -> Instance:
        """The server as last seen."""
        assert self.command.instance is not None
        return self.command.instance

    def read(self) -> Instance:
        """Read the server anew."""
        return read_server(self.session, self.instance, self.now())

    def change(self, statement: str, bound: timedelta | None = None) -> None:
        """Send one statement under the lease."""
        self.session.change(statement, self.guard, bound or self.limits.statement, self.hold_until_ns)

    def done(self, outcome: str, **facts: object) -> StepResult:
        """Return that the step ended well."""
        return StepResult(self.command.step.number, StepState.DONE, outcome, **facts)  # type: ignore[arg-type]

    def failed(self, error: str, remaining: Sequence[str] = (), **facts: object) -> StepResult:
        """Return that the step failed, and what is left to do."""
        number, left = self.command.step.number, tuple(remaining)
        return StepResult(number, StepState.FAILED, error=error, remaining=left, **facts)  # type: ignore[arg-type]

    def change_all(self, planned: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """Send statements in order; return the error of the first that was refused and the ones left, else nothing."""
        for place, statement in enumerate(planned):
            try:
                self.change(statement)
            except StatementFailed as error:
                return f"{statement}: {error}", tuple(planned[place:])
        return "", ()


def fence(work: Work) -> StepResult:
    """Make a (former) primary read-only, end the sessions of applications, and read what it has."""
    for statement in statements.make_read_only(work.instance):
        _change_unless_unknown(work, statement)
    ended = sum(
        work.session.kill(int(row["id"]), work.guard, work.hold_until_ns) for row in _application_sessions(work)
    )
    state = work.read()
    return work.done(f"read-only; {ended} session(s) of applications ended", gtid_set=state.executed_gtid_set)


def _change_unless_unknown(work: Work, statement: str) -> None:
    """Send a statement; one for the other generation of the semi-sync plugin is sent in that one's words."""
    try:
        work.change(statement, work.limits.fence_statement)
    except StatementFailed as error:
        if error.number != _UNKNOWN_VARIABLE or "_source_" not in statement:
            raise
        work.change(statement.replace("_source_", "_master_"), work.limits.fence_statement)


def _application_sessions(work: Work) -> list[Row]:
    dialect = statements.dialect_of(work.instance)
    table = _SESSIONS if dialect.mariadb or dialect.version < (8, 0, 22) else _SESSIONS_NEW
    return [row for row in work.session.query(table)[0] if _is_application(row)]


def _is_application(row: Row) -> bool:
    kept = row["user"] in (*_KEPT_USERS, row["me"]) or str(row["command"]).startswith(("Binlog Dump", "Daemon"))
    return not kept and row["id"] != row["mine"]


def freeze(work: Work) -> StepResult:
    """Stop a replica from receiving, and read what it has."""
    source = work.command.failed
    if statements.dialect_of(work.instance).mariadb:
        return _freeze_mariadb(work)
    for statement in work.command.step.statements:
        work.change(statement, work.limits.freeze)
    state = work.read()
    return work.done(f"received {_shown(received(state, source))}", reading=state)


def _shown(gtids: GtidSet | None) -> str:
    if gtids is None:
        return "an unknown set"
    return str(gtids) or "nothing"


def _freeze_mariadb(work: Work) -> StepResult:
    """Let the applier finish before everything is stopped: a later start of the IO thread deletes the relay logs."""
    state = work.read()
    if not _apply_within(work, state, work.limits.freeze):
        return work.done("still applying: its IO thread is left running", reading=work.read())
    for statement in statements.freeze(state, work.command.failed):
        work.change(statement, work.limits.freeze)
    state = work.read()
    return work.done(f"received and applied {state.executed_gtid_set}", reading=state)


def _apply_within(work: Work, state: Instance, timeout: timedelta) -> bool:
    channel = channel_from(state, work.command.failed)
    if channel is None or not channel.received_gtid_set:
        return True
    if channel.sql_state is not ThreadState.ON:
        return False
    wait = statements.dialect_of(state).wait_for_gtids(channel.received_gtid_set, timeout)
    return bool(work.session.query(wait.sql(), within=timeout + timedelta(seconds=1))[0][0]["done"] == 0)


def drain(work: Work) -> StepResult:
    """Let the chosen replica apply everything it received; watch its progress."""
    state = work.read()
    channel = channel_from(state, work.command.failed)
    if channel is not None and not channel.gtid_positioning:
        return _drain_positions(work, state)
    target = _target(work, state)
    if target is None:
        return work.failed(f"what it should have, {work.command.target!r}, is no GTID set of its flavor")
    has, applied = received(state, work.command.failed), executed(state)
    if has is None or applied is None:
        return work.failed("its position could not be read")
    if missing(target, has):
        return work.failed(f"it no longer has {missing(target, has)}, which it had received")
    if not missing(target, applied):
        return work.done("everything it received was applied already")
    error, remaining = work.change_all(statements.drain(state))
    if error:
        return work.failed(error, remaining)
    return _await_applied(work, state, target, work.command.failed)


def _drain_positions(work: Work, state: Instance) -> StepResult:
    """Let a replica without GTID apply everything it received: its threads stand at one position then."""
    source = work.command.failed
    if applied_all(state, source):
        return work.done("everything it received was applied already")
    error, remaining = work.change_all(statements.drain(state))
    if error:
        return work.failed(error, remaining)
    deadline = time.monotonic() + work.command.timeout.total_seconds()
    pauses = iter(_PAUSES_S)
    while True:
        work.guard.check(0)
        state = work.read()
        if applied_all(state, source):
            return work.done("applied everything it received")
        problem = _why_not_applying(state, source)
        if problem or time.monotonic() >= deadline:
            problem = problem or f"not within {work.command.timeout.total_seconds():g} s"
            return work.failed(f"{problem}; it has changes left to apply", statements.drain(state))
        time.sleep(next(pauses, _PAUSES_S[-1]))


def catch_up(work: Work) -> StepResult:
    """Let the successor fetch from another replica what that one has, and apply it."""
    interim = work.command.step.source
    assert interim is not None
    state = work.read()
    target, applied = _target(work, state), executed(state)
    if target is None or applied is None:
        return work.failed(f"what it should have, {work.command.target!r}, or its own position is not known")
    if not missing(target, applied):
        return work.done(f"it has everything {interim} has")
    channel = channel_from(state, interim)
    if channel is None or not channel.replicating:
        error, remaining = work.change_all(statements.catch_up(state, work.command.failed, interim))
        if error:
            return work.failed(error, remaining)
    return _await_applied(work, work.read(), target, interim)


def _target(work: Work, state: Instance) -> GtidSet | None:
    assert state.flavor is not None
    try:
        return parse_gtid_set(state.flavor, work.command.target)
    except ValueError:
        return None


def _await_applied(work: Work, state: Instance, target: GtidSet, source: InstanceKey) -> StepResult:
    """Wait in slices until a set is applied; give up when the time is over or the applier failed."""
    started = time.monotonic()
    deadline = started + work.command.timeout.total_seconds()
    awaited = _awaited(work, state, target)
    while True:
        work.guard.check(0)  # Nothing is changed here, but without a lease there is nothing to wait for.
        left = timedelta(seconds=max(deadline - time.monotonic(), 0.001))
        wait = statements.dialect_of(state).wait_for_gtids(awaited, min(_WAIT_SLICE, left))
        if work.session.query(wait.sql(), within=timedelta(seconds=3))[0][0]["done"] == 0:
            return work.done(f"applied everything it received in {time.monotonic() - started:.3f} s")
        state = work.read()
        problem = _why_not_applying(state, source) or _why_not_receiving(work, state)
        if problem or time.monotonic() >= deadline:
            applied = executed(state)
            left_over = missing(target, applied) if applied is not None else target
            problem = problem or f"not within {work.command.timeout.total_seconds():g} s"
            return work.failed(f"{problem}; still to apply: {left_over}", work.command.step.statements)


def _awaited(work: Work, state: Instance, target: GtidSet) -> str:
    """Return what to wait for: MariaDB waits for what replication applied only, not for what the server wrote."""
    channel = channel_from(state, work.command.failed)
    if not isinstance(target, MariadbGtidSet) or channel is None or work.command.step.kind is StepKind.CATCH_UP:
        return str(target)
    return channel.received_gtid_set


def _why_not_applying(state: Instance, source: InstanceKey) -> str:
    channel = channel_from(state, source)
    if channel is None:
        return "its channel is gone"
    if channel.sql_state is ThreadState.ON:
        return ""
    return f"its applier stopped with error {channel.sql_errno}: {channel.sql_error}" if channel.sql_errno else ""


def _why_not_receiving(work: Work, state: Instance) -> str:
    """Return why a replica that has to fetch from another one does not; the others are meant not to receive."""
    source = work.command.step.source
    channel = channel_from(state, source) if source is not None else None
    if channel is None or channel.io_state is not ThreadState.OFF or not channel.io_errno:
        return ""
    return f"its IO thread stopped with error {channel.io_errno}: {channel.io_error}"


def promote(work: Work) -> StepResult:
    """Take replication off a server and make it writable."""
    state = work.read()
    if not state.channels and state.read_only is False and not state.super_read_only:
        return work.done("it took writes already")
    error, remaining = work.change_all(statements.promote(state))
    if error:
        return work.failed(error, remaining)
    return work.done("takes writes")


def repoint(work: Work) -> StepResult:
    """Let a replica follow the successor, or whom its step names, and see it connect."""
    successor = work.command.step.source or work.command.successor
    assert successor is not None
    state = work.read()
    channel = channel_from(state, successor)
    if channel is None:
        planned = statements.repoint(state, work.command.failed, successor)
    elif channel.replicating:
        return work.done(f"it followed {successor} already")
    else:
        planned = (str(statements.dialect_of(state).start_replica()),)
    error, remaining = work.change_all(planned)
    if error:
        return work.failed(error, remaining)
    return _await_connected(work, successor)


def _await_connected(work: Work, successor: InstanceKey) -> StepResult:
    deadline = time.monotonic() + work.limits.connect_wait.total_seconds()
    pauses = iter(_PAUSES_S)
    while True:
        channel = channel_from(work.read(), successor)
        if channel is not None and channel.replicating:
            return work.done(f"follows {successor}")
        if time.monotonic() >= deadline:
            return work.failed(f"it was re-pointed to {successor} but does not replicate: {_thread_errors(channel)}")
        time.sleep(next(pauses, _PAUSES_S[-1]))


def _thread_errors(channel: ReplicationChannel | None) -> str:
    if channel is None:
        return "the channel is gone"
    errors = [f"{errno} {text}" for errno, text in
              ((channel.io_errno, channel.io_error), (channel.sql_errno, channel.sql_error)) if errno]  # fmt: skip
    return "; ".join(errors) or f"IO thread {channel.io_state.value}, SQL thread {channel.sql_state.value}"


def what_differs(state: Instance, successor: InstanceKey, source: InstanceKey) -> str:
    """Return how a server differs from what was meant: the successor takes writes, the others follow their source."""
    if state.key == successor:
        takes_writes = state.read_only is False and not state.channels
        return "" if takes_writes else f"{successor} does not take writes as a primary"
    channel = channel_from(state, source)
    if channel is not None and channel.replicating:
        return ""
    return f"{state.key} does not follow: {_thread_errors(channel)}"


def describe(error: MysqlError) -> str:
    """Return an error of a server for people, without the endpoint, which the step names."""
    return f"{error.problem} ({error.number})" if error.number else error.problem
