"""Cluster ids and epochs from the replicated directory, which a stand-in serves here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc

from tests.integration.discovery.conftest import StartDiscovery
from tests.integration.discovery.discovery_world import Watch
from tests.support.eventually import eventually
from tests.support.lab import Lab, LabInstance

CLUSTER_ID = "11111111-2222-3333-4444-555555555555"
SLOW = {"POLL": "30s", "PRIMARY_POLL": "30s"}


class FakeRegistry(consensus_pb2_grpc.RegistryServiceServicer):
    """Streams what the test says, and progress in between."""

    def __init__(self) -> None:
        self._primaries: list[pb.Primary] = []
        self._queues: set[asyncio.Queue[pb.WatchPrimariesResponse]] = set()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        consensus_pb2_grpc.add_RegistryServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every stream."""
        if self._server is not None:
            await self._server.stop(None)

    def publish(self, instance: LabInstance, epoch: int, former: list[pb.FormerPrimary] | None = None) -> None:
        """Publish a primary of the one cluster."""
        primary = pb.Primary(
            cluster_id=CLUSTER_ID,
            alias="orders",
            server_uuid=instance.server_uuid,
            epoch=epoch,
            former=former or (),
        )
        self._primaries = [primary]
        for queue in self._queues:
            queue.put_nowait(pb.WatchPrimariesResponse(changed=[primary]))

    async def WatchPrimaries(self, request: Any, context: Any) -> AsyncIterator[pb.WatchPrimariesResponse]:
        """Stream."""
        queue: asyncio.Queue[pb.WatchPrimariesResponse] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield pb.WatchPrimariesResponse(changed=self._primaries)
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), 0.5)
                except TimeoutError:
                    yield pb.WatchPrimariesResponse()
        finally:
            self._queues.discard(queue)


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    """A directory that is empty."""
    fake = FakeRegistry()  # type: ignore[abstract]  # Discovery calls nothing else.
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.mysql
async def test_published_cluster_has_its_lasting_id_at_first_sight(
    lab: Lab, start_discovery: StartDiscovery, registry: FakeRegistry
) -> None:
    fleet = await lab.deploy("p -> r1")
    registry.publish(fleet["p"], 3)
    discovery = await start_discovery(
        fleet, seeds=[fleet["r1"].endpoint], CONSENSUS_ENDPOINT=f"127.0.0.1:{registry.port}", **SLOW
    )
    (cluster,) = (await discovery.topology()).clusters.values()
    assert (cluster.cluster_id, cluster.alias, cluster.epoch) == (CLUSTER_ID, "orders", 3)


@pytest.mark.mysql
async def test_newly_published_primary_has_its_cluster_read_at_once(
    lab: Lab, start_discovery: StartDiscovery, registry: FakeRegistry
) -> None:
    fleet = await lab.deploy("p -> r1")
    p, r1 = fleet["p"], fleet["r1"]
    registry.publish(p, 3)
    discovery = await start_discovery(
        fleet, seeds=[p.endpoint], CONSENSUS_ENDPOINT=f"127.0.0.1:{registry.port}", **SLOW
    )  # fmt: skip
    async with Watch(discovery) as watch:
        await r1.execute("STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = OFF")
        registry.publish(r1, 4, [pb.FormerPrimary(server_uuid=p.server_uuid, epoch=3)])
        await eventually(lambda: watch[r1.endpoint].read_only is False and not watch[r1.endpoint].channels, within=3)
        cluster = watch.clusters[CLUSTER_ID]
        assert (cluster.primary, cluster.epoch) == (watch[r1.endpoint].key, 4)
        assert watch[p.endpoint].cluster_id == CLUSTER_ID


@pytest.mark.mysql
async def test_directory_that_comes_late_or_goes_is_no_trouble(
    lab: Lab, start_discovery: StartDiscovery, registry: FakeRegistry
) -> None:
    fleet = await lab.deploy("p -> r1")
    await registry.stop()
    discovery = await start_discovery(
        fleet, seeds=[fleet["p"].endpoint], CONSENSUS_ENDPOINT=f"127.0.0.1:{registry.port}"
    )
    async with Watch(discovery) as watch:
        assert len(watch.clusters) == 1
        assert CLUSTER_ID not in watch.clusters
        await registry.start()
        registry.publish(fleet["p"], 1)
        await eventually(lambda: list(watch.clusters) == [CLUSTER_ID], within=10)
        assert {one.cluster_id for one in watch.instances.values()} == {CLUSTER_ID}
        await registry.stop()
        fleet["p"].kill()
        await eventually(lambda: not watch[fleet["p"].endpoint].reading.last_check_valid, within=2)
        assert list(watch.clusters) == [CLUSTER_ID]
