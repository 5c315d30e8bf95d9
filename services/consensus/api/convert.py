"""Values of consensus <-> proto messages of the API, both directions, pure.

Requests are parsed here: what goes on from here fits every column of the store.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf import duration_pb2, timestamp_pb2
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.consensus.lease_holders import Validity
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    NoteStop,
    Phase,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
)
from services.consensus.state.directory import Primary
from services.consensus.state.lease_table import Lease
from services.consensus.state.recovery_record import Recovery, Step, Stop
from services.shared.runtime.errors import InvalidField
from services.shared.topology.convert.key import key_from_request
from services.shared.topology.convert.times import duration_from_proto

MAX_DATA_BYTES: Final = 256 * 1024
MAX_TEXT: Final = 255
MAX_SERVER_UUID: Final = 64
MAX_INSTANCE: Final = 263
"""`host:port`, the host of an IPv6 address in brackets."""
MAX_STEPS: Final = 64
MAX_STATEMENT: Final = 1_000
_PHASES: Final = {
    pb.StepRecord.PHASE_INTENT: Phase.INTENT,
    pb.StepRecord.PHASE_DONE: Phase.DONE,
    pb.StepRecord.PHASE_FAILED: Phase.FAILED,
    pb.StepRecord.PHASE_UNKNOWN: Phase.UNKNOWN,
}
_PHASES_OUT: Final = {phase: value for value, phase in _PHASES.items()}
_MILLISECOND: Final = timedelta(milliseconds=1)
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID in its usual form."""
_MAX_SECONDS: Final = 32_503_680_000
"""Unix time of the year 3000."""


# Requests.


def uuid_from_request(text: str, field: str) -> str:
    """Return a UUID in its usual form.

    Raises:
        InvalidField: It is none.
    """
    if _UUID.fullmatch(text):
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidField(field, f"{text[:64]!r} is not a UUID") from None


def optional_uuid_from_request(text: str, field: str) -> str:
    """Return a UUID in its usual form, or the empty text."""
    return uuid_from_request(text, field) if text else ""


def text_from_request(text: str, field: str, *, required: bool = True, longest: int = MAX_TEXT) -> str:
    """Return a short text.

    Raises:
        InvalidField: It is empty though required, longer than `longest` characters, or padded.
    """
    if required and not text:
        raise InvalidField(field, "is required")
    if len(text) > longest:
        raise InvalidField(field, f"is longer than {longest} characters")
    if text != text.strip():  # Databases disagree whether a space at the end of a key counts.
        raise InvalidField(field, "starts or ends with white space")
    return text


def token_from_request(token: int, field: str = "fencing_token") -> int:
    """Return a fencing token.

    Raises:
        InvalidField: It is none that was ever granted.
    """
    if not 0 < token < 2**63:
        raise InvalidField(field, "is required: the token of the lease")
    return token


def _index_from_request(index: int, field: str) -> int:
    if index >= 2**63:
        raise InvalidField(field, "is no log index")
    return index


def _data_from_request(data: bytes, field: str) -> bytes:
    if len(data) > MAX_DATA_BYTES:
        raise InvalidField(field, f"is longer than {MAX_DATA_BYTES} bytes")
    return data


def duration_from_request(duration: duration_pb2.Duration, field: str) -> timedelta:
    """Return a span.

    Raises:
        InvalidField: It is negative.
    """
    span = duration_from_proto(duration)
    if span < timedelta():
        raise InvalidField(field, "is negative")
    return span


def _milliseconds(duration: duration_pb2.Duration, field: str) -> int:
    return round(duration_from_request(duration, field) / _MILLISECOND)


def publish_from_proto(request: pb.PublishPrimaryRequest) -> PublishPrimary:
    """Return the command of a request."""
    endpoint = key_from_request(request.endpoint, "endpoint")
    return PublishPrimary(
        request_id=uuid_from_request(request.request_id, "request_id"),
        fencing_token=token_from_request(request.fencing_token),
        cluster_id=uuid_from_request(request.cluster_id, "cluster_id"),
        alias=text_from_request(request.alias, "alias", required=False),
        host=endpoint.host,
        port=endpoint.port,
        server_uuid=text_from_request(request.server_uuid, "server_uuid", required=False, longest=MAX_SERVER_UUID),
        recovery_id=optional_uuid_from_request(request.recovery_id, "recovery_id"),
    )


def register_from_proto(request: pb.RegisterRecoveryRequest) -> RegisterRecovery:
    """Return the command of a request."""
    return RegisterRecovery(
        recovery_id=uuid_from_request(request.recovery_id, "recovery_id"),
        fencing_token=token_from_request(request.fencing_token),
        cluster_id=uuid_from_request(request.cluster_id, "cluster_id"),
        failed_instance=text_from_request(request.failed_instance, "failed_instance"),
        data=_data_from_request(request.data, "data"),
        block_period_ms=_milliseconds(request.block_period, "block_period"),
        steps=_steps_from_request(request.steps, ["steps"] * len(request.steps)),
        automatic=request.automatic,
        policy_revision=_index_from_request(request.policy_revision, "policy_revision"),
    )


def adopt_from_proto(request: pb.AdoptRecoveryRequest) -> AdoptRecovery:
    """Return the command of a request."""
    recovery_id = uuid_from_request(request.recovery_id, "recovery_id")
    return AdoptRecovery(recovery_id, token_from_request(request.fencing_token))


def record_steps_from_proto(request: pb.RecordStepRequest) -> RecordSteps:
    """Return the command of a request."""
    fields = ["step", *["more_steps"] * len(request.more_steps)]
    return RecordSteps(
        recovery_id=uuid_from_request(request.recovery_id, "recovery_id"),
        fencing_token=token_from_request(request.fencing_token),
        steps=_steps_from_request((request.step, *request.more_steps), fields),
        recovery_data=_data_from_request(request.recovery_data, "recovery_data"),
    )


def close_from_proto(request: pb.CloseRecoveryRequest) -> CloseRecovery:
    """Return the command of a request."""
    return CloseRecovery(
        recovery_id=uuid_from_request(request.recovery_id, "recovery_id"),
        fencing_token=token_from_request(request.fencing_token),
        data=_data_from_request(request.data, "data"),
        successful=request.successful,
    )


def note_stop_from_proto(request: pb.NoteStopRequest) -> NoteStop:
    """Return the command of a request."""
    stop = request.stop
    if stop.step < 1:
        raise InvalidField("stop.step", "is required: steps count from 1")
    if not 0 <= stop.stop_time.seconds < _MAX_SECONDS:
        raise InvalidField("stop.stop_time", "is not a time after 1970 and before 3000")
    return NoteStop(
        recovery_id=uuid_from_request(request.recovery_id, "recovery_id"),
        fencing_token=token_from_request(stop.fencing_token, "stop.fencing_token"),
        step=stop.step,
        statement=text_from_request(stop.statement, "stop.statement", required=False, longest=MAX_STATEMENT),
        outcome_known=stop.outcome_known,
        stop_ms=stop.stop_time.ToMilliseconds(),
    )


def _steps_from_request(steps: Sequence[pb.StepRecord], fields: Sequence[str]) -> tuple[StepWrite, ...]:
    if len(steps) > MAX_STEPS:
        raise InvalidField(fields[-1], f"at most {MAX_STEPS} in one request")
    if len({step.number for step in steps}) != len(steps):
        raise InvalidField(f"{fields[-1]}.number", "is used twice")
    return tuple(_step_from_request(step, field) for step, field in zip(steps, fields, strict=True))


def _step_from_request(step: pb.StepRecord, field: str) -> StepWrite:
    if step.number < 1:
        raise InvalidField(f"{field}.number", "is required: steps count from 1")
    phase = _PHASES.get(step.phase)
    if phase is None:
        raise InvalidField(f"{field}.phase", "is required")
    hold_ms = _milliseconds(step.hold, f"{field}.hold") if step.HasField("hold") else None
    data = _data_from_request(step.data, f"{field}.data")
    instance = text_from_request(step.instance, f"{field}.instance", required=False, longest=MAX_INSTANCE)
    return StepWrite(step.number, int(phase), hold_ms, data, instance)


# Responses.


def lease_to_proto(lease: Lease) -> pb.Lease:
    """Return a grant."""
    return pb.Lease(
        name=lease.name,
        member_id=lease.member_id,
        session_id=lease.session_id,
        fencing_token=lease.fencing_token,
    )


def validity_to_proto(validity: Validity, boot_id: str) -> pb.LeaseValidity:
    """Return for how long a lease may be relied upon."""
    return pb.LeaseValidity(
        lease_seq=validity.lease_seq,
        valid_until_boottime_ns=validity.valid_until_ns,
        boot_id=boot_id,
        valid_for=nanoseconds_to_proto(validity.remaining_ns),
    )


def primary_to_proto(primary: Primary) -> pb.Primary:
    """Return an entry of the directory."""
    return pb.Primary(
        cluster_id=primary.cluster_id,
        alias=primary.alias,
        endpoint=topology_pb2.Endpoint(host=primary.host, port=primary.port),
        server_uuid=primary.server_uuid,
        epoch=primary.epoch,
        publish_time=milliseconds_to_time(primary.publish_ms),
        recovery_id=primary.recovery_id,
        former=[
            pb.FormerPrimary(
                endpoint=topology_pb2.Endpoint(host=former.host, port=former.port),
                server_uuid=former.server_uuid,
                epoch=former.epoch,
            )
            for former in primary.former
        ],
    )


def recovery_to_proto(recovery: Recovery) -> pb.RecoveryRecord:
    """Return a record with its steps."""
    return pb.RecoveryRecord(
        recovery_id=recovery.recovery_id,
        cluster_id=recovery.cluster_id,
        failed_instance=recovery.failed_instance,
        fencing_token=recovery.fencing_token,
        open=recovery.is_open,
        register_time=milliseconds_to_time(recovery.register_ms),
        close_time=None if recovery.close_ms is None else milliseconds_to_time(recovery.close_ms),
        data=recovery.data,
        steps=[_step_to_proto(step) for step in recovery.steps],
        log_index=recovery.log_index,
        stops=[_stop_to_proto(stop) for stop in recovery.stops],
    )


def _stop_to_proto(stop: Stop) -> pb.Stop:
    return pb.Stop(
        fencing_token=stop.fencing_token,
        step=stop.step,
        statement=stop.statement,
        outcome_known=stop.outcome_known,
        stop_time=milliseconds_to_time(stop.stop_ms),
    )


def _step_to_proto(step: Step) -> pb.StepRecord:
    return pb.StepRecord(
        number=step.number,
        phase=_PHASES_OUT[step.phase],
        fencing_token=step.fencing_token,
        hold=None if step.hold_ms is None else nanoseconds_to_proto(step.hold_ms * 1_000_000),
        data=step.data,
        intent_time=milliseconds_to_time(step.intent_ms),
        end_time=None if step.end_ms is None else milliseconds_to_time(step.end_ms),
        instance=step.instance,
    )


def milliseconds_to_time(unix_ms: int) -> timestamp_pb2.Timestamp:
    """Return the instant of Unix milliseconds."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(unix_ms / 1000, UTC))
    return stamp


def nanoseconds_to_proto(nanoseconds: int) -> duration_pb2.Duration:
    """Return a span."""
    return duration_pb2.Duration(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)
