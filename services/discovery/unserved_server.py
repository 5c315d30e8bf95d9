"""The part of the contract that is not served: calls and fields of requests that are refused instead of ignored."""

from __future__ import annotations

from typing import Any

import grpc
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.discovery.v1 import discovery_pb2_grpc

from services.discovery.model import NotServed

Context = grpc.aio.ServicerContext[Any, Any]


class UnservedCalls(discovery_pb2_grpc.DiscoveryServiceServicer):
    """Refuses every call that is not served; who serves one takes it out here."""

    async def DiscoverMany(self, request: pb.DiscoverManyRequest, context: Context) -> pb.DiscoverManyResponse:
        """Refuse."""
        raise NotServed("DiscoverMany")

    async def ForgetCluster(self, request: pb.ForgetClusterRequest, context: Context) -> pb.ForgetClusterResponse:
        """Refuse."""
        raise NotServed("ForgetCluster")

    async def GetCluster(self, request: pb.GetClusterRequest, context: Context) -> pb.GetClusterResponse:
        """Refuse."""
        raise NotServed("GetCluster")

    async def ListProblems(self, request: pb.ListProblemsRequest, context: Context) -> pb.ListProblemsResponse:
        """Refuse."""
        raise NotServed("ListProblems")

    async def Resolve(self, request: pb.ResolveRequest, context: Context) -> pb.ResolveResponse:
        """Refuse."""
        raise NotServed("Resolve")

    async def ListHistory(self, request: pb.ListHistoryRequest, context: Context) -> pb.ListHistoryResponse:
        """Refuse."""
        raise NotServed("ListHistory")

    async def Preflight(self, request: pb.PreflightRequest, context: Context) -> pb.PreflightResponse:
        """Refuse."""
        raise NotServed("Preflight")

    async def GetDiscoveryStatus(
        self, request: pb.GetDiscoveryStatusRequest, context: Context
    ) -> pb.GetDiscoveryStatusResponse:
        """Refuse."""
        raise NotServed("GetDiscoveryStatus")


Unserved = pb.ListInstancesRequest | pb.GetTopologyRequest | pb.WatchTopologyRequest


def refuse_unserved_fields(request: Unserved) -> None:
    """Refuse a request that asks for what would be ignored.

    Raises:
        NotServed: It sets a field that is not served.
    """
    match request:
        case pb.ListInstancesRequest() if request.HasField("filter"):
            raise NotServed("ListInstancesRequest.filter")
        case pb.GetTopologyRequest() if request.HasField("at_time"):
            raise NotServed("GetTopologyRequest.at_time")
        case pb.WatchTopologyRequest() if request.cluster:
            raise NotServed("WatchTopologyRequest.cluster")
        case _:
            pass  # `separate_readings` and `snapshot_parts` say what a reader takes, not what it must get.
