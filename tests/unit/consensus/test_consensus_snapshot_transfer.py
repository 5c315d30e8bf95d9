"""Snapshots on the wire: chunks, resumption, rate, refusals (N3)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import google_crc32c
import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.consensus.raft.model import LogMark
from services.consensus.state.snapshot import SnapshotRefused
from services.consensus.wire.greeting import PeerRefused
from services.consensus.wire.snapshot_transfer import CHUNK_BYTES, Pace, Route, SnapshotReceiver, SnapshotSender
from tests.support.eventually import eventually

DATA = bytes(range(256)) * 4096 + b"end"
"""A little more than four chunks."""
MARK = LogMark(7, 2)
FAST = 1 << 30


def header(data: bytes = DATA) -> pb.SnapshotHeader:
    return pb.SnapshotHeader(term=3, index=7, index_term=2, size=len(data), sha256=hashlib.sha256(data).digest())


def chunk(offset: int, data: bytes = DATA) -> pb.InstallSnapshotRequest:
    part = data[offset : offset + CHUNK_BYTES]
    return pb.InstallSnapshotRequest(offset=offset, data=part, crc32c=google_crc32c.value(part))


class Installer:
    """Takes what arrived, and answers as it is told to."""

    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer
        self.installed: list[bytes] = []

    async def __call__(self, data: bytes, sender: int) -> bool:
        self.installed.append(data)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def installer() -> Installer:
    """Installs whatever comes."""
    return Installer()


@pytest.fixture
def receiver(installer: Installer) -> Any:
    """A member that takes snapshots."""
    made = SnapshotReceiver(installer, lambda: 5)
    yield made
    made.close()


async def offer(
    receiver: SnapshotReceiver, chunks: Sequence[pb.InstallSnapshotRequest], data: bytes = DATA
) -> list[pb.InstallSnapshotResponse]:
    async def stream() -> AsyncIterator[pb.InstallSnapshotRequest]:
        for each in chunks:
            yield each

    return [response async for response in receiver.receive(2, header(data), stream())]


async def test_whole_snapshot_is_installed(receiver: SnapshotReceiver, installer: Installer) -> None:
    answers = await offer(receiver, [chunk(offset) for offset in range(0, len(DATA), CHUNK_BYTES)])
    assert installer.installed == [DATA]
    assert [answer.done for answer in answers] == [False] * 6 + [True]
    assert answers[-1].term == 5


async def test_broken_stream_is_resumed_where_it_stopped(receiver: SnapshotReceiver, installer: Installer) -> None:
    await offer(receiver, [chunk(0), chunk(CHUNK_BYTES)])
    rest = [chunk(offset) for offset in range(2 * CHUNK_BYTES, len(DATA), CHUNK_BYTES)]
    answers = await offer(receiver, rest)
    assert answers[0].next_offset == 2 * CHUNK_BYTES
    assert answers[-1].done
    assert installer.installed == [DATA]


async def test_another_snapshot_starts_anew(receiver: SnapshotReceiver, installer: Installer) -> None:
    await offer(receiver, [chunk(0)])
    other = b"other"
    answers = await offer(receiver, [chunk(0, other)], other)
    assert [answer.next_offset for answer in answers] == [0, 5, 5]
    assert installer.installed == [other]


def damaged() -> pb.InstallSnapshotRequest:
    request = chunk(0)
    request.data = request.data[:-1] + b"?"
    return request


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param(damaged(), "damaged", id="bit-flip"),
        pytest.param(chunk(CHUNK_BYTES), "0 is wanted", id="out-of-order"),
        pytest.param(pb.InstallSnapshotRequest(), "chunk of 0 bytes", id="empty"),
        pytest.param(pb.InstallSnapshotRequest(data=bytes(CHUNK_BYTES + 1)), "chunk of 262145", id="too-long"),
    ],
)
async def test_bad_chunk_ends_the_stream_and_is_asked_for_again(
    receiver: SnapshotReceiver, bad: pb.InstallSnapshotRequest, says: str
) -> None:
    with pytest.raises(PeerRefused, match=says):
        await offer(receiver, [bad])
    assert (await offer(receiver, []))[0].next_offset == 0


async def test_wrong_hash_is_not_installed(receiver: SnapshotReceiver, installer: Installer) -> None:
    announced = header(b"right")

    async def stream() -> AsyncIterator[pb.InstallSnapshotRequest]:
        yield chunk(0, b"wrong")

    answers = [response async for response in receiver.receive(2, announced, stream())]
    assert "hash" in answers[-1].problem
    assert installer.installed == []


@pytest.mark.parametrize("size", [0, (1 << 30) + 1])
async def test_absurd_size_is_refused(receiver: SnapshotReceiver, size: int) -> None:
    with pytest.raises(PeerRefused):
        async for _ in receiver.receive(2, pb.SnapshotHeader(size=size), aiter_of()):
            pass


async def aiter_of(*requests: pb.InstallSnapshotRequest) -> AsyncIterator[pb.InstallSnapshotRequest]:
    for request in requests:
        yield request


async def test_older_stream_of_the_same_snapshot_gives_way(receiver: SnapshotReceiver) -> None:
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[pb.InstallSnapshotRequest]:
        await waiting.wait()
        yield chunk(0)

    older = receiver.receive(2, header(), slow())
    await anext(older)
    await offer(receiver, [chunk(0)])
    waiting.set()
    with pytest.raises(PeerRefused, match="took over"):
        await anext(older)


async def test_rate_is_limited() -> None:
    pace = Pace(1_000_000)
    began = time.monotonic()
    for _ in range(4):
        await pace.take(50_000)
    assert 0.15 <= time.monotonic() - began < 1.5


# Both ends over a connection.


class Receiving(pb_grpc.RaftServiceServicer):
    """Serves a receiver, and breaks a stream after so many chunks, once."""

    def __init__(self, receiver: SnapshotReceiver, break_after: int = 0) -> None:
        self.receiver = receiver
        self.offsets: list[int] = []
        self._break_after = break_after

    async def InstallSnapshot(
        self, request_iterator: AsyncIterator[pb.InstallSnapshotRequest], context: Any
    ) -> AsyncIterator[pb.InstallSnapshotResponse]:
        first = await anext(request_iterator)
        async for response in self.receiver.receive(
            first.hello.member_id, first.snapshot, self._note(request_iterator)
        ):
            yield response

    async def _note(
        self, requests: AsyncIterator[pb.InstallSnapshotRequest]
    ) -> AsyncIterator[pb.InstallSnapshotRequest]:
        async for request in requests:
            self.offsets.append(request.offset)
            yield request
            if len(self.offsets) == self._break_after:
                raise PeerRefused("the line is cut")


def receiving(*facts: Any, **more: Any) -> Any:
    """Return a servicer of one method only."""
    kind: Any = Receiving
    return kind(*facts, **more)


async def send(servicer: Receiving, *, members: Sequence[int] = (2,)) -> list[tuple[int, LogMark, bool]]:
    """Send `DATA` to members that are all this one server; return what the sender says of it."""
    server = grpc.aio.server()
    pb_grpc.add_RaftServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended: list[tuple[int, LogMark, bool]] = []

    def route(member_id: int) -> Route | None:
        if member_id not in members:
            return None
        return Route(grpc.aio.insecure_channel(f"127.0.0.1:{port}"), pb.Hello(member_id=1))

    sender = SnapshotSender(route, lambda: 3, lambda *facts: ended.append(facts), FAST)
    try:
        sender.send(2, MARK, DATA)
        await eventually(lambda: ended or None, within=10)
    finally:
        await sender.close()
        await server.stop(None)
    return ended


async def test_snapshot_travels(receiver: SnapshotReceiver, installer: Installer) -> None:
    assert await send(receiving(receiver)) == [(2, MARK, True)]
    assert installer.installed == [DATA]


async def test_transfer_goes_on_after_a_cut(receiver: SnapshotReceiver, installer: Installer) -> None:
    servicer = receiving(receiver, break_after=3)
    assert await send(servicer) == [(2, MARK, True)]
    assert installer.installed == [DATA]
    assert servicer.offsets == sorted(set(servicer.offsets)), "nothing that had arrived was sent again"


@pytest.mark.parametrize(
    "answer", [pytest.param(False, id="not-now"), pytest.param(SnapshotRefused("newer schema"), id="never")]
)
async def test_snapshot_that_is_not_taken_is_not_delivered(
    receiver: SnapshotReceiver, installer: Installer, answer: bool | Exception
) -> None:
    installer.answer = answer
    assert await send(receiving(receiver)) == [(2, MARK, False)]


async def test_transfer_to_a_stranger_ends(receiver: SnapshotReceiver) -> None:
    assert await send(receiving(receiver), members=()) == [(2, MARK, False)]
