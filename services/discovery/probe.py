"""Probes by pymysql: one kept connection per server, bounded lanes of threads, idle sockets watched by the event loop.

A probe ends by its deadline whatever the server does: the deadline answers at once, and shuts the socket down, which
ends the thread's wait. A thread that still hangs (a name that does not resolve) keeps its place in its lane until it
returns, and its server is not probed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from services.discovery import observe
from services.discovery.lane import LONGEST_WAIT_S, Lane, Lanes, NoPlace, Place
from services.discovery.model import ProbeDepth, ProbeFailure, ProbeResult
from services.discovery.ports import Clock
from services.shared.mysql.connect import (
    AccessDenied,
    ConnectionLost,
    ConnectionSettings,
    MysqlConnection,
    MysqlError,
    PrivilegeMissing,
    Row,
    ServerTimeout,
    ServerUnreachable,
    StatementFailed,
)
from services.shared.mysql.dialect import Dialect, flavor_of, parse_version
from services.shared.mysql.replication_status import SELECT_HEARTBEATS, SignsOfLife
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind

log = logging.getLogger(__name__)

_KINDS: Final = {
    AccessDenied: FailureKind.ACCESS_DENIED,
    PrivilegeMissing: FailureKind.ACCESS_DENIED,
    ServerUnreachable: FailureKind.UNREACHABLE,
    ServerTimeout: FailureKind.TIMEOUT,
    ConnectionLost: FailureKind.LOST,
}
_NUMBERED_KINDS: Final = {
    **dict.fromkeys((1040, 1203, 1226), FailureKind.SATURATED),
    **dict.fromkeys((1205, 1969, 3024), FailureKind.TIMEOUT),
}
"""Lock wait, MariaDB's and MySQL's limit of a statement are time-outs, though the server says so itself."""
_MANDATORY: Final = frozenset({"dynamic", "replication", "static"})
_OPERATOR_LIMIT: Final = timedelta(milliseconds=200)
"""Longest wait for an operator's query: two of them leave a probe shorter than what counts as slow."""
_OPERATOR_PAUSE_NS: Final = 60_000_000_000
"""After one that took longer: it would again, and each time it costs the connection."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How to probe.

    Attributes:
        connection: Account, TLS, time-outs.
        data_center_query: The operator's query; empty = none.
        promotion_rule_query: The operator's query; empty = none.
        healthy_lane: Threads for servers that answered last time, and are no primaries.
        suspect_lane: Threads for those that did not.
        primary_lane: Threads for primaries; those that hang hold one each, and must not hold up the others.
        burst_lane: Threads for bursts; the same.
    """

    connection: ConnectionSettings
    data_center_query: str = ""
    promotion_rule_query: str = ""
    healthy_lane: int = 16
    suspect_lane: int = 16
    primary_lane: int = 64
    burst_lane: int = 64


class Session:
    """The kept connection to one server, and what was read over it. One thread at a time."""

    def __init__(self, key: InstanceKey, settings: ProbeSettings, clock: Clock) -> None:
        self.key = key
        self._settings = settings
        self._clock = clock
        self._connection: MysqlConnection | None = None
        self._dialect: Dialect | None = None
        self._last = Instance(key)
        self._signs = SignsOfLife()
        self._unavailable: set[str] = set()
        self._told: set[str] = set()
        self._aborted = False
        self._operator_due = False
        self._operator_pause_end_ns = 0

    def read(self, depth: ProbeDepth) -> Instance | ProbeFailure:
        """Read the server; blocks. Never raises: what goes wrong is the answer."""
        try:
            self._aborted = False
            return self._read(depth)
        except MysqlError as error:
            kind = _NUMBERED_KINDS.get(error.number) or _KINDS.get(type(error), FailureKind.REFUSED)
            return ProbeFailure(kind, error.number, error.problem, partial=bool(error.completed))
        except Exception as error:  # A row of an unexpected shape must not end the probing.
            log.exception("discovery.probe_broken", extra={"instance": str(self.key)})
            self.close()
            return ProbeFailure(FailureKind.REFUSED, 0, f"the answer was not understood: {type(error).__name__}")

    def _read(self, depth: ProbeDepth) -> Instance:
        if self._connection is not None and self._connection.is_open:
            try:
                return self._read_over(self._connection, depth, fresh=False)
            except ConnectionLost:
                pass  # It may have ended long ago; only a new one tells how the server is now.
        return self._read_over(self._connect(), depth, fresh=True)

    def _connect(self) -> MysqlConnection:
        self.close()
        settings = self._settings.connection
        # Below the deadline of a probe (the read time-out), so that what waits for a lock is refused and not hung.
        settings = replace(settings, statement_limit=settings.read_timeout * 2 / 3)
        connection = MysqlConnection(self.key, settings)
        self._connection = connection
        if self._aborted:
            raise ServerTimeout(str(self.key), 0, "no answer in time")
        connection.open()
        version = connection.server_version
        try:
            parse_version(version)
        except ValueError:
            raise StatementFailed(str(self.key), 0, f"the server's version {version!r} is not understood") from None
        self._dialect = Dialect.for_server(flavor_of(version, ""), version)
        self._unavailable.clear()
        return connection

    def _read_over(self, connection: MysqlConnection, depth: ProbeDepth, *, fresh: bool) -> Instance:
        assert self._dialect is not None
        if depth is ProbeDepth.FULL:
            self._unavailable.clear()
        rows = self._run(connection, self._statements(depth, fresh=fresh))
        if observe.unnamed_replicas(rows.get("replicas")):
            rows |= self._run(connection, {"dump_threads": self._dialect.select_dump_threads})
        probe_rows = observe.ProbeRows(
            dynamic=rows.pop("dynamic")[0],
            static=rows["static"][0] if "static" in rows else None,
            **{name: found for name, found in rows.items() if name != "static"},
        )
        same = not fresh or self._last.server_uuid == observe.server_uuid(self.key, rows["static"][0])
        previous = self._last if same else Instance(self.key)
        now = self._clock.utc_now()
        self._last = observe.observe(previous, self._dialect.flavor, probe_rows, now, self._signs)
        self._operator_due |= fresh or depth is ProbeDepth.FULL
        if self._operator_due and depth is not ProbeDepth.BURST:
            self._read_operator_queries(connection)
        return self._last

    def _read_operator_queries(self, connection: MysqlConnection) -> None:
        """Read what the operator's queries say; one that fails or hangs leaves what was known, and the probe valid."""
        if self._clock.boottime_ns() < self._operator_pause_end_ns:
            return
        self._operator_due = False
        queries = {
            "data_center": self._settings.data_center_query.rstrip("; \n"),
            "promotion_rule": self._settings.promotion_rule_query.rstrip("; \n"),
        }
        connection.set_read_timeout(_OPERATOR_LIMIT)
        for name, sql in queries.items():
            if not sql:
                continue
            try:
                self._last = observe.with_operator_rows(self._last, **{name: connection.query(sql)})
            except MysqlError as error:
                self._note_refused(name, error)
                if not connection.is_open:
                    self._operator_due = True
                    self._operator_pause_end_ns = self._clock.boottime_ns() + _OPERATOR_PAUSE_NS
                    return
        connection.set_read_timeout(self._settings.connection.read_timeout)

    def _statements(self, depth: ProbeDepth, *, fresh: bool) -> dict[str, str]:
        dialect = self._dialect
        assert dialect is not None
        statements = {
            "dynamic": observe.select_dynamic(dialect),
            "replication": dialect.show_replication_status,
        }
        if not dialect.mariadb:
            statements["heartbeats"] = SELECT_HEARTBEATS
        if fresh or depth is ProbeDepth.FULL:
            statements["static"] = observe.select_static(dialect)
        if fresh or depth is ProbeDepth.FULL or (depth is ProbeDepth.ROUTINE and self._has_semi_sync()):
            statements["semi_sync"] = observe.SELECT_SEMI_SYNC_VARIABLES
        if fresh or depth is not ProbeDepth.BURST:
            statements["replicas"] = dialect.show_replicas
            statements["binary_log"] = dialect.show_binary_log_status
        if fresh or depth is ProbeDepth.FULL or self._has_semi_sync():
            # Each time: what a failover may say about loss rests on this being as old as the last good probe.
            statements["status"] = observe.SELECT_STATUS
        return {name: sql for name, sql in statements.items() if sql and name not in self._unavailable}

    def _has_semi_sync(self) -> bool:
        semi_sync = self._last.semi_sync
        return bool(semi_sync.source_enabled or semi_sync.replica_enabled)

    def _run(self, connection: MysqlConnection, statements: dict[str, str]) -> dict[str, list[Row]]:
        """Run statements in as few round trips as their refusals allow; one that is refused is left out from now on."""
        rows: dict[str, list[Row]] = {}
        left = dict(statements)
        while left:
            try:
                results = connection.query_each(*left.values())
            except (PrivilegeMissing, StatementFailed) as error:
                refused = list(left)[len(error.completed)]
                if refused in _MANDATORY:
                    error.completed = error.completed or ([()] if rows else [])
                    raise
                self._note_refused(refused, error)
                results = error.completed
                left_after = list(left)[len(results) + 1 :]
            else:
                left_after = []
            rows |= {name: list(found) for name, found in zip(list(left)[: len(results)], results, strict=True)}
            left = {name: statements[name] for name in left_after}
        return rows

    def _note_refused(self, name: str, error: MysqlError) -> None:
        self._unavailable.add(name)
        if name not in self._told:
            self._told.add(name)
            fields = {"instance": str(self.key), "what": name, "number": error.number, "error": error.problem}
            log.warning("discovery.reading_refused", extra=fields)

    @property
    def descriptor(self) -> int:
        """File descriptor of the open connection; -1 when there is none."""
        return self._connection.fileno() if self._connection is not None and self._connection.is_open else -1

    def abort(self) -> None:
        """End what runs, from any thread."""
        self._aborted = True
        if self._connection is not None:
            self._connection.abort()

    def close(self, *, politely: bool = False) -> None:
        """Close the connection; only when nothing runs."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if politely:
                connection.quit()
            else:
                connection.close()


@dataclass(eq=False)
class _Wait:
    """A probe that waits for a place.

    Attributes:
        turn: Done when it has one.
        limit: Ends the wait.
    """

    turn: asyncio.Future[None]
    limit: asyncio.Timeout


class PymysqlProber:
    """Probes real servers; see `ports.Prober`. Belongs to the running event loop."""

    def __init__(self, settings: ProbeSettings, clock: Clock, on_signal: Callable[[InstanceKey], None]) -> None:
        """Make a prober without connections.

        Args:
            settings: How to probe.
            clock: Time.
            on_signal: Called in the loop when the server of an idle connection closed it, or said something unasked.
        """
        self._settings = settings
        self._clock = clock
        self._on_signal = on_signal
        self._loop = asyncio.get_running_loop()
        self._sessions: dict[InstanceKey, Session] = {}
        self._watched: dict[InstanceKey, int] = {}
        self._reading: dict[InstanceKey, asyncio.Future[Instance | ProbeFailure]] = {}
        sizes = {
            Lane.BURST: settings.burst_lane,
            Lane.PRIMARY: settings.primary_lane,
            Lane.ROUTINE: settings.healthy_lane,
            Lane.SUSPECT: settings.suspect_lane,
        }
        self._lanes = Lanes(sizes)
        self._waits: dict[InstanceKey, _Wait] = {}
        self._threads = ThreadPoolExecutor(sum(sizes.values()), thread_name_prefix="probe")

    async def probe(
        self, key: InstanceKey, depth: ProbeDepth, deadline: timedelta, place: Place, on_start: Callable[[], None]
    ) -> ProbeResult:
        """Read a server; see `ports.Prober.probe`."""
        hung = self._reading.get(key)
        if hung is None:
            await self._enter(key, place)
        on_start()
        started_ns = self._clock.boottime_ns()
        if hung is None:
            outcome = await self._outcome(key, depth, deadline.total_seconds())
        else:
            await asyncio.wait((hung,), timeout=deadline.total_seconds())
            outcome = ProbeFailure(FailureKind.TIMEOUT, 0, "an earlier probe still hangs")
        return ProbeResult(key, depth, outcome, started_ns, self._clock.boottime_ns(), self._clock.utc_now())

    def hurry(self, key: InstanceKey, place: Place) -> None:
        """Let a probe that waits do so in a better place; see `ports.Prober.hurry`."""
        wait = self._waits.get(key)
        if wait is None or wait.turn.done():
            return
        if self._lanes.ask(key, place):
            wait.turn.set_result(None)
        ends = wait.limit.when()
        sooner = self._loop.time() + LONGEST_WAIT_S[place.lane]
        if ends is not None and sooner < ends:
            wait.limit.reschedule(sooner)

    async def _enter(self, key: InstanceKey, place: Place) -> None:
        if self._lanes.ask(key, place):
            return
        wait = _Wait(self._loop.create_future(), asyncio.timeout(LONGEST_WAIT_S[place.lane]))
        self._waits[key] = wait
        try:
            async with wait.limit:
                await wait.turn
        except BaseException as error:
            self._leave(key)
            if isinstance(error, TimeoutError):
                raise NoPlace(key) from None
            raise
        finally:
            del self._waits[key]

    def _leave(self, key: InstanceKey) -> None:
        for admitted in self._lanes.leave(key):
            turn = self._waits[admitted].turn
            if not turn.done():
                turn.set_result(None)

    async def _outcome(self, key: InstanceKey, depth: ProbeDepth, deadline_s: float) -> Instance | ProbeFailure:
        session = self._sessions.setdefault(key, Session(key, self._settings, self._clock))
        self._unwatch(key)
        reading = self._loop.run_in_executor(self._threads, session.read, depth)
        self._reading[key] = reading
        reading.add_done_callback(lambda _: self._note_end(session))
        done, _ = await asyncio.wait((reading,), timeout=deadline_s)
        if done:
            return reading.result()
        session.abort()
        return ProbeFailure(FailureKind.TIMEOUT, 0, f"no answer within {deadline_s * 1000:.0f} ms")

    def _note_end(self, session: Session) -> None:
        """The thread has returned: free its place, watch the connection from now on."""
        self._leave(session.key)
        del self._reading[session.key]
        if self._sessions.get(session.key) is session:
            self._watch(session)
        else:  # Forgotten while it was being read.
            session.close()

    def forget(self, key: InstanceKey) -> None:
        """Close the connection to a server."""
        self._unwatch(key)
        session = self._sessions.pop(key, None)
        if session is not None and key in self._reading:
            session.abort()
        elif session is not None:
            session.close(politely=True)

    async def close(self) -> None:
        """End all probes and connections."""
        for key in list(self._sessions):
            self.forget(key)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _watch(self, session: Session) -> None:
        descriptor = session.descriptor
        if descriptor >= 0:
            self._watched[session.key] = descriptor
            self._loop.add_reader(descriptor, self._readable, session)

    def _unwatch(self, key: InstanceKey) -> None:
        descriptor = self._watched.pop(key, None)
        if descriptor is not None:
            self._loop.remove_reader(descriptor)

    def _readable(self, session: Session) -> None:
        """The server closed an idle connection, or said why it will: either way it is of no use any more."""
        self._unwatch(session.key)
        session.close()
        self._on_signal(session.key)
