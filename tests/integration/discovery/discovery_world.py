"""A discovery process and a client of it, for tests against real servers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.shared.runtime.status import RemoteError, parse_error
from services.shared.topology.convert.instance import instance_from_proto
from services.shared.topology.convert.key import key_from_proto
from services.shared.topology.convert.snapshot import cluster_from_proto, snapshot_from_proto
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot
from tests.support.eventually import eventually


class Discovery:
    """A process of `python -m services.discovery`, and its stub."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self.lines: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._reader: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self.port = 0

    @classmethod
    async def start(cls, directory: Path, **settings: str) -> Self:
        """Start a process; `settings` are names without prefix. Its store is `directory`/discovery.db."""
        names = {"LISTEN": "127.0.0.1:0", "STORE_URL": f"sqlite:///{directory}/discovery.db", **settings}
        environ = {f"PRIMACY_DISCOVERY_{name.upper()}": value for name, value in names.items()}
        discovery = cls(directory, environ)
        await discovery.restart()
        return discovery

    async def restart(self) -> None:
        """Start the process, again if need be, with the same settings and store."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PRIMACY_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.discovery", env={**clean, **self._environ}, stderr=asyncio.subprocess.PIPE
        )
        self.lines.clear()
        self._reader = asyncio.create_task(self._read_log(self._process))
        serving = await eventually(lambda: self.logged("discovery.serving"), within=30, message=lambda: self.errors)
        self.port = serving[0]["port"]
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            try:
                self.lines.append(json.loads(line))
            except json.JSONDecodeError:
                self.errors.append(line.decode())

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of an event."""
        return [line for line in self.lines if line["event"] == event]

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def stub(self) -> discovery_pb2_grpc.DiscoveryServiceAsyncStub:
        """The service."""
        assert self._channel is not None
        return discovery_pb2_grpc.DiscoveryServiceStub(self._channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to the process."""
        assert self._channel is not None
        return self._channel

    async def stop(self) -> int:
        """End the process by SIGTERM and return its exit code."""
        assert self._process is not None
        if self._channel is not None:
            await self._channel.close()
        if self._process.returncode is None:
            self._process.terminate()
        code = await asyncio.wait_for(self._process.wait(), 20)
        if self._reader is not None:
            await self._reader
        return code

    async def topology(self) -> TopologySnapshot:
        """What it knows now."""
        response = await self.stub.GetTopology(pb.GetTopologyRequest(), timeout=10)
        return snapshot_from_proto(response.snapshot)

    async def instance(self, endpoint: str) -> Instance:
        """One instance."""
        return (await self.topology()).instances[InstanceKey.parse(endpoint)]


class Watch:
    """Follows a WatchTopology stream into a picture of its own."""

    def __init__(self, discovery: Discovery, after_revision: int = 0) -> None:
        self._call = discovery.stub.WatchTopology(
            pb.WatchTopologyRequest(after_revision=after_revision), wait_for_ready=True
        )
        self.instances: dict[InstanceKey, Instance] = {}
        self.clusters: dict[str, Any] = {}
        self.revisions: list[int] = []
        self.kinds: list[str] = []
        self.error: RemoteError | None = None
        self._task = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        await eventually(lambda: self.kinds or self.error, within=20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        await asyncio.wait((self._task,))

    async def _read(self) -> None:
        try:
            async for message in self._call:
                self._take(message)
        except grpc.aio.AioRpcError as error:
            self.error = parse_error(error)
        except asyncio.CancelledError:
            pass

    def _take(self, message: pb.WatchTopologyResponse) -> None:
        kind = message.WhichOneof("event")
        self.kinds.append(str(kind))
        self.revisions.append(message.revision)
        if kind == "snapshot":
            snapshot = snapshot_from_proto(message.snapshot)
            self.instances, self.clusters = dict(snapshot.instances), dict(snapshot.clusters)
        elif kind == "delta":
            delta = message.delta
            self.instances.update({(one := instance_from_proto(item)).key: one for item in delta.changed_instances})
            self.clusters.update({item.cluster_id: cluster_from_proto(item) for item in delta.changed_clusters})
            for endpoint in delta.removed_instances:
                del self.instances[key_from_proto(endpoint)]
            for cluster_id in delta.removed_cluster_ids:
                del self.clusters[cluster_id]

    def __getitem__(self, endpoint: str) -> Instance:
        return self.instances[InstanceKey.parse(endpoint)]


async def refused(call: Awaitable[Any]) -> RemoteError:
    """The error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return parse_error(caught.value)
