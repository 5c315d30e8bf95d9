"""The holder of the lease against a consensus that says what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.recovery.consensus_client import ConsensusClient
from services.recovery.lease_holder import LeaseHolder
from services.shared.runtime.clock import boottime_ns
from tests.support.eventually import eventually

SESSION: Final = "5f1a2f1e-6d0c-4c3f-9f3d-1f0f3b1c2d4e"
LIVE: Final = pb.KeepAliveResponse.STATE_LIVE
DRAINING: Final = pb.KeepAliveResponse.STATE_DRAINING
LOST: Final = pb.KeepAliveResponse.STATE_LOST


class Consensus(pb_grpc.LeaseServiceServicer):
    """Grants the lease once for each token, and pushes what is put into `pushes`."""

    def __init__(self) -> None:
        self.tokens = [41, 57]
        self.pushes: asyncio.Queue[pb.KeepAliveResponse] = asyncio.Queue()
        self.released: list[int] = []
        self.heard: list[pb.KeepAliveRequest] = []

    async def Acquire(self, request: pb.AcquireRequest, context: Any) -> pb.AcquireResponse:
        if not self.tokens:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "nobody leads")
        lease = pb.Lease(name=request.name, session_id=request.session_id, fencing_token=self.tokens.pop(0))
        return pb.AcquireResponse(lease=lease, validity=validity())

    async def KeepAlive(
        self, request_iterator: AsyncIterator[pb.KeepAliveRequest], context: Any
    ) -> AsyncIterator[pb.KeepAliveResponse]:
        self.heard.append(await anext(request_iterator))
        while True:
            push = await self.pushes.get()
            yield push
            if push.state == LOST:
                return

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        return pb.CheckResponse(validity=validity())

    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseResponse:
        self.released.append(request.fencing_token)
        self.tell(LOST)
        return pb.ReleaseResponse()

    def tell(self, state: pb.KeepAliveResponse.State.ValueType, *, seq: int = 1) -> None:
        """Push a state."""
        self.pushes.put_nowait(pb.KeepAliveResponse(state=state, validity=validity(seq)))


def validity(seq: int = 1) -> pb.LeaseValidity:
    until = boottime_ns() + 60_000_000_000
    return pb.LeaseValidity(lease_seq=seq, valid_until_boottime_ns=until, boot_id="here")


@asynccontextmanager
async def held(*, able: bool = True) -> AsyncIterator[tuple[Consensus, LeaseHolder, list[bool]]]:
    """A holder that holds the lease under token 41, and what it told about changes."""
    consensus, changes = Consensus(), list[bool]()
    server = grpc.aio.server()
    pb_grpc.add_LeaseServiceServicer_to_server(consensus, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        holder = LeaseHolder(
            ConsensusClient(channel),
            SESSION,
            "here",
            boottime_ns,
            changed=lambda: changes.append(holder.live),
            able=lambda: able,
        )
        running = asyncio.create_task(holder.run())
        holder.note_leadership(leads=True)
        await eventually(lambda: holder.live and consensus.heard, within=5)
        try:
            yield consensus, holder, changes
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    await server.stop(None)


async def test_pushed_lease_is_live_and_guards_work_under_its_token() -> None:
    async with held() as (_, holder, changes):
        guard = holder.guard()
        assert guard is not None
        assert guard.token == 41
        assert guard.lost() == ""
        assert changes == [True]


async def test_lost_lease_stops_work_and_another_one_is_acquired() -> None:
    async with held() as (consensus, holder, changes):
        guard = holder.guard()
        assert guard is not None
        holder.note_leadership(leads=False)
        consensus.tell(LOST)
        await eventually(lambda: not holder.live, within=5)
        assert guard.lost()
        assert changes == [True, False]
        holder.note_leadership(leads=True)
        await eventually(lambda: holder.live, within=5)
        assert "under token 57" in guard.lost()


async def test_lapse_is_told_and_ends_work_that_began_before_it() -> None:
    async with held() as (consensus, holder, changes):
        guard = holder.guard()
        assert guard is not None
        consensus.tell(LIVE, seq=2)
        await eventually(lambda: guard.lost(), within=5)
        assert holder.live
        assert changes == [True, True]


async def test_draining_lease_allows_what_runs_begins_nothing_and_is_given_back() -> None:
    async with held() as (consensus, holder, changes):
        guard = holder.guard()
        assert guard is not None
        consensus.tokens.clear()  # Nothing is granted while leadership is handed over.
        consensus.tell(DRAINING)
        await eventually(lambda: holder.draining, within=5)
        guard.check(1_000_000)
        assert holder.guard() is None
        assert changes == [True, True]
        holder.give_back()
        await eventually(lambda: consensus.released == [41], within=5)
        assert not holder.live
        assert not holder.draining


async def test_abandoned_handover_leaves_the_lease_as_it_was() -> None:
    async with held() as (consensus, holder, _):
        guard = holder.guard()
        assert guard is not None
        consensus.tell(DRAINING)
        await eventually(lambda: holder.draining, within=5)
        consensus.tell(LIVE)
        await eventually(lambda: not holder.draining, within=5)
        assert guard.lost() == ""
        assert holder.guard() is not None


async def test_holder_that_cannot_do_its_work_says_so() -> None:
    async with held(able=False) as (consensus, _, _):
        assert [(heard.fencing_token, heard.not_ready) for heard in consensus.heard] == [(41, True)]
