"""Everything between members put together: streams to them, the server for them, snapshots, forwarded calls (16)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.member_loop import MemberLoop, NotLeading
from services.consensus.raft.configuration import Configuration
from services.consensus.raft.model import LogMark
from services.consensus.raft.outputs import Outgoing
from services.consensus.settings import ConsensusSettings
from services.consensus.wire.channels import MAX_FRAME_BYTES, open_peer_channel
from services.consensus.wire.forward import ForwardDesk, Forwarder, MethodTable
from services.consensus.wire.greeting import Greeting, GroupView, Self
from services.consensus.wire.peers import PeerAddress, PeerEvents, Peers
from services.consensus.wire.raft_server import RaftServicer, VoteDesk
from services.consensus.wire.snapshot_transfer import Route, SnapshotReceiver, SnapshotSender
from services.shared.runtime.errors import NoLeader
from services.shared.runtime.grpc_server import GrpcServer
from services.shared.runtime.status import ErrorTable

SERVICES: Final = ("primacy.consensus.v1.RaftService",)
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", MAX_FRAME_BYTES),
    ("grpc.max_concurrent_streams", 64),
    # Who does not speak the protocol at once is closed, and cannot take the memory of those who do (W1).
    ("grpc.server_handshake_timeout_ms", 2_000),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_allowed_incoming_connections", 256),
)


class PeerTransport:
    """Carries what the loop says to other members, and what they say to the loop."""

    def __init__(
        self,
        settings: ConsensusSettings,
        myself: Self,
        group_id: str,
        loop: MemberLoop,
        methods: MethodTable,
        table: ErrorTable,
        domain: str,
        adopt: Callable[[str], None],
    ) -> None:
        """Build the parts; call it in the event loop that will run them.

        Args:
            settings: Of this member.
            myself: Who it is.
            group_id: Its group; empty = it waits to be taken into one.
            loop: The member's.
            methods: What other members may have answered here.
            table: How domain errors are told.
            domain: `ErrorInfo.domain` of refusals.
            adopt: Called once when a member without a group is greeted by its own.
        """
        vote_s = settings.election_min.total_seconds() / 2
        votes = VoteDesk()
        self._settings = settings
        self._loop = loop
        self._view = GroupView()
        self.greeting = Greeting(myself, group_id, self._group_view, adopt)
        self.peers = Peers(
            myself.member_id,
            self.greeting,
            self._open_channel,
            PeerEvents(loop.receive, loop.unreachable, votes.answer, loop.set_quarantine),
            vote_timeout_s=vote_s,
        )
        self._snapshots = SnapshotSender(self._route, self._term, self._snapshot_ended, settings.snapshot_bandwidth)
        self._arriving = SnapshotReceiver(loop.install_snapshot, self._term)
        self.forwarder = Forwarder(lambda: loop.leadership.leader, self._route)
        self._server = GrpcServer(settings, domain, table, SERVICES, options=_OPTIONS)
        servicer = RaftServicer(
            self.greeting,
            votes,
            self._arriving,
            ForwardDesk(methods, self._read_index, domain, table),
            loop.receive,
            self.peers.heard,
            vote_timeout_s=vote_s,
        )
        pb_grpc.add_RaftServiceServicer_to_server(servicer, self._server.grpc)
        self.peers.configure(loop.configuration)

    def listen(self) -> int:
        """Bind the listener for peers and return its port.

        Raises:
            RuntimeError: The address is taken or not ours.
            UnsafeListener: Off loopback without TLS.
        """
        return self._server.listen(self._settings.raft_listen)

    async def start(self) -> None:
        """Begin to answer peers."""
        await self._server.start()
        await self._server.set_all_serving(serving=True)

    async def run(self) -> None:
        """Keep streams to peers open until cancelled."""
        await self.peers.run()

    async def stop(self) -> None:
        """End everything."""
        await asyncio.gather(self._snapshots.close(), self.forwarder.close())
        await self._server.grpc.stop(None)
        self._arriving.close()

    # What the loop wants (ports.Transport).

    def send(self, outgoing: Outgoing) -> None:
        """Send one message, never blocking."""
        self.peers.send(outgoing)

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        """Begin to send a snapshot, never blocking."""
        self._snapshots.send(member_id, mark, data)

    def configure(self, configuration: Configuration) -> None:
        """Follow a configuration."""
        self.peers.configure(configuration)

    async def _read_index(self, within_s: float) -> int:
        try:
            return await self._loop.read_index(within_s)
        except NotLeading:
            raise NoLeader from None

    def _snapshot_ended(self, member_id: int, mark: LogMark, delivered: bool) -> None:
        self._loop.snapshot_sent(member_id, mark, delivered=delivered)

    def _open_channel(self, address: PeerAddress) -> grpc.aio.Channel:
        return open_peer_channel(address.endpoint, address.name, self._settings)

    def _route(self, member_id: int) -> Route | None:
        address = self.peers.address(member_id)
        return None if address is None else Route(self._open_channel(address), self.greeting.make(member_id))

    def _term(self) -> int:
        return self._loop.leadership.term

    def _group_view(self) -> GroupView:
        loop, mark, known = self._loop, self._loop.machine.mark, self._view
        if (
            known.newest is not loop.configuration
            or known.committed is not mark.configuration
            or known.term != self._term()
            or known.group_version != loop.machine.group.version
        ):
            self._view = GroupView(
                self._term(),
                loop.configuration,
                loop.status().configuration_index,
                mark.configuration,
                mark.configuration_index,
                loop.machine.group.version,
            )
        return self._view
