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

from services.shared.runtime.status import parse_error

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


Attack = Callable[[Target, random.Random], Awaitable[str]]
"""Attacks once; returns how it ended: the reason a call was refused with, or what became of the connection."""
_ENDED_WHILE_WRITING: Final = "Internal error from Core"
"""What `grpc.aio` makes of a stream that ends under a write; it does not tell then how the other side ended it."""
CLOSED: Final = "closed"
GAVE_UP: Final = "gave_up"
LEFT_OPEN: Final = "left_open"
UNREACHED: Final = "unreached"
ANSWERED: Final = "answered"


async def garbage(target: Target, chance: random.Random) -> str:
    """Bytes that mean nothing."""
    return await _throw(_one_port(target, chance), chance.randbytes(chance.randrange(1, 4096)))


async def web_request(target: Target, chance: random.Random) -> str:
    """A browser, or a scanner."""
    verb = chance.choice(("GET / ", "POST /metrics ", "CONNECT x:1 ", "\x00GET "))
    return await _throw(_one_port(target, chance), f"{verb}HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def broken_frames(target: Target, chance: random.Random) -> str:
    """The beginning of HTTP/2, then frames of any kind and length."""
    frames = b""
    for _ in range(chance.randrange(1, 20)):
        body = chance.randbytes(chance.randrange(0, 300))
        length = len(body) if chance.random() < 0.7 else chance.randrange(0, 1 << 24)
        stream = chance.choice((0, 1, 3, chance.randrange(1 << 31)))
        frames += length.to_bytes(3, "big") + chance.randbytes(2) + stream.to_bytes(4, "big") + body
    return await _throw(_one_port(target, chance), _PREFACE + _SETTINGS + frames)


async def silent_connection(target: Target, chance: random.Random) -> str:
    """Somebody who says nothing, and leaves at some time."""
    try:
        _, writer = await connect(_one_port(target, chance))
    except OSError:
        return UNREACHED
    await asyncio.sleep(chance.random())
    writer.close()
    return GAVE_UP


async def silent_stream(target: Target, chance: random.Random) -> str:
    """A stream that is opened, and then nothing."""
    async with _channel(target.raft) as channel:
        call = channel.stream_stream(_RAFT + chance.choice(_RAFT_STREAMS))()
        return await _listen(call)


async def silent_streams(target: Target, count: int) -> list[str]:
    """Open so many streams on one connection, and say nothing on any; return how each ended."""
    async with _channel(target.raft) as channel:
        return await asyncio.gather(*(_listen(channel.stream_stream(_RAFT + "Append")()) for _ in range(count)))


async def wrong_hello(target: Target, chance: random.Random) -> str:
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
        return await _listen(call)


async def malformed_frame(target: Target, chance: random.Random) -> str:
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
        return await _listen(call)


async def random_call(target: Target, chance: random.Random) -> str:
    """Any method of either port, with bytes that may or may not be its message."""
    raft = chance.random() < 0.5
    streams = [_RAFT + name for name in _RAFT_STREAMS] if raft else list(_API_STREAMS)
    unary = [_RAFT + name for name in _RAFT_UNARY] if raft else list(_API_UNARY)
    async with _channel(target.raft if raft else target.api) as channel:
        message = chance.randbytes(chance.randrange(0, 200))
        if chance.random() < 0.5:
            return await _call(channel.unary_unary(chance.choice(unary))(message, timeout=_WITHIN_S))
        call = channel.stream_stream(chance.choice(streams))()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(message)
            await call.done_writing()
        return await _listen(call)


async def oversized(target: Target, chance: random.Random) -> str:
    """A message longer than any may be."""
    async with _channel(target.raft) as channel:
        return await _call(channel.unary_unary(_RAFT + "Vote")(bytes(OVERSIZE), timeout=_WITHIN_S))


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


async def connect(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port."""
    host, _, port = endpoint.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _throw(endpoint: str, data: bytes) -> str:
    """Send bytes and read until the other side closes, within its handshake timeout and a little more."""
    try:
        reader, writer = await connect(endpoint)
    except OSError:
        return UNREACHED
    try:
        writer.write(data)
        async with asyncio.timeout(_WITHIN_S):
            await writer.drain()
            while await reader.read(4096):
                pass
    except TimeoutError:
        return LEFT_OPEN
    except OSError:
        return CLOSED
    finally:
        writer.close()
    return CLOSED


async def _call(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    return ANSWERED


async def _listen(call: Any) -> str:
    """Read a stream to its end, which is to come."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            while await call.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    except TimeoutError:
        return LEFT_OPEN
    except asyncio.InvalidStateError:
        return CLOSED
    finally:
        call.cancel()
    return CLOSED


def refusal_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of a refusal; gRPC itself gives a status only."""
    if error.details() == _ENDED_WHILE_WRITING:
        return CLOSED
    return parse_error(error).reason or error.code().name


@contextlib.asynccontextmanager
async def _channel(endpoint: str) -> AsyncIterator[Any]:
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 2 * OVERSIZE))
    async with grpc.aio.insecure_channel(endpoint, options=options) as channel:
        yield channel
