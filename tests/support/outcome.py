"""What must be true after a failover, read from the servers, the application and every node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.shared.topology.server import Flavor
from tests.support.eventually import eventually
from tests.support.lab import Fleet, LabInstance
from tests.support.suite import Suite, SuiteNode

ENDED_WELL = (recovery_pb2.Recovery.STATE_SUCCEEDED, recovery_pb2.Recovery.STATE_SUCCEEDED_WITH_LOSSES)


def name_of(endpoint: topology_pb2.Endpoint) -> str:
    """Return `host:port`."""
    return f"{endpoint.host}:{endpoint.port}"


async def is_writable(instance: LabInstance) -> bool:
    """Return whether a server takes writes, by its own word."""
    return await instance.variable("read_only") == "OFF"


async def writable(instances: Sequence[LabInstance]) -> list[LabInstance]:
    """Return which of the servers take writes."""
    answers = await asyncio.gather(*(is_writable(instance) for instance in instances))
    return [instance for instance, answer in zip(instances, answers, strict=True) if answer]


async def source_of(instance: LabInstance) -> str:
    """Return whom a server replicates from with both threads running, `host:port`; empty when it does not."""
    mariadb = instance.flavor is Flavor.MARIADB
    rows = await instance.query("SHOW SLAVE STATUS" if mariadb else "SHOW REPLICA STATUS")
    host, io, sql = ("Master", "Slave_IO", "Slave_SQL") if mariadb else ("Source", "Replica_IO", "Replica_SQL")
    if len(rows) != 1 or rows[0][f"{io}_Running"] != "Yes" or rows[0][f"{sql}_Running"] != "Yes":
        return ""
    return f"{rows[0][f'{host}_Host']}:{rows[0][f'{host}_Port']}"


async def recovery_of(node: SuiteNode, failed: LabInstance) -> recovery_pb2.Recovery | None:
    """Return the newest recovery of a dead primary that a node knows, or None."""
    for recovery in await node.recoveries():
        if name_of(recovery.failed) == failed.endpoint and recovery.kind == recovery_pb2.RECOVERY_KIND_DEAD_PRIMARY:
            return recovery
    return None


async def ended_recovery(suite: Suite, failed: LabInstance, *, within: float = 40.0) -> recovery_pb2.Recovery:
    """Wait until every running node knows the recovery of a dead primary as ended; return it."""

    async def ended() -> recovery_pb2.Recovery | None:
        known = [await recovery_of(node, failed) for node in suite.running]
        return known[0] if known and all(each is not None and each.HasField("end_time") for each in known) else None

    found = await eventually(ended, within=within, retry_on=grpc.aio.AioRpcError, message=suite.logs)
    assert found is not None
    return found


async def assert_failed_over(suite: Suite, fleet: Fleet, failed: LabInstance) -> LabInstance:
    """Check that one of the others took over, that it alone is writable, and that the rest follows it; return it.

    A replica that follows nobody must be reported as lost.
    """
    recovery = await ended_recovery(suite, failed)
    assert recovery.state in ENDED_WELL, recovery
    others = [instance for instance in fleet if instance is not failed]
    successor = next(instance for instance in others if instance.endpoint == name_of(recovery.successor))
    assert await writable(others) == [successor]
    lost = {name_of(endpoint) for endpoint in recovery.lost_replicas}
    for replica in others:
        if replica is not successor and replica.endpoint not in lost:
            assert await source_of(replica) != "", f"{replica.name} follows nobody, and nobody says so"
    await eventually(lambda: _published(suite, successor), within=10, retry_on=grpc.aio.AioRpcError, message=suite.logs)
    return successor


async def _published(suite: Suite, successor: LabInstance) -> bool:
    for node in suite.running:
        entry = (await node.primaries()).get(successor.endpoint)
        assert entry is not None, f"{node.name} does not name {successor.endpoint}"
        assert entry.epoch == 2, entry
    return True
