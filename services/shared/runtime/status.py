"""Domain errors as `google.rpc.Status`: one table per service, one `ErrorInfo` per error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.shared.runtime import errors


def _no_details(_: errors.DomainError) -> tuple[Message, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """How one class of errors is told to a caller.

    Attributes:
        code: The gRPC status code.
        reason: UPPER_SNAKE_CASE; together with the service's domain what programs decide upon.
        details: Further detail messages, made from the error.
    """

    code: grpc.StatusCode
    reason: str
    details: Callable[[errors.DomainError], tuple[Message, ...]] = _no_details


ErrorTable = Mapping[type[errors.DomainError], ErrorRule]


def _bad_request(error: errors.DomainError) -> tuple[Message, ...]:
    assert isinstance(error, errors.InvalidField)
    violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.problem)
    return (error_details_pb2.BadRequest(field_violations=[violation]),)


def _retry_info(error: errors.DomainError) -> tuple[Message, ...]:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(getattr(error, "retry_after_ms", 500))
    return (error_details_pb2.RetryInfo(retry_delay=delay),)


COMMON_ERRORS: Final[ErrorTable] = {
    errors.InvalidField: ErrorRule(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", _bad_request),
    errors.InstanceUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "INSTANCE_UNKNOWN"),
    errors.ClusterUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "CLUSTER_UNKNOWN"),
    errors.NotLeader: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "NOT_LEADER"),
    errors.NoLeader: ErrorRule(grpc.StatusCode.UNAVAILABLE, "NO_LEADER", _retry_info),
    errors.StaleFencingToken: ErrorRule(grpc.StatusCode.ABORTED, "STALE_FENCING_TOKEN"),
    errors.DependencyUnavailable: ErrorRule(grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", _retry_info),
    errors.WatcherTooSlow: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW"),
    errors.RevisionCompacted: ErrorRule(grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED"),
}


def to_status(error: errors.DomainError, domain: str, table: ErrorTable) -> status_pb2.Status:
    """Return the status a caller gets for an error, with exactly one `ErrorInfo`.

    Args:
        error: What happened; its class, or a base of it, is a key of `table` or of `COMMON_ERRORS`.
        domain: The service, for example `recovery.primacy`.
        table: The service's own rules; they win over the common ones.

    Raises:
        KeyError: No rule for this class: a mistake of ours, shown as INTERNAL by the interceptor.
    """
    rule = next(rules[kind] for rules in (table, COMMON_ERRORS) for kind in type(error).__mro__ if kind in rules)
    info = error_details_pb2.ErrorInfo(reason=rule.reason, domain=domain, metadata=error.facts())
    status = status_pb2.Status(code=rule.code.value[0], message=str(error))
    for detail in (info, *rule.details(error)):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@dataclass(frozen=True, slots=True)
class RemoteError:
    """What a failed call of another service says.

    Attributes:
        code: The gRPC status code.
        reason: `ErrorInfo.reason`; empty when the other side sent none (a broken connection, another program).
        message: For people.
        metadata: `ErrorInfo.metadata`.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str]


def parse_error(error: grpc.aio.AioRpcError) -> RemoteError:
    """Return what a failed call says, by its `ErrorInfo` where there is one."""
    info = error_details_pb2.ErrorInfo()
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # AioRpcError has what it needs.
    except ValueError:
        status = None
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            break
    return RemoteError(error.code(), info.reason, error.details() or "", dict(info.metadata))


_TRANSPORT_ADDRESS: Final = re.compile(r"ipv[46]:%?\S+?: ")


def transport_message(error: grpc.aio.AioRpcError) -> str:
    """Return a short text for a call that failed below the other service, fit for an error or a log."""
    return f"{error.code().name}: {_TRANSPORT_ADDRESS.sub('', error.details() or 'no further details')}"
