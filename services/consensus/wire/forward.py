"""Calls that only the leader can answer, carried to it by the member that took them (P4).

One stream per member to the leader, whatever is pending in one message. The leader answers with its own servicer's
method; it never forwards on. A call that certainly did not happen here, because this member does not lead, is safe to
carry elsewhere; one that was lost on the way has an unknown outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, status_pb2
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.errors import OutcomeUnknown, Overloaded
from services.consensus.wire.answers import MAX_MERGED, AnswerStream
from services.consensus.wire.snapshot_transfer import Route
from services.shared.runtime.errors import DomainError, NoLeader
from services.shared.runtime.status import ErrorTable, to_status

log = logging.getLogger(__name__)

NEVER: Final = ("primacy-forward", "never")
"""Metadata of a call that is to be refused with `NOT_LEADER` rather than carried to the leader."""
MAX_PENDING: Final = 4_096
MAX_MESSAGE_BYTES: Final = 1024 * 1024


class Forwarded(Exception):
    """The leader refused a forwarded call.

    Attributes:
        status: What it said.
    """

    def __init__(self, status: status_pb2.Status) -> None:
        """Take what the leader said."""
        super().__init__(status.message)
        self.status = status


class MethodTable:
    """The unary methods of this process, by full name; servicers are added to `as_server` as to a server."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    @property
    def as_server(self) -> Any:
        """This table, for the generated `add_…Servicer_to_server`."""
        return self

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Take nothing: the next method gets the same in a usable form."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Take the methods of a service."""
        for name, handler in handlers.items():
            if handler.unary_unary is not None:
                self._handlers[f"/{service}/{name}"] = handler

    async def carry_out(self, method: str, request: Any) -> Any:
        """Call a method and return its response.

        Raises:
            KeyError: There is no such method.
            DomainError: It was refused.
        """
        return await self._handlers[method].unary_unary(request, _CONTEXT)

    async def carry_out_serialised(self, method: str, request: bytes) -> bytes:
        """As `carry_out`, both in serialised form."""
        handler = self._handlers[method]
        response = await handler.unary_unary(handler.request_deserializer(request), _CONTEXT)
        return bytes(handler.response_serializer(response))


class ForwardedContext:
    """What a servicer's method may ask of a call that came from a member."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata: it is not to be forwarded again."""
        return (NEVER,)


_CONTEXT: Final = ForwardedContext()


class ForwardDesk:
    """The leader's side: answers what members forward."""

    def __init__(
        self, methods: MethodTable, read_index: Callable[[float], Awaitable[int]], domain: str, table: ErrorTable
    ) -> None:
        """Take what answers.

        Args:
            methods: What may be called.
            read_index: Returns the index of a linearizable read, within so many seconds.
            domain: `ErrorInfo.domain` of refusals.
            table: How domain errors are told.
        """
        self._methods = methods
        self._read_index = read_index
        self._domain = domain
        self._table = table

    async def serve(self, requests: AsyncIterator[pb.ForwardRequest]) -> AsyncIterator[pb.ForwardResponse]:
        """Answer one member's calls until its stream ends."""
        stream = AnswerStream(_calls_of, self._answer)
        async for answers in stream.serve(requests):
            answers[0].more.extend(answers[1:])
            yield answers[0]

    async def _answer(self, call: pb.ForwardRequest) -> pb.ForwardResponse:
        try:
            if call.method:
                return pb.ForwardResponse(
                    sequence=call.sequence, response=await self._methods.carry_out_serialised(call.method, call.request)
                )
            read_index = await self._read_index(call.timeout.ToNanoseconds() / 1e9)
            return pb.ForwardResponse(sequence=call.sequence, read_index=read_index)
        except DomainError as error:
            status = to_status(error, self._domain, self._table)
        except KeyError:
            status = status_pb2.Status(code=code_pb2.UNIMPLEMENTED, message=f"{call.method} is not known here")
        except Exception:
            log.exception("rpc.failed", extra={"method": call.method})
            status = status_pb2.Status(
                code=code_pb2.INTERNAL, message="internal error; the service's log has the details"
            )
        return pb.ForwardResponse(sequence=call.sequence, error=status.SerializeToString())


def _calls_of(message: pb.ForwardRequest) -> Iterable[pb.ForwardRequest]:
    yield message
    yield from message.more


class _Stream:
    """One stream to one leader."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._pending: list[pb.ForwardRequest] = []
        self._filled = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[pb.ForwardResponse]] = {}
        self._number = 0
        self._over = False
        self.task = asyncio.ensure_future(self._run())

    async def ask(self, call: pb.ForwardRequest, timeout_s: float) -> pb.ForwardResponse:
        if self._over:
            raise NoLeader
        if len(self._waiting) >= MAX_PENDING:
            raise Overloaded
        self._number += 1
        call.sequence = number = self._number
        future: asyncio.Future[pb.ForwardResponse] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._pending.append(call)
        self._filled.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            if call not in self._pending:
                raise OutcomeUnknown from None
            self._pending.remove(call)
            raise NoLeader from None
        finally:
            self._waiting.pop(number, None)

    async def _run(self) -> None:
        try:
            call: Any = pb_grpc.RaftServiceStub(self._route.channel).Forward()
            await call.write(pb.ForwardRequest(hello=self._route.hello))
            writer = asyncio.ensure_future(self._write(call))
            try:
                while (message := await call.read()) is not grpc.aio.EOF:
                    for answer in (message, *message.more):
                        self._answered(answer)
            finally:
                writer.cancel()
                await asyncio.wait((writer,))
                if not writer.cancelled():
                    writer.exception()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            log.info("consensus.forward_broke", extra={"problem": str(error)[:200]})
        finally:
            self._over = True
            self._lose()
            await self._route.channel.close()

    async def _write(self, call: Any) -> None:
        while True:
            while not self._pending:
                self._filled.clear()
                await self._filled.wait()
            await call.write(self._take())

    def _take(self) -> pb.ForwardRequest:
        """Return what is pending as one message, as long as it is no larger than it may be."""
        count, size = 0, 0
        for call in self._pending[:MAX_MERGED]:
            size += len(call.request)
            if count and size > MAX_MESSAGE_BYTES:
                break
            count += 1
        taken, self._pending = self._pending[:count], self._pending[count:]
        taken[0].more.extend(taken[1:])
        return taken[0]

    def _answered(self, answer: pb.ForwardResponse) -> None:
        future = self._waiting.get(answer.sequence)
        if future is not None and not future.done():
            future.set_result(answer)

    def _lose(self) -> None:
        """Tell everybody who waits: what was not sent did not happen, what was sent may."""
        unsent = {call.sequence for call in self._pending}
        for number, future in self._waiting.items():
            if not future.done():
                future.set_exception(NoLeader() if number in unsent else OutcomeUnknown())


class Forwarder:
    """The follower's side: carries calls to the leader it knows."""

    def __init__(self, leader: Callable[[], int], route: Callable[[int], Route | None]) -> None:
        """Begin without a stream.

        Args:
            leader: Returns the member that leads, as far as this one knows.
            route: Opens a way to a member; None = it is not known.
        """
        self._leader = leader
        self._route = route
        self._streams: dict[int, _Stream] = {}

    async def call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """Have the leader answer a call; return the serialised response.

        Raises:
            Forwarded: The leader refused it.
            NoLeader: It certainly did not happen: nobody to carry it to.
            OutcomeUnknown: It may or may not happen.
        """
        return (await self._ask(pb.ForwardRequest(method=method, request=request), timeout_s)).response

    async def read_index(self, timeout_s: float) -> int:
        """Return the index up to which this member must have applied to answer a linearizable read (12).

        Raises:
            NoLeader: Nobody to ask, or no answer: ask again.
        """
        try:
            return (await self._ask(pb.ForwardRequest(), timeout_s)).read_index
        except (OutcomeUnknown, Forwarded):
            raise NoLeader from None

    async def close(self) -> None:
        """End all streams."""
        tasks = [stream.task for stream in self._streams.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, call: pb.ForwardRequest, timeout_s: float) -> pb.ForwardResponse:
        call.timeout.CopyFrom(_duration(timeout_s))
        answer = await self._stream(self._leader()).ask(call, timeout_s)
        if answer.error:
            raise Forwarded(status_pb2.Status.FromString(answer.error))
        return answer

    def _stream(self, leader: int) -> _Stream:
        stream = self._streams.get(leader)
        if stream is not None:
            return stream
        route = self._route(leader)
        if route is None:
            raise NoLeader
        self._streams[leader] = stream = _Stream(route)
        stream.task.add_done_callback(lambda _: self._forget(leader, stream))
        return stream

    def _forget(self, leader: int, stream: _Stream) -> None:
        if self._streams.get(leader) is stream:
            del self._streams[leader]


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
