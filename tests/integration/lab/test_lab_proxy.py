"""The proxy's states, against a plain echo server and a real primary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.eventually import eventually
from tests.support.lab import Lab, LabInstance, TcpProxy, Writer
from tests.support.lab.replication import is_replicating


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as running:
        yield running
    server.close()


class _Client:
    """A client of the echo server behind a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, proxy: TcpProxy) -> _Client:
        return cls(*await asyncio.open_connection(proxy.host, proxy.port))

    def send(self, line: bytes) -> None:
        self._writer.write(line)

    async def receive(self, within: float = 5) -> bytes:
        async with asyncio.timeout(within):
            return await self._reader.readline()

    def close(self) -> None:
        self._writer.transport.abort()


async def test_healthy_proxy_forwards_both_ways_until_the_end(proxy: TcpProxy) -> None:
    client = await _Client.open(proxy)

    client.send(b"hello\n")
    assert await client.receive() == b"hello\n"
    client._writer.write_eof()
    assert await client.receive() == b""
    client.close()


async def test_cut_resets_connections_and_refuses_new_ones_until_healed(proxy: TcpProxy) -> None:
    client = await _Client.open(proxy)
    client.send(b"hello\n")
    await client.receive()

    await proxy.cut()

    with pytest.raises(ConnectionResetError):
        await client.receive()
    with pytest.raises(ConnectionRefusedError):
        await _Client.open(proxy)
    client.close()
    await proxy.heal()
    healed = await _Client.open(proxy)
    healed.send(b"again\n")
    assert await healed.receive() == b"again\n"
    healed.close()


async def test_delayed_proxy_forwards_later_until_healed(proxy: TcpProxy) -> None:
    client = await _Client.open(proxy)
    await proxy.delay(0.05)
    begun = time.monotonic()
    client.send(b"late\n")
    assert await client.receive() == b"late\n"
    assert time.monotonic() - begun >= 0.1  # Once there, once back.
    await proxy.heal()
    begun = time.monotonic()
    client.send(b"soon\n")
    assert await client.receive() == b"soon\n"
    assert time.monotonic() - begun < 0.1
    client.close()


async def test_hung_proxy_accepts_and_holds_back_until_healed(proxy: TcpProxy) -> None:
    old = await _Client.open(proxy)
    old.send(b"before\n")
    await old.receive()

    await proxy.hang()

    new = await _Client.open(proxy)
    for client in (old, new):
        client.send(b"during\n")
        with pytest.raises(TimeoutError):
            await client.receive(within=0.1)
    await proxy.heal()
    for client in (old, new):
        assert await client.receive() == b"during\n"
        client.close()


async def _binlog_senders(primary: LabInstance) -> list[int]:
    rows = await primary.query("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'")
    return [int(next(iter(row.values()))) for row in rows]


@pytest.mark.mysql
async def test_primary_cut_off_from_the_world_still_feeds_its_replica(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r", behind_proxies=True)
    primary, replica = fleet["p"], fleet["r"]
    rows = await replica.query("SHOW REPLICA STATUS")
    assert rows[0]["Source_Port"] == primary.port == primary.network.port

    senders = await _binlog_senders(primary)

    with Writer([primary]) as writer:
        await eventually(lambda: writer.count > 5, within=10)
        await primary.network.cut()
        count = writer.count
        await primary.query("INSERT INTO app.writes (id) VALUES (-1)")
        await fleet.caught_up()
        assert await is_replicating(replica)
        assert await _binlog_senders(primary) == senders, "the replica lost its connection"
        assert await replica.query("SELECT id FROM app.writes WHERE id = -1") == [{"id": -1}]
        assert writer.count <= count + 1  # One answer may have been under way.

        await primary.network.heal()
        await eventually(lambda: writer.count > count + 5, within=10)
        await primary.network.hang()
        await replica.execute("STOP REPLICA IO_THREAD", "START REPLICA IO_THREAD")
        await primary.query("INSERT INTO app.writes (id) VALUES (-2)")
        await fleet.caught_up()
        assert await replica.query("SELECT id FROM app.writes WHERE id = -2") == [{"id": -2}]
        await primary.network.heal()
