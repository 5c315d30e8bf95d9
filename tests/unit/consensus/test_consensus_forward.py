"""Calls carried to the leader, streams of writes, and answers that leave together (P4, P6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.api.server import ERRORS
from services.consensus.api.write_stream import WriteDesk
from services.consensus.errors import MemberDoesNotLead, OutcomeUnknown, RecoveryClosed
from services.consensus.wire.answers import MAX_OPEN, AnswerStream
from services.consensus.wire.forward import NEVER, ForwardDesk, Forwarded, Forwarder, MethodTable
from services.consensus.wire.forward_interceptor import ForwardInterceptor
from services.consensus.wire.snapshot_transfer import Route
from services.shared.runtime.errors import InvalidField, NoLeader
from services.shared.runtime.grpc_server import ErrorInterceptor
from tests.support.eventually import eventually

DOMAIN = "consensus.primacy"
RECORD = "/primacy.consensus.v1.JournalService/RecordStep"


# Answers.


async def stream_of(items: Iterable[int]) -> AsyncIterator[int]:
    for item in items:
        yield item


async def test_what_is_ready_leaves_together() -> None:
    gate = asyncio.Event()

    async def answer(call: int) -> int:
        await gate.wait()
        return call

    served = AnswerStream[int, int](lambda message: range(message), answer).serve(stream_of([3, 2]))
    asyncio.get_running_loop().call_soon(gate.set)
    assert [answers async for answers in served] == [[0, 1, 2, 0, 1]]


async def test_slow_call_does_not_hold_others_up() -> None:
    gate = asyncio.Event()

    async def answer(call: int) -> int:
        if call == 1:
            await gate.wait()
        return call

    served = AnswerStream[int, int](lambda message: (message,), answer).serve(stream_of([1, 2, 3]))
    assert await anext(served) == [2, 3]
    gate.set()
    assert await anext(served) == [1]


async def test_caller_with_too_many_open_calls_is_not_read_on() -> None:
    gate, read = asyncio.Event(), [0]

    async def requests() -> AsyncIterator[int]:
        for number in range(3 * MAX_OPEN):
            read[0] += 1
            yield number

    async def answer(call: int) -> int:
        await gate.wait()
        return call

    served = AnswerStream[int, int](lambda message: (message,), answer).serve(requests())
    first = asyncio.ensure_future(anext(served))
    await eventually(lambda: read[0] == MAX_OPEN or None, within=5)
    gate.set()
    count = len(await first)
    async for answers in served:
        count += len(answers)
    assert count == 3 * MAX_OPEN


async def test_abandoned_stream_ends_its_calls() -> None:
    ended = []

    async def answer(call: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(call)
        return call

    served = AnswerStream[int, int](lambda message: (message,), answer).serve(stream_of([1, 2]))
    waiting = asyncio.ensure_future(anext(served))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert sorted(ended) == [1, 2]


# A follower and a leader in this process, over a connection.


def partial(kind: Any, *facts: Any) -> Any:
    """Return a servicer that has only some methods of its service."""
    return kind(*facts)


class Journal(pb_grpc.JournalServiceServicer):
    """Records steps, or refuses as it is told to."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.recorded: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def RecordStep(self, request: pb.RecordStepRequest, context: Any) -> pb.RecordStepResponse:
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.recorded.append(request.step.data)
        return pb.RecordStepResponse(log_index=len(self.recorded), step_count=1)


class RaftSide(pb_grpc.RaftServiceServicer):
    """Serves `Forward` only."""

    def __init__(self, desk: ForwardDesk) -> None:
        self._desk = desk

    async def Forward(
        self, request_iterator: AsyncIterator[pb.ForwardRequest], context: Any
    ) -> AsyncIterator[pb.ForwardResponse]:
        hello = await anext(request_iterator)
        assert hello.hello.member_id == 1
        async for response in self._desk.serve(request_iterator):
            yield response


class Pair:
    """A leader's journal, and a follower that carries calls to it."""

    def __init__(self) -> None:
        self.journal = partial(Journal)
        self.methods = MethodTable()
        pb_grpc.add_JournalServiceServicer_to_server(self.journal, self.methods.as_server)
        self.indexes: list[int | Exception] = []
        self.leader = 2

    async def start(self) -> None:
        self.server = grpc.aio.server()
        raft = partial(RaftSide, ForwardDesk(self.methods, self._read_index, DOMAIN, ERRORS))
        pb_grpc.add_RaftServiceServicer_to_server(raft, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()

        def route(member_id: int) -> Route | None:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}") if member_id == 2 else None
            return None if channel is None else Route(channel, pb.Hello(member_id=1))

        self.forwarder = Forwarder(lambda: self.leader, route)

    async def stop(self) -> None:
        await self.forwarder.close()
        await self.server.stop(None)

    async def _read_index(self, within_s: float) -> int:
        index = self.indexes.pop(0)
        if isinstance(index, Exception):
            raise index
        return index


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Running."""
    made = Pair()
    await made.start()
    yield made
    await made.stop()


def step(data: bytes) -> pb.RecordStepRequest:
    return pb.RecordStepRequest(recovery_id="r", fencing_token=1, step=pb.StepRecord(number=1, data=data))


async def carry(pair: Pair, data: bytes, within_s: float = 5) -> pb.RecordStepResponse:
    response = await pair.forwarder.call(RECORD, step(data).SerializeToString(), within_s)
    return pb.RecordStepResponse.FromString(response)


async def test_call_is_answered_by_the_leader(pair: Pair) -> None:
    answers = await asyncio.gather(*(carry(pair, b"%d" % number) for number in range(50)))
    assert sorted(answer.log_index for answer in answers) == list(range(1, 51))
    assert sorted(pair.journal.recorded) == sorted(b"%d" % number for number in range(50))


async def test_refusal_of_the_leader_comes_back_whole(pair: Pair) -> None:
    pair.journal.refusal = RecoveryClosed("r")
    with pytest.raises(Forwarded) as refused:
        await carry(pair, b"x")
    assert refused.value.status.message == "recovery r is closed"
    assert len(refused.value.status.details) == 1


async def test_mistake_of_the_leader_shows_no_text(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.journal.refusal = RuntimeError("secret")
    with pytest.raises(Forwarded) as refused:
        await carry(pair, b"x")
    assert "secret" not in refused.value.status.message
    assert "rpc.failed" in caplog.text


@pytest.mark.parametrize("method", ["/primacy.consensus.v1.LeaseService/Acquire", "/nonsense", "x"])
async def test_what_is_not_offered_is_not_called(pair: Pair, method: str) -> None:
    with pytest.raises(Forwarded) as refused:
        await pair.forwarder.call(method, b"", 5)
    assert refused.value.status.code == grpc.StatusCode.UNIMPLEMENTED.value[0]


async def test_nobody_to_carry_to_means_that_nothing_happened(pair: Pair) -> None:
    pair.leader = 0
    with pytest.raises(NoLeader):
        await carry(pair, b"x")


async def test_lost_leader_leaves_the_outcome_open(pair: Pair) -> None:
    pair.journal.gate.clear()
    call = asyncio.ensure_future(carry(pair, b"x"))
    waiting = asyncio.ensure_future(carry(pair, b"slow", 0.2))
    with pytest.raises(OutcomeUnknown):
        await waiting
    await pair.server.stop(None)
    with pytest.raises(OutcomeUnknown):
        await call


async def test_stream_is_opened_anew_after_it_broke(pair: Pair) -> None:
    await carry(pair, b"1")
    first = pair.forwarder._streams[2]
    first.task.cancel()
    await asyncio.wait((first.task,))
    await carry(pair, b"2")
    assert pair.journal.recorded == [b"1", b"2"]


async def test_read_index_comes_from_the_leader(pair: Pair) -> None:
    pair.indexes = [17, NoLeader()]
    assert await pair.forwarder.read_index(5) == 17
    with pytest.raises(NoLeader):
        await pair.forwarder.read_index(5)


# The follower's API.


class Follower(pb_grpc.JournalServiceServicer):
    """Refuses everything, because another member leads."""

    def __init__(self, writes: WriteDesk) -> None:
        self.refusal: Exception = MemberDoesNotLead("node2", "n2:50054", "")
        self._writes = writes

    async def RecordStep(self, request: pb.RecordStepRequest, context: Any) -> pb.RecordStepResponse:
        raise self.refusal

    async def Write(
        self, request_iterator: AsyncIterator[pb.WriteRequest], context: Any
    ) -> AsyncIterator[pb.WriteResponse]:
        forward = NEVER not in tuple(context.invocation_metadata() or ())
        async for response in self._writes.serve(request_iterator, forward=forward):
            yield response


@pytest.fixture
async def stub(pair: Pair) -> AsyncIterator[tuple[Any, Follower]]:
    """A caller of a follower's API."""
    own = MethodTable()
    desk = WriteDesk(own, pair.forwarder, DOMAIN, ERRORS, within_s=5)
    follower = partial(Follower, desk)
    services = frozenset({"primacy.consensus.v1.JournalService"})
    server = grpc.aio.server(
        interceptors=(ErrorInterceptor(DOMAIN, ERRORS), ForwardInterceptor(pair.forwarder, services, 5))
    )
    for each in (server, own.as_server):
        pb_grpc.add_JournalServiceServicer_to_server(follower, each)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield pb_grpc.JournalServiceStub(channel), follower
    await server.stop(None)


Caller = tuple[Any, Follower]


async def test_write_on_a_follower_is_carried_to_the_leader(pair: Pair, stub: Caller) -> None:
    assert (await stub[0].RecordStep(step(b"x"), timeout=5)).log_index == 1
    assert pair.journal.recorded == [b"x"]


async def test_caller_that_follows_the_leader_itself_is_refused(pair: Pair, stub: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="node2 does"):
        await stub[0].RecordStep(step(b"x"), timeout=5, metadata=(NEVER,))
    assert pair.journal.recorded == []


async def test_other_refusals_of_a_follower_stand(pair: Pair, stub: Caller) -> None:
    stub[1].refusal = InvalidField("step", "is wrong")
    with pytest.raises(grpc.aio.AioRpcError, match="step: is wrong"):
        await stub[0].RecordStep(step(b"x"), timeout=5)
    assert pair.journal.recorded == []


async def test_leaders_refusal_reaches_the_caller(pair: Pair, stub: Caller) -> None:
    pair.journal.refusal = RecoveryClosed("r")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub[0].RecordStep(step(b"x"), timeout=5)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "recovery r is closed"


async def test_leader_that_has_ceased_to_lead_does_not_pass_the_call_on(pair: Pair, stub: Caller) -> None:
    pair.journal.refusal = MemberDoesNotLead("node3", "n3:50054", "")
    with pytest.raises(grpc.aio.AioRpcError, match="node3 does"):
        await stub[0].RecordStep(step(b"x"), timeout=5)


def write(sequence: int, data: bytes = b"x") -> pb.WriteRequest:
    return pb.WriteRequest(sequence=sequence, record_step=step(data))


async def answers_to(
    call: Any, requests: Iterable[pb.WriteRequest], count: int, refused: Callable[[bytes], str] = lambda _: ""
) -> dict[int, pb.WriteResponse]:
    for request in requests:
        await call.write(request)
    answers: dict[int, pb.WriteResponse] = {}
    async with asyncio.timeout(5):
        while len(answers) < count:
            response = await call.read()
            answers |= {each.sequence: each for each in (response, *response.more)}
    return answers


async def test_stream_of_writes_answers_each(pair: Pair, stub: Caller) -> None:
    call = stub[0].Write()
    many = write(1)
    many.more.extend(write(number, b"%d" % number) for number in range(2, 20))
    empty = pb.WriteRequest(sequence=99)
    answers = await answers_to(call, [many, write(20), empty], 21)
    assert sorted(answers) == [*range(1, 21), 99]
    assert {answers[number].record_step.step_count for number in range(1, 21)} == {1}
    refusal = status_pb2.Status.FromString(answers[99].error)
    assert refusal.message == "request: is required"
    assert len(pair.journal.recorded) == 20
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_refused_write_does_not_end_the_stream(pair: Pair, stub: Caller) -> None:
    call = stub[0].Write()
    pair.journal.refusal = RecoveryClosed("r")
    refused = (await answers_to(call, [write(1)], 1))[1]
    assert status_pb2.Status.FromString(refused.error).message == "recovery r is closed"
    pair.journal.refusal = None
    assert (await answers_to(call, [write(2)], 1))[2].record_step.log_index == 1


async def test_stream_that_is_not_to_be_forwarded_names_the_leader(pair: Pair, stub: Caller) -> None:
    call = stub[0].Write(metadata=(NEVER,))
    refused = (await answers_to(call, [write(1)], 1))[1]
    assert "node2 does" in status_pb2.Status.FromString(refused.error).message
    assert pair.journal.recorded == []


async def test_message_with_too_many_writes_ends_the_stream(stub: Caller) -> None:
    call = stub[0].Write()
    many = write(1)
    many.more.extend(pb.WriteRequest() for _ in range(1025))
    await call.write(many)
    with pytest.raises(grpc.aio.AioRpcError, match="more: at most 1024"):
        await call.read()
