"""`JournalService.Write`: many writes in one stream, answered in whatever order they end (P6).

Each write is carried out as the single call of its kind would be, and forwarded like one; a refusal is an answer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from google.rpc import code_pb2, status_pb2
from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.wire.answers import AnswerStream
from services.consensus.wire.forward import Forwarded, Forwarder, MethodTable
from services.shared.runtime.errors import DomainError, InvalidField, NotLeader
from services.shared.runtime.status import ErrorTable, to_status

log = logging.getLogger(__name__)

MAX_MORE: Final = 1_024
"""Writes in one message beyond the first."""
_METHODS: Final = {
    "register_recovery": "/primacy.consensus.v1.JournalService/RegisterRecovery",
    "adopt_recovery": "/primacy.consensus.v1.JournalService/AdoptRecovery",
    "record_step": "/primacy.consensus.v1.JournalService/RecordStep",
    "close_recovery": "/primacy.consensus.v1.JournalService/CloseRecovery",
    "publish_primary": "/primacy.consensus.v1.RegistryService/PublishPrimary",
}


class WriteDesk:
    """Carries out what comes in streams of writes."""

    def __init__(
        self, methods: MethodTable, forwarder: Forwarder, domain: str, table: ErrorTable, *, within_s: float
    ) -> None:
        """Take what carries out a write.

        Args:
            methods: This member's own.
            forwarder: To the leader, when this member does not lead.
            domain: `ErrorInfo.domain` of refusals.
            table: How domain errors are told.
            within_s: Longest wait for a forwarded write.
        """
        self._methods = methods
        self._forwarder = forwarder
        self._domain = domain
        self._table = table
        self._within_s = within_s

    async def serve(
        self, requests: AsyncIterator[pb.WriteRequest], *, forward: bool
    ) -> AsyncIterator[pb.WriteResponse]:
        """Answer one stream until it ends.

        Args:
            requests: Writes.
            forward: Carry to the leader what this member may not write.

        Raises:
            InvalidField: A message holds more writes than it may.
        """
        answer = self._answer_anywhere if forward else self._answer_here
        stream = AnswerStream(_writes_of, answer)
        async for answers in stream.serve(requests):
            answers[0].more.extend(answers[1:])
            yield answers[0]

    async def _answer_here(self, write: pb.WriteRequest) -> pb.WriteResponse:
        return await self._answer(write, forward=False)

    async def _answer_anywhere(self, write: pb.WriteRequest) -> pb.WriteResponse:
        return await self._answer(write, forward=True)

    async def _answer(self, write: pb.WriteRequest, *, forward: bool) -> pb.WriteResponse:
        kind = write.WhichOneof("request") or ""
        response = pb.WriteResponse(sequence=write.sequence)
        try:
            await self._carry_out(kind, write, response, forward=forward)
        except DomainError as error:
            response.error = to_status(error, self._domain, self._table).SerializeToString()
        except Forwarded as error:
            response.error = error.status.SerializeToString()
        except Exception:
            log.exception("rpc.failed", extra={"method": kind})
            status = status_pb2.Status(
                code=code_pb2.INTERNAL, message="internal error; the service's log has the details"
            )
            response.error = status.SerializeToString()
        return response

    async def _carry_out(self, kind: str, write: pb.WriteRequest, response: pb.WriteResponse, *, forward: bool) -> None:
        method = _METHODS.get(kind)
        if method is None:
            raise InvalidField("request", "is required")
        request: Any = getattr(write, kind)
        answer: Any = getattr(response, kind)
        try:
            answer.CopyFrom(await self._methods.carry_out(method, request))
        except NotLeader:
            if not forward:
                raise
            data = request.SerializeToString()
            answer.MergeFromString(await self._forwarder.call(method, data, self._within_s))
            answer.SetInParent()


def _writes_of(message: pb.WriteRequest) -> Iterable[pb.WriteRequest]:
    if len(message.more) > MAX_MORE:
        raise InvalidField("more", f"at most {MAX_MORE} in one message")
    yield message
    yield from message.more
