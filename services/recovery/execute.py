"""Carries out commands on servers by pymysql: the one place of the suite that changes them.

Threads come in two lanes, so that a hung failed primary never keeps the others waiting. Each instance has one session
under the token of the work (see `session.py`), opened ahead while the registration is being committed. A command whose
connection breaks is tried again, because every step looks before it changes something; it ends as unknown only when the
server cannot be asked any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from services.recovery.execute_steps import (
    Limits,
    Work,
    catch_up,
    describe,
    drain,
    fence,
    freeze,
    promote,
    repoint,
    what_differs,
)
from services.recovery.lease import LeaseGuard
from services.recovery.model import LeaseLost, StepKind, StepState
from services.recovery.server_state import read_server
from services.recovery.session import FencedSession
from services.recovery.situation import unreadable
from services.recovery.turn import Command, StepResult
from services.shared.mysql.connect import (
    ConnectionLost,
    ConnectionSettings,
    MysqlConnection,
    MysqlError,
    ServerTimeout,
)
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

log = logging.getLogger(__name__)

_STEPS: Final[dict[StepKind, Callable[[Work], StepResult]]] = {
    StepKind.FENCE: fence,
    StepKind.FREEZE: freeze,
    StepKind.CATCH_UP: catch_up,
    StepKind.DRAIN: drain,
    StepKind.PROMOTE: promote,
    StepKind.REPOINT: repoint,
}
_ATTEMPTS: Final = {StepKind.FENCE: 1, StepKind.FREEZE: 2}
_DEFAULT_ATTEMPTS: Final = 3
_IMPATIENT: Final = (StepKind.FENCE, StepKind.FREEZE)
"""Steps that everybody else waits for: one time-out is enough to go on without that server."""
_SIDE_BUDGET: Final = timedelta(milliseconds=200)
_READER: Final = 0
"""Token of sessions that only read: no executor has it, and the lock is not taken."""


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """How to reach servers, and how long things may take.

    Attributes:
        connection: Account, TLS, time-outs of replicas.
        fence_timeout: Longest time for a failed primary to let us in.
        server_lane: Threads for replicas and successors.
        fence_lane: Threads for failed primaries.
    """

    connection: ConnectionSettings
    limits: Limits = field(default_factory=Limits)
    fence_timeout: timedelta = timedelta(milliseconds=100)
    server_lane: int = 16
    fence_lane: int = 4


class _Slot:
    """The session of one instance; its lock lets one thread at a time use it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session: FencedSession | None = None
        self.released = False
        """The work it was for is over: a thread that comes back to it is too late."""

    def get(self, key: InstanceKey, settings: ConnectionSettings, token: int) -> FencedSession:
        """Return an open session under a token; hold the lock.

        Raises:
            LeaseLost: The work is over.
            MysqlError: The server does not answer, or refuses our account.
        """
        if self.released:
            raise LeaseLost("the work was stopped")
        session = self.session
        if session is None or session.token != token or not session.is_open:
            self.drop()
            session = FencedSession(key, settings, token)
            self.session = session  # Before it is open, so that a connect that hangs can be aborted.
            session.open()
        return session

    def drop(self) -> None:
        """Close the session, if there is one."""
        if self.session is not None:
            self.session.close()
            self.session = None


class MysqlExecutor:
    """An `Executor` for MySQL and MariaDB servers. Make it in the loop's thread; `stop` it in the end."""

    def __init__(self, settings: ExecutorSettings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self._servers = ThreadPoolExecutor(settings.server_lane, thread_name_prefix="servers")
        self._fences = ThreadPoolExecutor(settings.fence_lane, thread_name_prefix="fences")
        self._slots: dict[InstanceKey, _Slot] = {}
        self._fence_connection = replace(
            settings.connection, connect_timeout=settings.fence_timeout, read_timeout=settings.fence_timeout
        )
        self._side_connection = replace(
            settings.connection, connect_timeout=_SIDE_BUDGET, read_timeout=_SIDE_BUDGET, write_timeout=_SIDE_BUDGET
        )

    def prepare(self, failed: Instance, replicas: Sequence[Instance], token: int) -> None:
        """Begin to connect to a failed primary and to its replicas; changes nothing, returns at once."""
        self._fences.submit(self._open_ahead, failed.key, self._fence_connection, token)
        for replica in replicas:
            self._servers.submit(self._open_ahead, replica.key, self._settings.connection, token)

    def _open_ahead(self, key: InstanceKey, settings: ConnectionSettings, token: int) -> None:
        slot = self._slot(key)
        with slot.lock:
            try:
                slot.get(key, settings, token)
            except (MysqlError, LeaseLost):
                slot.drop()  # The step that needs it finds out by itself, and tells.

    async def carry_out(self, command: Command, guard: LeaseGuard, hold_until_ns: int | None) -> StepResult:
        """Do what a command says, unless it is done already.

        Raises:
            LeaseLost: A statement was not allowed any more: nothing further was done.
        """
        loop = asyncio.get_running_loop()
        if command.step.kind is StepKind.VERIFY:
            return await self._verify(command)
        lane = self._fences if command.step.kind is StepKind.FENCE else self._servers
        return await loop.run_in_executor(lane, self._carry_out, command, guard, hold_until_ns)

    def _carry_out(self, command: Command, guard: LeaseGuard, hold_until_ns: int | None) -> StepResult:
        """Try a step until it is known how it ended, or the server cannot be asked any more."""
        assert command.instance is not None
        kind, number = command.step.kind, command.step.number
        slot = self._slot(command.instance.key)
        sent = False
        problem = ""
        with slot.lock:
            for _ in range(_ATTEMPTS.get(kind, _DEFAULT_ATTEMPTS)):
                try:
                    session = slot.get(command.instance.key, self._connection(kind), guard.token)
                except MysqlError as error:
                    slot.drop()
                    return _unreached(number, describe(error), sent, problem)
                try:
                    if command.held_until_ns is not None:
                        session.take(guard, hold_until_ns, command.held_until_ns)
                    return _STEPS[kind](Work(command, session, guard, hold_until_ns, self._settings.limits, self._now))
                except LeaseLost:
                    slot.drop()
                    raise
                except (ServerTimeout, ConnectionLost) as error:
                    sent = sent or session.changed
                    problem = describe(error)
                    slot.drop()
                    if kind in _IMPATIENT and isinstance(error, ServerTimeout):
                        break
                except MysqlError as error:
                    remaining = command.step.statements
                    return StepResult(number, StepState.FAILED, error=describe(error), remaining=remaining)
        return _unreached(number, problem, sent, problem)

    def _connection(self, kind: StepKind) -> ConnectionSettings:
        return self._fence_connection if kind is StepKind.FENCE else self._settings.connection

    async def _verify(self, command: Command) -> StepResult:
        assert command.instance is not None
        successor = command.instance.key
        states = await asyncio.gather(*(self.read(each) for each in (command.instance, *command.followers)))
        differences = [
            f"{state.key}: {state.reading.error}"
            if not state.reading.last_check_valid
            else what_differs(state, successor, command.sources.get(state.key, successor))
            for state in states
        ]
        differing = "; ".join(each for each in differences if each)
        if differing:
            return StepResult(command.step.number, StepState.FAILED, error=differing)
        return StepResult(command.step.number, StepState.DONE, f"all {len(states)} server(s) are as meant")

    async def read(self, instance: Instance) -> Instance:
        """Read an instance anew, without changing it; one that does not answer comes back as invalid."""
        return await asyncio.get_running_loop().run_in_executor(self._servers, self._read, instance)

    def _read(self, instance: Instance) -> Instance:
        session = FencedSession(instance.key, self._settings.connection, _READER)
        try:
            session.open()
            return read_server(session, instance, self._now())
        except MysqlError as error:
            return unreadable(instance, describe(error))
        finally:
            session.close()

    def _slot(self, key: InstanceKey) -> _Slot:
        return self._slots.setdefault(key, _Slot())

    def running(self, key: InstanceKey) -> str:
        """Return the statement that was sent to an instance and has no answer yet; empty when there is none."""
        slot = self._slots.get(key)
        session = None if slot is None else slot.session
        return "" if session is None else session.running

    def release(self, keys: Sequence[InstanceKey]) -> None:
        """Close the sessions of instances, so that their locks are given back; a running statement is aborted."""
        for key in keys:
            slot = self._slots.pop(key, None)
            if slot is not None:
                self._close(key, slot)

    def _close(self, key: InstanceKey, slot: _Slot) -> None:
        slot.released = True
        if slot.lock.acquire(blocking=False):
            slot.drop()
            slot.lock.release()
            return
        session = slot.session
        if session is not None:
            session.abort()
            if session.connection_id:
                self._fences.submit(self._end_statement, key, session.connection_id)

    def _end_statement(self, key: InstanceKey, connection_id: int) -> None:
        """End a statement of ours that the server may still execute although its connection is closed (rule F8)."""
        side = MysqlConnection(key, self._side_connection)
        try:
            side.open()
            side.query(f"KILL QUERY {connection_id:d}")
        except MysqlError as error:
            log.info("recovery.statement_not_ended", extra={"instance": str(key), "problem": describe(error)})
        finally:
            side.close()

    def stop(self) -> None:
        """Close everything; threads end with the statements they wait for, which are aborted."""
        self.release(list(self._slots))
        self._servers.shutdown(wait=False, cancel_futures=True)
        self._fences.shutdown(wait=False)


def _unreached(number: int, problem: str, sent: bool, earlier: str) -> StepResult:
    """Return what is known of a step whose server cannot be asked."""
    if not sent:
        return StepResult(number, StepState.FAILED, error=f"not reached: {problem}", dead=True)
    text = problem if problem == earlier else f"{earlier}, then {problem}"
    return StepResult(number, StepState.UNKNOWN, error=f"the connection ended and the server cannot be asked: {text}")
