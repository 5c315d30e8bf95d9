"""What may come in at a member's two ports that no member and no client of ours sends (W1, W5).

None of them shows a hello that is right in every way and then well-formed frames: whoever can do that is a member, and
members are not assumed to lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

_WITHIN_S: Final = 5.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = b"\0\0\0\4\0\0\0\0\0"
_RAFT: Final = "/primacy.consensus.v1.RaftService/"
_RAFT_STREAMS: Final = ("Append", "InstallSnapshot", "Forward")
_RAFT_UNARY: Final = ("Vote", "TimeoutNow")
_API_UNARY: Final = tuple(
    f"/primacy.consensus.v1.{method}"
    for method in (
        "GroupService/GetStatus",
        "GroupService/AddMember",
        "GroupService/UpdateMember",
        "GroupService/PromoteMember",
        "GroupService/SetGroupSettings",
        "GroupService/ReplaceMember",
        "JournalService/RegisterRecovery",
        "JournalService/AdoptRecovery",
        "JournalService/RecordStep",
        "JournalService/CloseRecovery",
        "JournalService/GetRecord",
        "JournalService/ListRecords",
        "LeaseService/Acquire",
        "LeaseService/Check",
        "LeaseService/Release",
        "RegistryService/PublishPrimary",
        "RegistryService/GetPrimary",
        "RegistryService/ListPrimaries",
    )
)
_API_STREAMS: Final = (
    "/primacy.consensus.v1.JournalService/Write",
    "/primacy.consensus.v1.LeaseService/KeepAlive",
)
OVERSIZE: Final = 5 * 1024 * 1024


@dataclass(frozen=True)
class Target:
    """A member's ports.

    Attributes:
        hello: What another member says to it, right in every way.
    """

    raft: str
    api: str
    hello: pb.Hello


Attack = Callable[[Target, random.Random], Awaitable[None]]


async def garbage(target: Target, chance: random.Random) -> None:
    """Bytes that mean nothing."""
    await _throw(_one_port(target, chance), chance.randbytes(chance.randrange(1, 4096)))


async def web_request(target: Target, chance: random.Random) -> None:
    """A browser, or a scanner."""
    verb = chance.choice(("GET / ", "POST /metrics ", "CONNECT x:1 ", "\x00GET "))
    await _throw(_one_port(target, chance), f"{verb}HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def broken_frames(target: Target, chance: random.Random) -> None:
    """The beginning of HTTP/2, then frames of any kind and length."""
    frames = b""
    for _ in range(chance.randrange(1, 20)):
        body = chance.randbytes(chance.randrange(0, 300))
        length = len(body) if chance.random() < 0.7 else chance.randrange(0, 1 << 24)
        stream = chance.choice((0, 1, 3, chance.randrange(1 << 31)))
        frames += length.to_bytes(3, "big") + chance.randbytes(2) + stream.to_bytes(4, "big") + body
    await _throw(_one_port(target, chance), _PREFACE + _SETTINGS + frames)


async def silent_connection(target: Target, chance: random.Random) -> None:
    """Somebody who says nothing, and leaves at some time."""
    with contextlib.suppress(OSError):
        _, writer = await _connect(_one_port(target, chance))
        await asyncio.sleep(chance.random())
        writer.close()


async def silent_stream(target: Target, chance: random.Random) -> None:
    """A stream that is opened, and then nothing."""
    async with _channel(target.raft) as channel:
        call = channel.stream_stream(_RAFT + chance.choice(_RAFT_STREAMS))()
        await _listen(call)


async def wrong_hello(target: Target, chance: random.Random) -> None:
    """A hello in which one thing is not right."""
    hello = pb.Hello()
    hello.CopyFrom(target.hello)
    spoil: tuple[Callable[[], None], ...] = (
        lambda: setattr(hello, "group_id", str(chance.random())),
        lambda: setattr(hello, "member_id", chance.choice((0, 9, 2**64 - 1))),
        lambda: setattr(hello, "to_member_id", 77),
        lambda: setattr(hello, "incarnation", "another"),
        lambda: setattr(hello, "protocol_min", 99),
        lambda: setattr(hello, "group_version_min", 99),
    )
    chance.choice(spoil)()
    frame = pb.AppendRequest(hello=hello)
    async with _channel(target.raft) as channel:
        call = channel.stream_stream(_RAFT + "Append")()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(frame.SerializeToString())
            await call.write(pb.AppendRequest(heartbeat=pb.Heartbeat(term=2**63)).SerializeToString())
        await _listen(call)


async def malformed_frame(target: Target, chance: random.Random) -> None:
    """A right hello, then what is no frame."""
    bad = chance.choice(
        (
            chance.randbytes(64),
            pb.AppendRequest().SerializeToString(),
            pb.AppendRequest(hello=target.hello).SerializeToString(),
            pb.AppendRequest(entries=pb.Entries(entries=[pb.LogEntry(term=1)])).SerializeToString(),
        )
    )
    async with _channel(target.raft) as channel:
        call = channel.stream_stream(_RAFT + "Append")()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.AppendRequest(hello=target.hello).SerializeToString())
            await call.write(bad)
        await _listen(call)


async def random_call(target: Target, chance: random.Random) -> None:
    """Any method of either port, with bytes that may or may not be its message."""
    raft = chance.random() < 0.5
    streams = [_RAFT + name for name in _RAFT_STREAMS] if raft else list(_API_STREAMS)
    unary = [_RAFT + name for name in _RAFT_UNARY] if raft else list(_API_UNARY)
    async with _channel(target.raft if raft else target.api) as channel:
        message = chance.randbytes(chance.randrange(0, 200))
        if chance.random() < 0.5:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await channel.unary_unary(chance.choice(unary))(message, timeout=_WITHIN_S)
            return
        call = channel.stream_stream(chance.choice(streams))()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(message)
            await call.done_writing()
        await _listen(call)


async def oversized(target: Target, chance: random.Random) -> None:
    """A message longer than any may be."""
    async with _channel(target.raft) as channel:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await channel.unary_unary(_RAFT + "Vote")(bytes(OVERSIZE), timeout=_WITHIN_S)


ATTACKS: Final[tuple[Attack, ...]] = (
    garbage,
    web_request,
    broken_frames,
    silent_connection,
    silent_stream,
    wrong_hello,
    malformed_frame,
    random_call,
    oversized,
)


def _one_port(target: Target, chance: random.Random) -> str:
    return chance.choice((target.raft, target.api))


async def _connect(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = endpoint.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _throw(endpoint: str, data: bytes) -> None:
    """Send bytes and read until the other side closes, within its handshake timeout and a little more."""
    with contextlib.suppress(OSError, TimeoutError):
        reader, writer = await _connect(endpoint)
        try:
            writer.write(data)
            async with asyncio.timeout(_WITHIN_S):
                await writer.drain()
                while await reader.read(4096):
                    pass
        finally:
            writer.close()


async def _listen(call: Any) -> None:
    """Read a stream to its end, which is to come."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
        async with asyncio.timeout(_WITHIN_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    call.cancel()


@contextlib.asynccontextmanager
async def _channel(endpoint: str) -> AsyncIterator[Any]:
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 2 * OVERSIZE))
    async with grpc.aio.insecure_channel(endpoint, options=options) as channel:
        yield channel
