"""Callers that do not speak as members and clients do: refused by name, at no cost to the group (W1, W5)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.shared.runtime.status import parse_error
from tests.fuzz.attacks import OVERSIZE
from tests.fuzz.campaign import resident_kb, target_of
from tests.support.consensus_group import Group, MemberProcess, consensus_group
from tests.support.eventually import eventually

SILENT = 2_000


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    """Three members with a leader."""
    async with consensus_group(tmp_path) as made:
        for member in made.members:
            member.start()
        await made.leader(within=20)
        yield made


@contextlib.asynccontextmanager
async def raft_of(member: MemberProcess) -> AsyncIterator[Any]:
    options = (("grpc.max_send_message_length", 2 * OVERSIZE),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{member.raft_port}", options=options) as channel:
        yield pb_grpc.RaftServiceStub(channel)


async def converse(call: Any, frames: Iterable[pb.AppendRequest]) -> None:
    for frame in frames:
        await call.write(frame)
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_bad_callers_are_refused_by_name(group: Group) -> None:
    member = group.member(1)
    right = target_of(group, member).hello
    wrong = pb.Hello()
    wrong.CopyFrom(right)
    wrong.group_id = "another"
    entry = pb.AppendRequest(entries=pb.Entries(entries=[pb.LogEntry(term=1)]))
    async with raft_of(member) as raft:
        for frames, says in (
            ([pb.AppendRequest(hello=wrong)], "this is group"),
            ([pb.AppendRequest(heartbeat=pb.Heartbeat(term=9))], "protocol 0..0"),
            ([pb.AppendRequest(hello=right), entry], "unknown kind"),
            ([], "no hello within 2 s"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await converse(raft.Append(), frames)
            told = parse_error(refused.value)
            assert (told.code, told.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PEER_REFUSED")
            assert says in told.message
        with pytest.raises(grpc.aio.AioRpcError) as too_long:
            await raft.Vote(pb.VoteRequest(hello=pb.Hello(group_id="x" * OVERSIZE)), timeout=5)
        assert too_long.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_silent_connections_cost_nothing(group: Group) -> None:
    leader = await group.leader()
    term, before_kb = (await leader.status()).term, resident_kb(leader)
    connections = []
    for _ in range(SILENT):
        with contextlib.suppress(OSError):
            connections.append(await asyncio.open_connection("127.0.0.1", leader.raft_port))

    async def over(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1024):
                pass

    async with asyncio.timeout(20):
        await asyncio.gather(*(over(reader) for reader, _ in connections))
    for _, writer in connections:
        writer.close()
    assert resident_kb(leader) - before_kb < 16 * 1024
    assert (await leader.status()).term == term, "heartbeats went on"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"x" * 4096])
async def test_other_protocols_are_closed(group: Group, data: bytes) -> None:
    member = group.member(1)
    for port in (member.raft_port, int(member.api_endpoint.rpartition(":")[2])):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1024):
                    pass
        writer.close()
    assert await eventually(member.status, within=5, retry_on=grpc.aio.AioRpcError)
