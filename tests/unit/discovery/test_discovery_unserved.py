"""What the contract has and this version does not serve is refused, never ignored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.discovery.app import DiscoveryApp
from services.discovery.model import AppSettings, Remembered
from services.discovery.server import DOMAIN, ERRORS, SERVICE, DiscoveryServicer
from services.discovery.store import SqlStore, StoreWriter
from services.shared.runtime import clock
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.grpc_server import GrpcServer
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import parse_error


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[discovery_pb2_grpc.DiscoveryServiceAsyncStub]:
    store = SqlStore.open(f"sqlite:///{tmp_path / 'discovery.db'}")
    app = DiscoveryApp(AppSettings(), clock, StoreWriter(store, timedelta(), on_health=lambda _: None), Remembered())
    server = GrpcServer(ServiceSettings(), DOMAIN, ERRORS, [SERVICE])
    discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(DiscoveryServicer(app), server.grpc)
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield discovery_pb2_grpc.DiscoveryServiceStub(channel)
    await server.grpc.stop(0)
    store.close()


@pytest.mark.parametrize(
    ("call", "request_", "what"),
    [
        pytest.param("DiscoverMany", pb.DiscoverManyRequest(), "DiscoverMany", id="discover many"),
        pytest.param("ForgetCluster", pb.ForgetClusterRequest(), "ForgetCluster", id="forget cluster"),
        pytest.param("GetCluster", pb.GetClusterRequest(), "GetCluster", id="cluster"),
        pytest.param("ListProblems", pb.ListProblemsRequest(), "ListProblems", id="problems"),
        pytest.param("Resolve", pb.ResolveRequest(), "Resolve", id="resolve"),
        pytest.param("ListHistory", pb.ListHistoryRequest(), "ListHistory", id="history"),
        pytest.param("Preflight", pb.PreflightRequest(), "Preflight", id="preflight"),
        pytest.param("GetDiscoveryStatus", pb.GetDiscoveryStatusRequest(), "GetDiscoveryStatus", id="status"),
        pytest.param(
            "ListInstances",
            pb.ListInstancesRequest(filter=pb.InstanceFilter(tag="a")),
            "ListInstancesRequest.filter",
            id="filter",
        ),
        pytest.param(
            "GetTopology",
            pb.GetTopologyRequest(at_time=timestamp_pb2.Timestamp(seconds=1)),
            "GetTopologyRequest.at_time",
            id="a past time",
        ),
    ],
)
async def test_what_is_not_served_is_refused(stub: Any, call: str, request_: Any, what: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(stub, call)(request_, timeout=10)
    error = parse_error(refused.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED")
    assert error.metadata == {"what": what}


async def test_stream_of_one_cluster_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for _ in stub.WatchTopology(pb.WatchTopologyRequest(cluster="shop"), timeout=10):
            pass
    assert parse_error(refused.value).metadata == {"what": "WatchTopologyRequest.cluster"}


async def test_what_is_served_is_not_refused(stub: Any) -> None:
    assert (
        await stub.ListInstances(pb.ListInstancesRequest(only_problems=True), timeout=10) == pb.ListInstancesResponse()
    )
