"""One member put together: store, core, machine, loop, peers and both servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import sys
import time
from typing import Final

from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.app import ConsensusApp
from services.consensus.channels import open_peer_channel
from services.consensus.core import RaftCore
from services.consensus.machine import Machine
from services.consensus.member_loop import MemberLoop
from services.consensus.model import BootState
from services.consensus.outputs import Outgoing
from services.consensus.peers import Peers
from services.consensus.ports import Report, Store, StoredState
from services.consensus.raft_server import Greeting, RaftServicer, VoteDesk
from services.consensus.server import (
    ERRORS,
    RAFT_SERVICES,
    SERVICES,
    GroupServicer,
    JournalServicer,
    LeaseServicer,
    RegistryServicer,
)
from services.consensus.settings import ConsensusSettings, nanoseconds
from services.consensus.store_health import StoreWatch
from services.consensus.store_writer import StoreWriter
from services.shared.runtime.clock import boot_id, boottime_ns
from services.shared.runtime.errors import DomainError
from services.shared.runtime.grpc_server import GrpcServer

log = logging.getLogger(__name__)

DOMAIN: Final = "consensus.primacy"
LEADER_HEALTH: Final = "primacy.leader"
"""Health name that serves on the member which leads with a valid lease."""
_STOP_GRACE_S: Final = 0.5
_FLUSH_S: Final = 5.0
_HOUSEKEEPING_S: Final = 0.25
_SWITCH_INTERVAL_S: Final = 0.0005
_GC_THRESHOLDS: Final = (50_000, 50, 100)


class Node:
    """A member that can be started and stopped, once."""

    def __init__(self, settings: ConsensusSettings, store: Store, stored: StoredState) -> None:
        """Build the parts; call it in the event loop that will run them.

        Args:
            settings: Of this member.
            store: Open; it belongs to the node's writer thread from `start` on.
            stored: What it holds.
        """
        self.halted: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._store = store
        member = settings.member
        vote_s = settings.election_min.total_seconds() / 2
        boot = BootState(
            stored.hard_state, stored.entries, stored.mark.applied_index, configuration=settings.configuration()
        )
        core = RaftCore(settings.core(), boot, secrets.randbits(63), boottime_ns())
        self.loop = MemberLoop(
            core,
            Machine(stored.mark, stored.tables),
            settings.core(),
            tick_ns=nanoseconds(settings.tick),
            watch=StoreWatch(nanoseconds(settings.store_slow), nanoseconds(settings.store_stall)),
            clock=boottime_ns,
            wall_clock=lambda: time.time_ns() // 1_000_000,
            halt=self._halt,
        )
        self.app = ConsensusApp(
            self.loop,
            {listed.member_id: listed for listed in settings.group},
            member.member_id,
            commit_s=settings.commit_timeout.total_seconds(),
            ttl_s=settings.session_ttl.total_seconds(),
        )
        names = {listed.member_id: listed.name for listed in settings.group}
        greeting = Greeting(settings.group_id, member.member_id, stored.incarnation, boot_id(), names)
        desk = VoteDesk()
        self._peers = Peers(
            {listed.member_id: listed.raft_endpoint for listed in settings.group if listed != member},
            lambda endpoint: open_peer_channel(endpoint, settings),
            greeting.make,
            self.loop.receive,
            self.loop.unreachable,
            vote_s,
            desk.answer,
        )
        self._writer = StoreWriter(store, _Reporter(asyncio.get_running_loop(), self.loop))
        self._raft = GrpcServer(settings, DOMAIN, ERRORS, RAFT_SERVICES)
        servicer = RaftServicer(greeting, desk, self.loop.receive, self._peers.heard, vote_s)
        pb_grpc.add_RaftServiceServicer_to_server(servicer, self._raft.grpc)
        self._api = GrpcServer(settings, DOMAIN, ERRORS, SERVICES)
        pb_grpc.add_GroupServiceServicer_to_server(GroupServicer(self.app), self._api.grpc)
        pb_grpc.add_LeaseServiceServicer_to_server(LeaseServicer(self.app, boot_id()), self._api.grpc)
        pb_grpc.add_RegistryServiceServicer_to_server(RegistryServicer(self.app), self._api.grpc)
        pb_grpc.add_JournalServiceServicer_to_server(JournalServicer(self.app), self._api.grpc)
        self._tasks: list[asyncio.Task[None]] = []

    def listen(self) -> tuple[int, int]:
        """Bind both listeners and return their ports, the API's first.

        Raises:
            RuntimeError: An address is taken or not ours.
            UnsafeListener: Off loopback without TLS.
        """
        return self._api.listen(self._settings.listen), self._raft.listen(self._settings.raft_listen)

    async def start(self) -> None:
        """Start to take part in the group and to answer."""
        self._writer.start()
        self.loop.start(self._writer, self)
        await self._raft.start()
        await self._api.start()
        await self._raft.set_all_serving(serving=True)
        self._tasks = [
            asyncio.create_task(self._peers.run()),
            asyncio.create_task(self._keep_health()),
            asyncio.create_task(self._keep_sessions()),
        ]
        _quiet_collector()

    async def stop(self) -> None:
        """Refuse new calls, end streams, write what is queued, close the store."""
        await self._api.set_all_serving(serving=False)
        await self._api.set_serving(LEADER_HEALTH, serving=False)
        self.loop.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=_STOP_GRACE_S)
        await asyncio.gather(self._api.grpc.stop(_STOP_GRACE_S), self._raft.grpc.stop(None))
        await asyncio.to_thread(self._writer.stop, _FLUSH_S)
        self._store.close()

    def send(self, outgoing: Outgoing) -> None:
        """Send a message to a peer."""
        self._peers.send(outgoing)

    def _halt(self, exit_code: int, why: str) -> None:
        if not self.halted.done():
            self.halted.set_result((exit_code, why))

    async def _keep_health(self) -> None:
        told: tuple[bool, bool] | None = None
        signal = self.loop.leader_changed
        while True:
            count = signal.count
            now = self.loop.watch.health.usable, self.loop.leads_with_lease()
            if now != told:
                told = now
                await self._api.set_all_serving(serving=now[0])
                await self._api.set_serving(LEADER_HEALTH, serving=now[1])
            await signal.wait_beyond(count, _HOUSEKEEPING_S)

    async def _keep_sessions(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            # A refusal means that another member leads by now, or that the next round succeeds.
            with contextlib.suppress(DomainError):
                await self.app.expire_silent_sessions()


class _Reporter:
    """Brings reports of the writer's thread to the loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, member: MemberLoop) -> None:
        self._loop = loop
        self._member = member

    def __call__(self, report: Report) -> None:
        # The loop is closed when the process ends while the last write is under way.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._member.report, report)


def _quiet_collector() -> None:
    """Keep full collections rare and short: what exists after the start lives for ever."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
