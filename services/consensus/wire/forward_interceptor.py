"""Carries calls to the leader in one place: whatever a servicer refuses because this member does not lead (P4).

That refusal is certain: nothing was written. So the same call may be answered by the leader instead. A caller that
follows the leader itself says `primacy-forward: never`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_status import rpc_status

from services.consensus.wire.forward import NEVER, Forwarded, Forwarder
from services.shared.runtime.errors import NotLeader


class ForwardInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the unary methods of some services."""

    def __init__(self, forwarder: Forwarder, services: frozenset[str], within_s: float) -> None:
        """Take what carries calls.

        Args:
            forwarder: To the leader.
            services: Full names of the services whose calls may be carried there.
            within_s: Longest wait for a call without a deadline.
        """
        self._forwarder = forwarder
        self._services = services
        self._within_s = within_s

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        service = method.rpartition("/")[0].lstrip("/")
        if handler is None or handler.unary_unary is None or service not in self._services:
            return handler
        if NEVER in tuple(handler_call_details.invocation_metadata or ()):
            return handler
        serialize = handler.response_serializer
        return handler._replace(
            unary_unary=self._carrying(handler.unary_unary, method),
            response_serializer=lambda response: response if isinstance(response, bytes) else serialize(response),
        )

    def _carrying(self, behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            try:
                return await behaviour(request, context)
            except NotLeader:
                return await self._carry(method, request.SerializeToString(), context)

        return call

    async def _carry(self, method: str, request: bytes, context: Any) -> bytes:
        remaining_s = context.time_remaining()
        within_s = self._within_s if remaining_s is None else min(remaining_s, self._within_s)
        try:
            return await self._forwarder.call(method, request, within_s)
        except Forwarded as refused:
            await context.abort_with_status(rpc_status.to_status(refused.status))
            raise AssertionError("abort does not return") from None
