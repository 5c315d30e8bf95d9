"""One member put together: store, core, machine, loop, peers and both servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from services.consensus.api.endpoints import Api
from services.consensus.api.server import DOMAIN, ERRORS
from services.consensus.app import ConsensusApp, Who
from services.consensus.group_agreements import GroupAgreements
from services.consensus.group_caller import RemoteGroup
from services.consensus.group_changes import GroupChanges
from services.consensus.lease_holders import LeaseHolders
from services.consensus.member_loop import MemberLoop
from services.consensus.ports import Report, Store, StoredState, Witness
from services.consensus.raft.core import RaftCore
from services.consensus.raft.model import BootState
from services.consensus.raft.succession import Succession
from services.consensus.raft.trace import Trace
from services.consensus.readiness import Readiness
from services.consensus.rejoin import Rejoin
from services.consensus.settings import ConsensusSettings, nanoseconds
from services.consensus.state.chores import Acquaintance
from services.consensus.state.group_settings import FIRST_GROUP_VERSION
from services.consensus.state.machine import Machine
from services.consensus.store.writer import StoreWriter
from services.consensus.store_figures import StoreFigures
from services.consensus.store_health import StoreWatch
from services.consensus.upkeep import SilentSessions, Upkeep
from services.consensus.wire.forward import MethodTable
from services.consensus.wire.greeting import Self
from services.consensus.wire.transport import PeerTransport
from services.consensus.witnesses import Witnesses
from services.shared.runtime.clock import boot_id, boottime_ns
from services.shared.runtime.errors import DomainError

if TYPE_CHECKING:
    from services.consensus.metrics import MemberMetrics
    from services.consensus.spans import CommandSpans
    from services.shared.runtime.tracing import Tracing

log = logging.getLogger(__name__)

STOP_S: Final = 9.5
"""Longest a graceful stop takes; the next three are its parts, with something to spare (8.5)."""
_HANDOVER_S: Final = 6.0
_SETTLE_S: Final = 0.5
_STOP_GRACE_S: Final = 0.5
_FLUSH_S: Final = 2.5
_SWITCH_INTERVAL_S: Final = 0.0005
_GC_THRESHOLDS: Final = (50_000, 50, 100)


class Node:
    """A member that can be started and stopped, once."""

    def __init__(self, settings: ConsensusSettings, store: Store, stored: StoredState, figures: StoreFigures) -> None:
        """Build the parts; call it in the event loop that will run them.

        Args:
            settings: Of this member.
            store: Open; it belongs to the node's writer thread from `start` on.
            stored: What it holds.
            figures: What it measures.

        Attributes:
            halted: Exit code and a sentence, when the member must stop at once (C4, 14.5).
            begins_anew: Why the store is to be replaced by a blank one under a new id, when it is (14.6).
        """
        self.halted: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.begins_anew: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        listed, described = settings.configuration(), settings.member.described()
        if stored.listed_id:
            settings = settings.rejoined(stored.member_id)
        self._settings = settings
        self._store = store
        self._figures = figures
        member = settings.member
        boot = BootState(
            stored.hard_state,
            stored.entries,
            stored.mark.applied_index,
            stored.log_mark,
            stored.mark.configuration,
            stored.mark.configuration_index,
            stored.quarantine,
        )
        self._group_id = stored.group_id
        self._incarnation = stored.incarnation
        self._trace_file = None if settings.trace_file is None else settings.trace_file.open("ab", buffering=0)
        trace = None if self._trace_file is None else Trace(member.member_id, self._trace_file.write)
        if trace is not None:
            trace.booted(boottime_ns(), boot)
        self._metrics = _metrics() if settings.metrics_listen else None
        witnesses: list[Witness] = [] if trace is None else [trace]
        if self._metrics is not None:
            witnesses.append(self._metrics.witness)
        self._tracing = _tracing(settings) if settings.spans_exporter else None
        spans = None if self._tracing is None else _command_spans(self._tracing)
        if spans is not None:
            witnesses.append(spans)
        core = RaftCore(settings.core(), boot, secrets.randbits(63), boottime_ns())
        self.loop = MemberLoop(
            core,
            Machine(stored.mark, stored.tables, max_group_version=settings.max_group_version),
            settings.core(),
            tick_ns=nanoseconds(settings.tick),
            watch=StoreWatch(nanoseconds(settings.store_slow), nanoseconds(settings.store_stall)),
            clock=boottime_ns,
            wall_clock=wall_clock_ms,
            halt=self._halt,
            group_id=lambda: self._group_id,
            retention=settings.retention(),
            trace=Witnesses(*witnesses) if witnesses else None,
        )
        methods = MethodTable()
        self._transport = PeerTransport(
            settings,
            Self(
                member.member_id,
                stored.incarnation,
                boot_id(),
                member.raft_endpoint,
                (FIRST_GROUP_VERSION, settings.max_group_version),
            ),
            stored.group_id,
            self.loop,
            methods,
            ERRORS,
            DOMAIN,
            adopt=self._adopt_group,
        )
        forwarder = self._transport.forwarder
        self.app = ConsensusApp(
            self.loop,
            Who(member.member_id, member.name),
            settings.timing(),
            commit_s=settings.commit_timeout.total_seconds(),
            max_group_version=settings.max_group_version,
            read_index=forwarder.read_index,
        )
        if spans is not None:
            self.app.answered = (spans.answered,)
        self._changes = GroupChanges(self.app, drain_s=settings.transfer_drain.total_seconds())
        agreements = GroupAgreements(self.app, self._changes, self._versions)
        self._holders = holders = LeaseHolders(self.app, ttl_s=settings.session_ttl.total_seconds())
        readiness = Readiness(nanoseconds(settings.readiness_grace), boottime_ns())
        self._api = Api(
            settings,
            self.app,
            holders,
            self._changes,
            agreements,
            readiness,
            methods,
            forwarder,
            interceptors=() if self._tracing is None else (self._tracing.interceptor(),),
        )
        self._upkeep = Upkeep(
            self.app,
            holders,
            self._changes,
            readiness,
            Succession(nanoseconds(settings.election_min), nanoseconds(settings.preference_stable), grace_ns=0),
            SilentSessions(nanoseconds(settings.session_ttl)),
            self._acquainted,
            wall_clock_ms,
            auto_promote=settings.auto_promote,
            version_stable_ns=nanoseconds(settings.version_stable),
        )
        self._writer = StoreWriter(
            store, _Reporter(asyncio.get_running_loop(), self.loop), settings.store_fatal.total_seconds()
        )
        self._rejoin = Rejoin(
            self.loop,
            RemoteGroup(settings),
            replace(described, member_id=member.member_id),
            listed,
            self._begin_anew,
            begun_anew=bool(stored.listed_id),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def listen(self) -> tuple[int, int]:
        """Bind both listeners and return their ports, the API's first.

        Raises:
            RuntimeError: An address is taken or not ours.
            UnsafeListener: Off loopback without TLS.
        """
        return self._api.listen(), self._transport.listen()

    async def start(self) -> None:
        """Start to take part in the group and to answer.

        Raises:
            OSError: Metrics cannot be served where they are to be.
        """
        if self._metrics is not None:
            await self._metrics.listen(self._settings.metrics_listen)
        self._writer.start()
        self.loop.start(self._writer, self._transport)
        await self._transport.start()
        await self._api.start()
        self._tasks = [
            asyncio.create_task(self._transport.run()),
            asyncio.create_task(self._api.keep_health()),
            asyncio.create_task(self._upkeep.run()),
            *([asyncio.create_task(self._rejoin.run())] if self._settings.auto_rejoin else []),
            *(
                [asyncio.create_task(self._metrics.run(self.app, self._holders, self._figures))]
                if self._metrics is not None
                else []
            ),
        ]
        _quiet_collector()

    async def stop(self) -> None:
        """Say so, hand leadership over, refuse new calls, end streams, write what is queued, close the store (8.5)."""
        await self._api.stop_serving()
        await self._hand_over()
        self.loop.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=_STOP_GRACE_S)
        await asyncio.gather(self._api.stop(_STOP_GRACE_S), self._transport.stop())
        if await asyncio.to_thread(self._writer.stop, _FLUSH_S):
            self._store.close()
        if self._tracing is not None:
            self._tracing.close()
        if self._trace_file is not None:
            self._trace_file.close()

    async def _hand_over(self) -> None:
        """Have another member lead, so that writers need not wait for an election (8.5)."""
        if not self.app.leads or len(self.loop.configuration.voters) < 2:
            return
        try:
            async with asyncio.timeout(_HANDOVER_S):
                handover = await self._changes.transfer()
                await self._see_through(handover.term)
            log.info("consensus.handed_over", extra={"member": handover.leader and handover.leader.member_id})
        except (DomainError, TimeoutError) as error:
            log.warning("consensus.not_handed_over", extra={"problem": str(error)})

    async def _see_through(self, term: int) -> None:
        """Help the successor to its first commit: a third member may be slow, or down."""
        loop = self.loop
        while loop.machine.mark.applied_term < term and await loop.applied.wait_beyond(loop.applied.count, _SETTLE_S):
            pass

    def _acquainted(self) -> Mapping[int, Acquaintance]:
        """Return what each member said of itself in its newest hello."""
        introductions = self._transport.greeting.introductions.values()
        said = {each.member_id: Acquaintance(each.incarnation, each.group_versions[1]) for each in introductions}
        return {**said, self.app.who.member_id: Acquaintance(self._incarnation, self.app.max_group_version)}

    def _versions(self) -> Mapping[int, int]:
        return {member_id: known.version for member_id, known in self._acquainted().items()}

    def _halt(self, exit_code: int, why: str) -> None:
        if not self.halted.done():
            self.halted.set_result((exit_code, why))

    def _begin_anew(self, why: str) -> None:
        if not self.begins_anew.done():
            self.begins_anew.set_result(why)

    def _adopt_group(self, group_id: str) -> None:
        self._group_id = group_id
        self.loop.adopt_group(group_id)


class _Reporter:
    """Brings reports of the writer's thread to the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, member: MemberLoop) -> None:
        self._loop = loop
        self._member = member

    def __call__(self, report: Report) -> None:
        # The loop is closed when the process ends while the last write is under way.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._member.report, report)


def _metrics() -> MemberMetrics:
    # Here, so that who does not want metrics does not load what they need: 10 MB.
    from services.consensus.metrics import MemberMetrics

    return MemberMetrics(boottime_ns)


def _tracing(settings: ConsensusSettings) -> Tracing:
    from services.shared.runtime.tracing import Tracing, installed_exporter

    return Tracing(installed_exporter(settings.spans_exporter), "consensus", settings.node)


def _command_spans(tracing: Tracing) -> CommandSpans:
    from services.consensus.spans import CommandSpans

    return CommandSpans(tracing.tracer, boottime_ns, wall_clock_ms)


def wall_clock_ms() -> int:
    """Return Unix milliseconds (T4)."""
    return time.time_ns() // 1_000_000


def _quiet_collector() -> None:
    """Keep full collections rare and short: what exists after the start lives for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
