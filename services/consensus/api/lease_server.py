"""The servicer of leases: it translates and delegates."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api import convert
from services.consensus.api.watches import PROGRESS_S
from services.consensus.lease_holders import LeaseHolders, Validity
from services.consensus.readiness import Readiness
from services.consensus.state.machine import RECOVERY_LEASE

MIN_EXTENSION_NS: Final = 30_000_000
"""Growth of a lease's validity that is worth a push: half a heartbeat."""
_NO_LEASE: Final = 0


class LeaseServicer(pb_grpc.LeaseServiceServicer):
    """Exclusive rights for a time."""

    def __init__(self, holders: LeaseHolders, readiness: Readiness, boot_id: str) -> None:
        """Take who holds leases beside this member, what is told of the recovery there, and this boot's identity."""
        self._holders = holders
        self._readiness = readiness
        self._boot_id = boot_id

    async def Acquire(self, request: pb.AcquireRequest, context: Any) -> pb.AcquireResponse:
        """Grant a lease."""
        name = convert.text_from_request(request.name, "name")
        lease, validity = await self._holders.acquire(name, convert.uuid_from_request(request.session_id, "session_id"))
        return pb.AcquireResponse(lease=convert.lease_to_proto(lease), validity=self._validity(validity))

    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseResponse:
        """Give a lease back."""
        await self._holders.release(
            convert.text_from_request(request.name, "name"),
            convert.uuid_from_request(request.session_id, "session_id"),
            convert.token_from_request(request.fencing_token),
        )
        return pb.ReleaseResponse()

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        """Tell for how long a token is good."""
        name = convert.text_from_request(request.name, "name")
        validity = self._holders.check(name, convert.token_from_request(request.fencing_token))
        return pb.CheckResponse(validity=self._validity(validity))

    async def KeepAlive(
        self, request_iterator: AsyncIterator[pb.KeepAliveRequest], context: Any
    ) -> AsyncIterator[pb.KeepAliveResponse]:
        """Keep a session alive and push its lease's validity."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        name = convert.text_from_request(first.name, "name")
        session_id = convert.uuid_from_request(first.session_id, "session_id")
        token = convert.token_from_request(first.fencing_token) if first.fencing_token else _NO_LEASE
        if token:
            self._holders.require_session(name, session_id, token)
        self._heard(first, name, token)
        reader = asyncio.ensure_future(self._listen(request_iterator, name, token))
        try:
            async for response in self._push(name, token, reader) if token else self._idle(reader):
                yield response
        finally:
            reader.cancel()
            await asyncio.wait((reader,))

    async def _listen(self, requests: AsyncIterator[pb.KeepAliveRequest], name: str, token: int) -> None:
        with contextlib.suppress(grpc.aio.AbortError):
            async for request in requests:
                self._heard(request, name, token)

    def _heard(self, request: pb.KeepAliveRequest, name: str, token: int) -> None:
        if token:
            self._holders.touch(token)
        if name == RECOVERY_LEASE:
            self._readiness.beat(self._holders.app.loop.read_clock(), able=not request.not_ready)

    async def _idle(self, reader: asyncio.Future[None]) -> AsyncIterator[pb.KeepAliveResponse]:
        """Say now and then that a session without a lease is heard."""
        while not reader.done():
            yield pb.KeepAliveResponse(state=pb.KeepAliveResponse.STATE_IDLE)
            await asyncio.wait((reader,), timeout=PROGRESS_S)

    async def _push(self, name: str, token: int, reader: asyncio.Future[None]) -> AsyncIterator[pb.KeepAliveResponse]:
        loop = self._holders.app.loop
        told, seq, state = 0, 0, pb.KeepAliveResponse.STATE_UNSPECIFIED
        while not reader.done():
            count = loop.lease_changed.count
            validity = self._holders.validity(name, token)
            if validity is None:
                yield pb.KeepAliveResponse(state=pb.KeepAliveResponse.STATE_LOST)
                return
            now = pb.KeepAliveResponse.STATE_DRAINING if loop.draining else pb.KeepAliveResponse.STATE_LIVE
            # Every acknowledgement extends the leader lease a little; one push a heartbeat is enough.
            if now != state or validity.lease_seq > seq or validity.valid_until_ns >= told + MIN_EXTENSION_NS:
                told, seq, state = validity.valid_until_ns, validity.lease_seq, now
                yield pb.KeepAliveResponse(state=state, validity=self._validity(validity))
            await loop.lease_changed.wait_beyond(count, PROGRESS_S)

    def _validity(self, validity: Validity) -> pb.LeaseValidity:
        return convert.validity_to_proto(validity, self._boot_id)
