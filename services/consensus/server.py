"""The servicers of the API: they translate and delegate."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus import convert, errors
from services.consensus.app import ConsensusApp, Validity
from services.consensus.model import Role, StoreHealth
from services.consensus.outputs import CoreStatus
from services.consensus.raft_server import PeerRefused
from services.shared.runtime.errors import NoLeader
from services.shared.runtime.paging import page_of
from services.shared.runtime.status import COMMON_ERRORS, ErrorRule, ErrorTable

MessageT = TypeVar("MessageT", bound=Message)

SERVICES: Final = tuple(
    f"primacy.consensus.v1.{name}" for name in ("GroupService", "LeaseService", "RegistryService", "JournalService")
)
RAFT_SERVICES: Final = ("primacy.consensus.v1.RaftService",)
PROGRESS_S: Final = 1.0
"""A watch that is quiet for so long says that it lives."""
MIN_EXTENSION_NS: Final = 30_000_000
"""Growth of a lease's validity that is worth a push: half a heartbeat."""
MAX_CHUNK_BYTES: Final = 1024 * 1024
_RETRY: Final = COMMON_ERRORS[NoLeader].details
ERRORS: Final[ErrorTable] = {
    errors.LeaseHeld: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "LEASE_HELD"),
    errors.RecoveryOpen: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_OPEN"),
    errors.AntiFlapping: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "ANTI_FLAPPING"),
    errors.RecoveryUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "RECOVERY_UNKNOWN"),
    errors.RecoveryClosed: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_CLOSED"),
    errors.StepEnded: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "STEP_ENDED"),
    errors.RequestIdReused: ErrorRule(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    errors.Overloaded: ErrorRule(grpc.StatusCode.UNAVAILABLE, "OVERLOADED", _RETRY),
    errors.CommandTooLarge: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT, "COMMAND_TOO_LARGE"),
    errors.OutcomeUnknown: ErrorRule(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN", _RETRY),
    PeerRefused: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "PEER_REFUSED"),
}
_ROLES: Final = {
    Role.FOLLOWER: pb.ROLE_FOLLOWER,
    Role.PRE_CANDIDATE: pb.ROLE_PRE_CANDIDATE,
    Role.CANDIDATE: pb.ROLE_CANDIDATE,
    Role.LEADER: pb.ROLE_LEADER,
}


class GroupServicer(pb_grpc.GroupServiceServicer):
    """The Raft group itself."""

    def __init__(self, app: ConsensusApp) -> None:
        self._app = app

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        """Return this member's view."""
        return status_to_proto(self._app)

    async def WatchLeader(self, request: pb.WatchLeaderRequest, context: Any) -> AsyncIterator[pb.WatchLeaderResponse]:
        """Stream the leader."""
        signal = self._app.loop.leader_changed
        progress = False
        while True:
            count = signal.count
            yield pb.WatchLeaderResponse(
                revision=count,
                leader=convert.member_to_proto(self._app.leader()),
                term=self._app.loop.leadership.term,
                leads_with_lease=self._app.loop.leads_with_lease(),
                progress=progress,
            )
            progress = not await signal.wait_beyond(count, PROGRESS_S)


class LeaseServicer(pb_grpc.LeaseServiceServicer):
    """Exclusive rights for a time."""

    def __init__(self, app: ConsensusApp, boot_id: str) -> None:
        self._app = app
        self._boot_id = boot_id

    async def Acquire(self, request: pb.AcquireRequest, context: Any) -> pb.AcquireResponse:
        """Grant a lease."""
        name = convert.text_from_request(request.name, "name")
        lease, validity = await self._app.acquire(name, convert.uuid_from_request(request.session_id, "session_id"))
        return pb.AcquireResponse(lease=convert.lease_to_proto(lease), validity=self._validity(validity))

    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseResponse:
        """Give a lease back."""
        await self._app.release(
            convert.text_from_request(request.name, "name"),
            convert.uuid_from_request(request.session_id, "session_id"),
            convert.token_from_request(request.fencing_token),
        )
        return pb.ReleaseResponse()

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        """Tell for how long a token is good."""
        name = convert.text_from_request(request.name, "name")
        validity = self._app.check(name, convert.token_from_request(request.fencing_token))
        return pb.CheckResponse(validity=self._validity(validity))

    async def KeepAlive(
        self, request_iterator: AsyncIterator[pb.KeepAliveRequest], context: Any
    ) -> AsyncIterator[pb.KeepAliveResponse]:
        """Keep a session alive and push its lease's validity."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        name = convert.text_from_request(first.name, "name")
        token = convert.token_from_request(first.fencing_token)
        self._app.require_session(name, convert.uuid_from_request(first.session_id, "session_id"), token)
        reader = asyncio.ensure_future(self._listen(request_iterator, token))
        try:
            async for response in self._push(name, token, reader):
                yield response
        finally:
            reader.cancel()
            await asyncio.wait((reader,))

    async def _listen(self, requests: AsyncIterator[pb.KeepAliveRequest], token: int) -> None:
        self._app.touch(token)
        with contextlib.suppress(grpc.aio.AbortError):
            async for _ in requests:
                self._app.touch(token)

    async def _push(self, name: str, token: int, reader: asyncio.Future[None]) -> AsyncIterator[pb.KeepAliveResponse]:
        signal = self._app.loop.lease_changed
        told, seq = 0, 0
        while not reader.done():
            count = signal.count
            validity = self._app.validity(name, token)
            if validity is None:
                yield pb.KeepAliveResponse(state=pb.KeepAliveResponse.STATE_LOST)
                return
            # Every acknowledgement extends the leader lease a little; one push a heartbeat is enough.
            if validity.lease_seq > seq or validity.valid_until_ns >= told + MIN_EXTENSION_NS:
                told, seq = validity.valid_until_ns, validity.lease_seq
                yield pb.KeepAliveResponse(state=pb.KeepAliveResponse.STATE_LIVE, validity=self._validity(validity))
            await signal.wait_beyond(count, PROGRESS_S)

    def _validity(self, validity: Validity) -> pb.LeaseValidity:
        return convert.validity_to_proto(validity, self._boot_id)


class RegistryServicer(pb_grpc.RegistryServiceServicer):
    """What the group has agreed upon about clusters."""

    def __init__(self, app: ConsensusApp) -> None:
        self._app = app

    async def PublishPrimary(self, request: pb.PublishPrimaryRequest, context: Any) -> pb.PublishPrimaryResponse:
        """Write the primary of a cluster."""
        primary = await self._app.publish(convert.publish_from_proto(request))
        return pb.PublishPrimaryResponse(primary=convert.primary_to_proto(primary))

    async def GetPrimary(self, request: pb.GetPrimaryRequest, context: Any) -> pb.GetPrimaryResponse:
        """Return the primary of one cluster."""
        cluster = convert.text_from_request(request.cluster, "cluster")
        linearizable = request.consistency == pb.CONSISTENCY_LINEARIZABLE
        primary = await self._app.primary(cluster, linearizable=linearizable)
        staleness = convert.nanoseconds_to_proto(self._app.staleness_ns())
        return pb.GetPrimaryResponse(primary=convert.primary_to_proto(primary), staleness=staleness)

    async def ListPrimaries(self, request: pb.ListPrimariesRequest, context: Any) -> pb.ListPrimariesResponse:
        """List the primaries of all clusters."""
        found = self._app.loop.machine.directory.all()
        page, following = page_of(
            found, lambda each: (each.alias, each.cluster_id), request.page_size, request.page_token
        )
        return pb.ListPrimariesResponse(
            primaries=[convert.primary_to_proto(primary) for primary in page], next_page_token=following
        )

    async def WatchPrimaries(
        self, request: pb.WatchPrimariesRequest, context: Any
    ) -> AsyncIterator[pb.WatchPrimariesResponse]:
        """Stream the directory."""
        machine, signal = self._app.loop.machine, self._app.loop.applied
        seen, changed = 0, list(machine.directory.all())
        while True:
            count, revision = signal.count, machine.mark.applied_index
            for chunk in chunks([convert.primary_to_proto(primary) for primary in changed]):
                staleness = convert.nanoseconds_to_proto(self._app.staleness_ns())
                yield pb.WatchPrimariesResponse(revision=revision, changed=chunk, staleness=staleness)
            seen = revision
            changed = []
            quiet = False
            while not changed and not quiet:
                quiet = not await signal.wait_beyond(count, PROGRESS_S)
                count = signal.count
                changed = [primary for primary in machine.directory.all() if primary.log_index > seen]


class JournalServicer(pb_grpc.JournalServiceServicer):
    """Records of recoveries and their steps."""

    def __init__(self, app: ConsensusApp) -> None:
        self._app = app

    async def RegisterRecovery(self, request: pb.RegisterRecoveryRequest, context: Any) -> pb.RegisterRecoveryResponse:
        """Open a recovery."""
        recovery = await self._app.register(convert.register_from_proto(request))
        return pb.RegisterRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def AdoptRecovery(self, request: pb.AdoptRecoveryRequest, context: Any) -> pb.AdoptRecoveryResponse:
        """Take over an open recovery."""
        recovery = await self._app.adopt(convert.adopt_from_proto(request))
        return pb.AdoptRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def RecordStep(self, request: pb.RecordStepRequest, context: Any) -> pb.RecordStepResponse:
        """Write steps."""
        command = convert.record_steps_from_proto(request)
        log_index = await self._app.record_steps(command)
        return pb.RecordStepResponse(log_index=log_index, step_count=len(command.steps))

    async def CloseRecovery(self, request: pb.CloseRecoveryRequest, context: Any) -> pb.CloseRecoveryResponse:
        """End a recovery."""
        recovery = await self._app.close(convert.close_from_proto(request))
        return pb.CloseRecoveryResponse(record=convert.recovery_to_proto(recovery))

    async def GetRecord(self, request: pb.GetRecordRequest, context: Any) -> pb.GetRecordResponse:
        """Return one record."""
        recovery = self._app.recovery(convert.uuid_from_request(request.recovery_id, "recovery_id"))
        return pb.GetRecordResponse(record=convert.recovery_to_proto(recovery))

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Any) -> pb.ListRecordsResponse:
        """List records, newest first."""
        cluster_id = convert.optional_uuid_from_request(request.cluster_id, "cluster_id")
        found = self._app.recoveries(cluster_id, only_open=request.only_open)
        page, following = page_of(
            found, lambda each: (-each.register_ms, each.recovery_id), request.page_size, request.page_token
        )
        return pb.ListRecordsResponse(
            records=[convert.recovery_to_proto(recovery) for recovery in page], next_page_token=following
        )

    async def WatchRecords(
        self, request: pb.WatchRecordsRequest, context: Any
    ) -> AsyncIterator[pb.WatchRecordsResponse]:
        """Stream records whole."""
        machine, signal = self._app.loop.machine, self._app.loop.applied
        seen, changed = 0, list(machine.journal.all())
        while True:
            count, revision = signal.count, machine.mark.applied_index
            for chunk in chunks([convert.recovery_to_proto(recovery) for recovery in changed]):
                yield pb.WatchRecordsResponse(revision=revision, changed=chunk)
            seen = revision
            changed = []
            quiet = False
            while not changed and not quiet:
                quiet = not await signal.wait_beyond(count, PROGRESS_S)
                count = signal.count
                changed = [recovery for recovery in machine.journal.all() if recovery.log_index > seen]


def chunks(messages: Sequence[MessageT]) -> Iterator[Sequence[MessageT]]:
    """Split a list so that no response is too large; an empty list is one empty chunk."""
    chunk: list[MessageT] = []
    size = 0
    for message in messages:
        length = message.ByteSize()
        if chunk and size + length > MAX_CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += length
    yield chunk


def status_to_proto(app: ConsensusApp) -> pb.GetStatusResponse:
    """Return one member's view of the group."""
    status, machine, now = app.loop.status(), app.loop.machine, app.loop.read_clock()
    valid_ns = max(0, app.loop.lease.valid_until - now) if app.loop.leads_with_lease() else 0
    return pb.GetStatusResponse(
        member=convert.member_to_proto(app.member),
        role=_ROLES[status.role],
        term=status.term,
        leader=convert.member_to_proto(app.members.get(status.leader)),
        peers=list(_peers(app, status, now)),
        commit_index=status.commit_index,
        applied_index=machine.mark.applied_index,
        last_index=status.last_index,
        leader_lease_valid_for=convert.nanoseconds_to_proto(valid_ns) if valid_ns else None,
        lease_seq=app.loop.lease.seq,
        quorum_have=status.quorum_have,
        quorum_need=status.quorum_need,
        blockers=_blockers(app, status),
        leases=[convert.lease_to_proto(lease) for lease in machine.leases.live()],
        state_digest=machine.mark.digest.hex(),
    )


def _peers(app: ConsensusApp, status: CoreStatus, now: int) -> Iterator[pb.PeerStatus]:
    progress = {peer.member_id: peer for peer in status.peers}
    for member in app.members.values():
        peer = progress.get(member.member_id)
        heard_at = None if peer is None else peer.heard_at
        if member.member_id == status.member_id:
            heard_at = now
        elif member.member_id == status.leader:
            heard_at = status.leader_contact_at
        yield pb.PeerStatus(
            member=convert.member_to_proto(member),
            match_index=0 if peer is None else peer.match_index,
            last_contact=None if heard_at is None else convert.nanoseconds_to_proto(max(0, now - heard_at)),
        )


def _blockers(app: ConsensusApp, status: CoreStatus) -> Iterable[pb.Blocker.ValueType]:
    health = app.loop.watch.health
    conditions = (
        (status.quorum_have < status.quorum_need, pb.BLOCKER_NO_QUORUM),
        (health is StoreHealth.STALLED, pb.BLOCKER_STORE_STALLED),
        (health in (StoreHealth.FULL, StoreHealth.FAILED), pb.BLOCKER_STORE_FAILED),
        (app.leader() is None, pb.BLOCKER_NO_LEADER),
    )
    return [blocker for holds, blocker in conditions if holds]
