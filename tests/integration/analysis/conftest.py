"""A discovery service the test speaks through, and a real analysis process that follows it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from primacy.analysis.v1 import analysis_pb2_grpc
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.shared.runtime.grpc_client import open_channel
from services.shared.topology.convert.instance import instance_to_proto
from services.shared.topology.convert.snapshot import snapshot_to_proto
from services.shared.topology.instance import Instance
from services.shared.topology.snapshot import TopologySnapshot

ROOT = Path(__file__).parents[3]


class FakeDiscovery(discovery_pb2_grpc.DiscoveryServiceServicer):
    """Streams a snapshot and then what the test says; speaks every 200 ms unless told to be silent."""

    def __init__(self) -> None:
        self.snapshot = TopologySnapshot(revision=1)
        self.streams = 0
        self.silent = False
        self._queues: set[asyncio.Queue[pb.WatchTopologyResponse]] = set()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Break every stream and listen no more."""
        if self._server is not None:
            await self._server.stop(None)

    def change(self, *instances: Instance) -> None:
        """Tell of changed instances."""
        delta = pb.TopologyDelta(changed_instances=[instance_to_proto(instance) for instance in instances])
        for queue in self._queues:
            queue.put_nowait(pb.WatchTopologyResponse(delta=delta))

    async def WatchTopology(self, request: Any, context: Any) -> AsyncIterator[pb.WatchTopologyResponse]:
        """Stream."""
        self.streams += 1
        queue: asyncio.Queue[pb.WatchTopologyResponse] = asyncio.Queue()
        self._queues.add(queue)
        yield pb.WatchTopologyResponse(snapshot=snapshot_to_proto(self.snapshot))
        try:
            while True:
                try:
                    async with asyncio.timeout(0.2):
                        message = await queue.get()
                except TimeoutError:
                    message = pb.WatchTopologyResponse(progress=pb.Progress())
                if not self.silent:
                    yield message
        finally:
            self._queues.discard(queue)

    async def _absent(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    Discover = DiscoverMany = Refresh = Forget = ForgetCluster = GetInstance = ListInstances = _absent
    GetCluster = ListClusters = ListProblems = Resolve = ListHistory = Preflight = _absent
    GetDiscoveryStatus = GetTopology = _absent


class AnalysisProcess:
    """`python -m services.analysis` on a free port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.endpoint = f"127.0.0.1:{port}"
        self.channel = open_channel(self.endpoint)
        self.stub = analysis_pb2_grpc.AnalysisServiceStub(self.channel)

    async def stop(self) -> int:
        """Stop it as an operator would; return its exit code."""
        await self.channel.close()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            return await self.process.wait()


async def start_analysis(**environ: str) -> asyncio.subprocess.Process:
    """Start the process with these settings; its logs can be read from `stderr`."""
    settings = {f"PRIMACY_ANALYSIS_{name}": value for name, value in environ.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.analysis",
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def serving_port(process: asyncio.subprocess.Process) -> int:
    """Return the port the process says it serves on, and keep its log flowing."""
    assert process.stderr is not None
    seen: list[str] = []
    async with asyncio.timeout(30):
        async for line in process.stderr:
            seen.append(line.decode())
            if line.startswith(b"{") and (entry := json.loads(line))["event"] == "analysis.serving":
                return int(entry["port"])
    raise AssertionError(f"analysis ended without serving: {seen}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass


@pytest.fixture
async def discovery() -> AsyncIterator[FakeDiscovery]:
    fake = FakeDiscovery()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def analysis(discovery: FakeDiscovery) -> AsyncIterator[AnalysisProcess]:
    process = await start_analysis(
        LISTEN="127.0.0.1:0", DISCOVERY_ENDPOINT=f"127.0.0.1:{discovery.port}", DISCOVERY_SILENCE="1s"
    )
    running = AnalysisProcess(process, await serving_port(process))
    draining = asyncio.create_task(_drain(process))
    yield running
    await running.stop()
    await draining
