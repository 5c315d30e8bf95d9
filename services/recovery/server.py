"""The servicer of recovery: translates and delegates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.recovery.v1 import recovery_pb2_grpc as pb_grpc

from services.recovery import convert, model
from services.recovery.app import RecoveryApp
from services.shared.runtime.errors import DomainError, InvalidField
from services.shared.runtime.paging import Place, page_of
from services.shared.runtime.status import ErrorRule, ErrorTable
from services.shared.topology.convert.key import key_from_request

SERVICE_NAME: Final = "primacy.recovery.v1.RecoveryService"
ERROR_DOMAIN: Final = "recovery.primacy"


def _refusals(error: DomainError) -> tuple[Message, ...]:
    assert isinstance(error, model.NoPromotionCandidate)
    violations = [
        error_details_pb2.PreconditionFailure.Violation(type="PROMOTION_CANDIDATE", subject=key, description=reason)
        for key, reason in sorted(error.refusals.items())
    ]
    return (error_details_pb2.PreconditionFailure(violations=violations),)


ERRORS: Final[ErrorTable] = {
    model.RecoveryUnknown: ErrorRule(grpc.StatusCode.NOT_FOUND, "RECOVERY_UNKNOWN"),
    model.NoActionableFinding: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "NO_ACTIONABLE_FINDING"),
    model.NoPromotionCandidate: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "NO_PROMOTION_CANDIDATE", _refusals),
    model.RecoveryOpen: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_OPEN"),
    model.AntiFlapping: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "ANTI_FLAPPING"),
    model.RecoveryForbidden: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "RECOVERY_FORBIDDEN"),
    model.ObserveOnly: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "POLICY"),
}


class RecoveryServicer(pb_grpc.RecoveryServiceServicer):
    """Plans and carries out failovers."""

    def __init__(self, app: RecoveryApp) -> None:
        self._app = app

    async def Plan(self, request: pb.PlanRequest, context: Any) -> pb.PlanResponse:
        """Plan a recovery and change nothing."""
        target = key_from_request(request.target, "target") if request.HasField("target") else None
        kind = convert.kind_from_proto(request.kind)
        plan = await self._app.plan(key_from_request(request.failed, "failed"), kind, target)
        return pb.PlanResponse(plan=convert.plan_to_proto(plan))

    async def StartRecovery(self, request: pb.StartRecoveryRequest, context: Any) -> pb.StartRecoveryResponse:
        """Start a recovery on request."""
        recovery = await self._app.start(
            key_from_request(request.failed, "failed"),
            convert.request_id_from_proto(request.request_id, "request_id"),
            convert.timeout_from_proto(request),
            request.requested_by,
        )
        return pb.StartRecoveryResponse(recovery=convert.recovery_to_proto(recovery))

    async def GetRecovery(self, request: pb.GetRecoveryRequest, context: Any) -> pb.GetRecoveryResponse:
        """Return one recovery."""
        recovery = self._app.recovery(_required_id(request.recovery_id))
        return pb.GetRecoveryResponse(recovery=convert.recovery_to_proto(recovery))

    async def ListRecoveries(self, request: pb.ListRecoveriesRequest, context: Any) -> pb.ListRecoveriesResponse:
        """List recoveries, newest first."""
        found = self._app.recoveries(request.cluster)
        page, following = page_of(found, _newest_first, request.page_size, request.page_token)
        recoveries = [convert.recovery_to_proto(each) for each in page]
        return pb.ListRecoveriesResponse(recoveries=recoveries, next_page_token=following)

    async def WatchRecovery(
        self, request: pb.WatchRecoveryRequest, context: Any
    ) -> AsyncIterator[pb.WatchRecoveryResponse]:
        """Stream one recovery until it has ended."""
        async for revision, recovery in self._app.watch(_required_id(request.recovery_id)):
            message = convert.recovery_to_proto(recovery) if recovery is not None else None
            yield pb.WatchRecoveryResponse(revision=revision, recovery=message)

    async def ListBlockers(self, request: pb.ListBlockersRequest, context: Any) -> pb.ListBlockersResponse:
        """List what stands between findings and actions."""
        blocked = self._app.blocked(request.cluster_id)
        return pb.ListBlockersResponse(blocked=[convert.blocked_to_proto(each) for each in blocked])


def _required_id(text: str) -> str:
    if not text:
        raise InvalidField("recovery_id", "is required: the UUID of a recovery")
    return convert.request_id_from_proto(text, "recovery_id")


def _newest_first(recovery: model.Recovery) -> Place:
    began = recovery.start_time
    return -int(began.timestamp() * 1e6) if began is not None else 0, recovery.recovery_id
