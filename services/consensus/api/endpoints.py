"""What callers see, put together: the servicers, the server for them, and its health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api.group_server import GroupServicer
from services.consensus.api.journal_server import JournalServicer
from services.consensus.api.lease_server import LeaseServicer
from services.consensus.api.registry_server import RegistryServicer
from services.consensus.api.server import DOMAIN, ERRORS, FORWARDED_SERVICES, SERVICES
from services.consensus.api.session_server import SessionServicer
from services.consensus.api.write_stream import WriteDesk
from services.consensus.app import ConsensusApp
from services.consensus.group_agreements import GroupAgreements
from services.consensus.group_changes import GroupChanges
from services.consensus.lease_holders import LeaseHolders
from services.consensus.readiness import Readiness
from services.consensus.settings import ConsensusSettings
from services.consensus.wire.forward import Forwarder, MethodTable
from services.consensus.wire.forward_interceptor import ForwardInterceptor
from services.shared.runtime.clock import boot_id
from services.shared.runtime.grpc_server import GrpcServer

LEADER_HEALTH: Final = "primacy.leader"
"""Health name that serves on the member which leads with a valid lease and is ready."""
_LOOK_S: Final = 0.25
_LEADERLESS_NS: Final = 2_000_000_000
"""How long nobody may lead before the member is said not to serve: an election is no outage."""


class Api:
    """The listener for callers."""

    def __init__(
        self,
        settings: ConsensusSettings,
        app: ConsensusApp,
        holders: LeaseHolders,
        changes: GroupChanges,
        agreements: GroupAgreements,
        readiness: Readiness,
        methods: MethodTable,
        forwarder: Forwarder,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """Build the servicers; call it in the event loop that will run them.

        Args:
            settings: Of this member.
            app: What writes and reads stand on.
            holders: Of leases beside this member.
            changes: Of members and leadership.
            agreements: Of the group about itself.
            readiness: Of this node.
            methods: Gets what other members may have answered here.
            forwarder: Carries calls to the leader.
            interceptors: Of every call, before it is forwarded.
        """
        self._settings = settings
        self._app = app
        self._stopping = False
        self._led_at = app.loop.read_clock()
        within_s = settings.commit_timeout.total_seconds()
        carry_s = max(within_s, settings.transfer_drain.total_seconds() * 2)
        self._server = GrpcServer(
            settings,
            DOMAIN,
            ERRORS,
            SERVICES,
            interceptors=(*interceptors, ForwardInterceptor(forwarder, FORWARDED_SERVICES, carry_s)),
        )
        writes = WriteDesk(methods, forwarder, DOMAIN, ERRORS, within_s=within_s)
        group = GroupServicer(app, changes, agreements, settings.configuration())
        for server in (self._server.grpc, methods.as_server):
            pb_grpc.add_GroupServiceServicer_to_server(group, server)
            pb_grpc.add_RegistryServiceServicer_to_server(RegistryServicer(app), server)
            pb_grpc.add_JournalServiceServicer_to_server(JournalServicer(app, writes), server)
            pb_grpc.add_SessionServiceServicer_to_server(SessionServicer(app, settings.session_ttl), server)
        leases = LeaseServicer(holders, readiness, boot_id())
        pb_grpc.add_LeaseServiceServicer_to_server(leases, self._server.grpc)

    def listen(self) -> int:
        """Bind the listener and return its port.

        Raises:
            RuntimeError: The address is taken or not ours.
            UnsafeListener: Off loopback without TLS.
        """
        return self._server.listen(self._settings.listen)

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def keep_health(self) -> None:
        """Say what this member could do, until cancelled."""
        told: tuple[bool, bool] | None = None
        signal = self._app.loop.leader_changed
        while True:
            count = signal.count
            now = (False, False) if self._stopping else (self._serves(), self._leads())
            if now != told:
                told = now
                await self._server.set_all_serving(serving=now[0])
                await self._server.set_serving(LEADER_HEALTH, serving=now[1])
            await signal.wait_beyond(count, _LOOK_S)

    async def stop_serving(self) -> None:
        """Say that this member goes; calls are answered as before (8.5)."""
        self._stopping = True
        await self._server.set_all_serving(serving=False)
        await self._server.set_serving(LEADER_HEALTH, serving=False)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, and end those that run after a while."""
        await self._server.grpc.stop(grace_s)

    def _serves(self) -> bool:
        """Tell whether the member could do its work: write, and follow or lead."""
        loop = self._app.loop
        status, now = loop.status(), loop.read_clock()
        if self._app.leader() is not None:
            self._led_at = now
        led = now - self._led_at <= _LEADERLESS_NS
        return loop.watch.health.usable and not status.quarantine and not status.removed and led

    def _leads(self) -> bool:
        return self._app.loop.leads_with_lease() and self._app.loop.status().ready
