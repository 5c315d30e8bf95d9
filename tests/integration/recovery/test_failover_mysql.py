"""One node of four real processes watches real servers; the primary is killed."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToJson
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab, LabInstance
from tests.support.suite import Suite, SuiteNode


def endpoint(instance: LabInstance) -> topology_pb2.Endpoint:
    return topology_pb2.Endpoint(host=instance.host, port=instance.port)


async def is_writable(instance: LabInstance) -> bool:
    return await instance.variable("read_only") == "OFF"


async def is_ready(node: SuiteNode, fleet: Fleet) -> bool:
    """Return whether a node has read the fleet, and its primary is in the directory."""
    known = await node.instances()
    seen = [known.get(instance.endpoint) for instance in fleet]
    read = all(each is not None and each.reading.last_check_valid and not each.problems for each in seen)
    return read and fleet.primary.endpoint in await node.primaries()


async def ready(suite: Suite, fleet: Fleet) -> None:
    for node in suite.nodes:
        await eventually(
            lambda node=node: is_ready(node, fleet), within=60, retry_on=grpc.aio.AioRpcError, message=suite.logs
        )


async def one_closed(node: SuiteNode) -> pb.Recovery | None:
    found = await node.recoveries()
    return found[0] if found and found[0].state != pb.Recovery.STATE_RUNNING else None


@pytest.mark.mysql
async def test_killed_primary_is_replaced_within_seconds(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=1) as suite:
            await ready(suite, fleet)
            started = time.monotonic()
            fleet["p"].kill()

            async def somebody_takes_writes() -> bool:
                return await is_writable(fleet["r1"]) or await is_writable(fleet["r2"])

            await eventually(somebody_takes_writes, within=20, message=suite.logs)
            elapsed = time.monotonic() - started
            recovery = await eventually(lambda: one_closed(suite.node(1)), within=20, message=suite.logs)
            assert recovery is not None
            print(f"writable after {elapsed * 1000:.0f} ms\n{MessageToJson(recovery)}")
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            successor = fleet["r1"] if recovery.successor == endpoint(fleet["r1"]) else fleet["r2"]
            other = fleet["r2"] if successor is fleet["r1"] else fleet["r1"]
            assert await is_writable(successor)
            assert not await is_writable(other)
            assert recovery.epoch == 2
            assert successor.endpoint in await suite.node(1).primaries()
            await successor.execute("INSERT INTO app.writes (id) VALUES (1)")

            async def replicated() -> bool:
                return bool(await other.query("SELECT id FROM app.writes"))

            await eventually(replicated, within=10)
