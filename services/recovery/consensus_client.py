"""Speaks with the consensus of this node: journal, directory, lease. Its errors become ours here."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeVar

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.recovery.convert import (
    lease_from_proto,
    primary_from_proto,
    record_from_proto,
    recovery_to_proto,
    step_record_to_proto,
    stop_to_proto,
)
from services.recovery.forbidden import forbidden_by
from services.recovery.lease import LeaseState
from services.recovery.model import (
    AUTOMATIC,
    AntiFlapping,
    Primary,
    Record,
    Recovery,
    RecoveryOpen,
    RecoveryUnknown,
    Step,
    Stop,
)
from services.recovery.ports import JournalRefused, JournalUnavailable, LeaseRefused
from services.shared.runtime.errors import StaleFencingToken
from services.shared.runtime.status import RemoteError, parse_error
from services.shared.topology.convert.key import key_to_proto
from services.shared.topology.convert.times import duration_to_proto

T = TypeVar("T")

LEASE: Final = "recovery"
"""Name of the lease under which servers are changed."""

_WRITE_TIMEOUT_S: Final = 2.0
_HELD: Final = frozenset({pb.KeepAliveResponse.STATE_LIVE, pb.KeepAliveResponse.STATE_DRAINING})
"""Before leadership is handed over the running step ends in peace; consensus takes no intent for a further one."""
_PASSING: Final = frozenset({"NOT_LEADER", "NO_LEADER", "OVERLOADED", "OUTCOME_UNKNOWN"})
_PASSING_CODES: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
"""What may be gone a moment later; the lease says for how long it is worth to try again."""


class ConsensusClient:
    """The journal, the directory and the lease of the group, through the local member."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.group = pb_grpc.GroupServiceStub(channel)
        self.registry = pb_grpc.RegistryServiceStub(channel)
        self.records = pb_grpc.JournalServiceStub(channel)
        self.leases = pb_grpc.LeaseServiceStub(channel)

    async def register(self, recovery: Recovery, steps: Sequence[Step], block_period: timedelta) -> Record:
        """Open a recovery with its first steps, in one entry; see `ports.Journal`."""
        request = pb.RegisterRecoveryRequest(
            recovery_id=recovery.recovery_id,
            fencing_token=recovery.fencing_token,
            cluster_id=recovery.cluster_id,
            failed_instance=str(recovery.failed),
            data=_data(recovery),
            block_period=duration_to_proto(block_period),
            steps=[step_record_to_proto(step) for step in steps],
            automatic=recovery.started_by == AUTOMATIC,
        )
        response = await _call(recovery, self.records.RegisterRecovery(request, timeout=_WRITE_TIMEOUT_S))
        return record_from_proto(response.record)

    async def adopt(self, recovery_id: str, fencing_token: int) -> Record:
        """Take over an open recovery with a newer token; see `ports.Journal`."""
        request = pb.AdoptRecoveryRequest(recovery_id=recovery_id, fencing_token=fencing_token)
        response = await _call(recovery_id, self.records.AdoptRecovery(request, timeout=_WRITE_TIMEOUT_S))
        return record_from_proto(response.record)

    async def record(self, recovery: Recovery, steps: Sequence[Step]) -> None:
        """Write steps, and the recovery without its steps, in one entry; see `ports.Journal`."""
        records = [step_record_to_proto(step) for step in steps]
        request = pb.RecordStepRequest(
            recovery_id=recovery.recovery_id,
            fencing_token=recovery.fencing_token,
            step=records[0],
            more_steps=records[1:],
            recovery_data=_data(recovery),
        )
        response = await _call(recovery, self.records.RecordStep(request, timeout=_WRITE_TIMEOUT_S))
        if response.step_count != len(records):  # A member of an older version: an intent would be missing.
            raise JournalUnavailable("consensus wrote one step of several; bring all members to the same version")

    async def close(self, recovery: Recovery) -> Record:
        """End a recovery; see `ports.Journal`."""
        request = pb.CloseRecoveryRequest(
            recovery_id=recovery.recovery_id,
            fencing_token=recovery.fencing_token,
            data=_data(recovery),
            successful=recovery.state.promoted and recovery.counts_as_promotion,
        )
        response = await _call(recovery, self.records.CloseRecovery(request, timeout=_WRITE_TIMEOUT_S))
        return record_from_proto(response.record)

    async def note_stop(self, stop: Stop) -> None:
        """Note where an executor stopped; see `stop_notes.StopJournal`."""
        request = pb.NoteStopRequest(recovery_id=stop.recovery_id, stop=stop_to_proto(stop))
        await _call(stop.recovery_id, self.records.NoteStop(request, timeout=_WRITE_TIMEOUT_S))

    async def get(self, recovery_id: str) -> Record:
        """Return one record; see `ports.Journal`."""
        request = pb.GetRecordRequest(recovery_id=recovery_id)
        response = await _call(recovery_id, self.records.GetRecord(request, timeout=_WRITE_TIMEOUT_S))
        return record_from_proto(response.record)

    async def publish(self, request_id: str, fencing_token: int, primary: Primary, recovery_id: str) -> Primary:
        """Write the primary of a cluster; see `ports.Directory`."""
        request = pb.PublishPrimaryRequest(
            request_id=request_id,
            fencing_token=fencing_token,
            cluster_id=primary.cluster_id,
            alias=primary.alias,
            endpoint=key_to_proto(primary.endpoint),
            server_uuid=primary.server_uuid,
            recovery_id=recovery_id,
        )
        response = await _call(recovery_id, self.registry.PublishPrimary(request, timeout=_WRITE_TIMEOUT_S))
        return primary_from_proto(response.primary)

    async def acquire(self, session_id: str) -> LeaseState:
        """Acquire the lease for a session.

        Raises:
            LeaseRefused: Another session holds it, this member does not lead, or nothing was answered.
        """
        request = pb.AcquireRequest(name=LEASE, session_id=session_id)
        try:
            response = await self.leases.Acquire(request, timeout=_WRITE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            remote = parse_error(error)
            raise LeaseRefused(remote.reason or remote.code.name, remote.message) from None
        return lease_from_proto(response.lease.fencing_token, response.validity)

    def keep_alive(self) -> Any:
        """Begin the stream that keeps a lease alive."""
        return self.leases.KeepAlive()

    async def release(self, session_id: str, fencing_token: int) -> None:
        """Give the lease back, if consensus still answers."""
        request = pb.ReleaseRequest(name=LEASE, session_id=session_id, fencing_token=fencing_token)
        try:
            await self.leases.Release(request, timeout=_WRITE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise LeaseRefused(parse_error(error).reason, error.details() or "") from None


def keep_alive_message(session_id: str, fencing_token: int, *, able: bool) -> pb.KeepAliveRequest:
    """Return the message that keeps a lease alive, and says whether this process could do its work (section 8.3)."""
    return pb.KeepAliveRequest(name=LEASE, session_id=session_id, fencing_token=fencing_token, not_ready=not able)


def presence_message(session_id: str, *, able: bool) -> pb.KeepAliveRequest:
    """Return the message that says that this process is there, and whether it could do its work."""
    return pb.KeepAliveRequest(name=LEASE, session_id=session_id, not_ready=not able)


def lease_told(token: int, message: pb.KeepAliveResponse) -> LeaseState | None:
    """Return the lease as a message tells it; None = lost."""
    if message.state not in _HELD:
        return None
    draining = message.state == pb.KeepAliveResponse.STATE_DRAINING
    return replace(lease_from_proto(token, message.validity), draining=draining)


def _data(recovery: Recovery) -> bytes:
    return recovery_to_proto(recovery, with_steps=False).SerializeToString()


async def _call(subject: Recovery | str, call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        _raise(subject, parse_error(error))


def _raise(subject: Recovery | str, remote: RemoteError) -> NoReturn:
    facts = remote.metadata
    cluster_id = subject.cluster_id if isinstance(subject, Recovery) else ""
    recovery_id = subject.recovery_id if isinstance(subject, Recovery) else subject
    forbidden = forbidden_by(remote.reason, facts)
    if forbidden is not None:
        raise forbidden
    match remote.reason:
        case "RECOVERY_OPEN":
            raise RecoveryOpen(facts.get("cluster_id", cluster_id), facts.get("recovery_id", ""))
        case "ANTI_FLAPPING":
            raise AntiFlapping(cluster_id)
        case "STALE_FENCING_TOKEN":
            raise StaleFencingToken(int(facts.get("newest", 0)), int(facts.get("offered", 0)))
        case "RECOVERY_UNKNOWN" | "RECOVERY_CLOSED":
            raise RecoveryUnknown(recovery_id)
        case reason if reason in _PASSING or remote.code in _PASSING_CODES:
            raise JournalUnavailable(f"{reason or remote.code.name}: {remote.message}")
        case reason:
            raise JournalRefused(f"{reason or remote.code.name}: {remote.message}")
