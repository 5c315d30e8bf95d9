"""The gRPC servicer: translates and delegates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.discovery import convert
from services.discovery.app import DiscoveryApp
from services.discovery.feed import Revised
from services.discovery.model import AccountRefused, InstanceNotRead, InstanceUnreachable, NotServed
from services.discovery.unserved_server import UnservedCalls, refuse_unserved_fields
from services.shared.runtime.errors import DependencyUnavailable
from services.shared.runtime.paging import Place, page_of
from services.shared.runtime.status import ErrorRule, ErrorTable
from services.shared.runtime.watching import WatchEnded, Watcher
from services.shared.topology.convert.instance import instance_to_proto
from services.shared.topology.convert.key import key_from_request
from services.shared.topology.convert.snapshot import cluster_to_proto, snapshot_to_proto
from services.shared.topology.key import InstanceKey

SERVICE: Final = pb.DESCRIPTOR.services_by_name["DiscoveryService"].full_name
DOMAIN: Final = "discovery.primacy"
ERRORS: Final[ErrorTable] = {
    InstanceUnreachable: ErrorRule(grpc.StatusCode.UNAVAILABLE, "INSTANCE_UNREACHABLE"),
    AccountRefused: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "ACCESS_DENIED"),
    InstanceNotRead: ErrorRule(grpc.StatusCode.FAILED_PRECONDITION, "INSTANCE_NOT_READ"),
    NotServed: ErrorRule(grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED"),
}
PROGRESS_S: Final = 0.8
"""A stream says something at least so often; the contract promises once a second."""

Context = grpc.aio.ServicerContext[Any, Any]


class DiscoveryServicer(UnservedCalls):
    """`primacy.discovery.v1.DiscoveryService`."""

    def __init__(self, app: DiscoveryApp) -> None:
        self._app = app
        self._last: tuple[Revised, pb.WatchTopologyResponse] | None = None

    async def Discover(self, request: pb.DiscoverRequest, context: Context) -> pb.DiscoverResponse:
        """Probe a server and all around it."""
        instance, found = await self._app.discover(key_from_request(request.endpoint, "endpoint"))
        return pb.DiscoverResponse(instance=instance_to_proto(instance), found=convert.endpoints_to_proto(found))

    async def Refresh(self, request: pb.RefreshRequest, context: Context) -> pb.RefreshResponse:
        """Probe one known instance."""
        instance = await self._app.refresh(key_from_request(request.endpoint, "endpoint"))
        return pb.RefreshResponse(instance=instance_to_proto(instance))

    async def Forget(self, request: pb.ForgetRequest, context: Context) -> pb.ForgetResponse:
        """Drop an instance."""
        self._app.forget(key_from_request(request.endpoint, "endpoint"))
        return pb.ForgetResponse()

    async def GetInstance(self, request: pb.GetInstanceRequest, context: Context) -> pb.GetInstanceResponse:
        """Return one instance."""
        instance = self._app.instance(key_from_request(request.endpoint, "endpoint"))
        return pb.GetInstanceResponse(instance=instance_to_proto(instance))

    async def ListInstances(self, request: pb.ListInstancesRequest, context: Context) -> pb.ListInstancesResponse:
        """Return one page of instances."""
        refuse_unserved_fields(request)
        found = self._app.instances(request.cluster, only_problems=request.only_problems)
        page, next_token = page_of(
            found, lambda instance: _key_order(instance.key), request.page_size, request.page_token
        )
        return pb.ListInstancesResponse(instances=convert.instances_to_proto(page), next_page_token=next_token)

    async def ListClusters(self, request: pb.ListClustersRequest, context: Context) -> pb.ListClustersResponse:
        """Return one page of clusters."""
        page, next_token = page_of(
            self._app.clusters(),
            lambda cluster: (cluster.alias, cluster.cluster_id),
            request.page_size,
            request.page_token,
        )
        clusters: list[topology_pb2.Cluster] = [cluster_to_proto(cluster) for cluster in page]
        return pb.ListClustersResponse(clusters=clusters, next_page_token=next_token)

    async def GetTopology(self, request: pb.GetTopologyRequest, context: Context) -> pb.GetTopologyResponse:
        """Return all of it, or one cluster."""
        refuse_unserved_fields(request)
        await self._app.wait_ready()
        return pb.GetTopologyResponse(snapshot=snapshot_to_proto(self._app.snapshot(request.cluster)))

    async def WatchTopology(
        self, request: pb.WatchTopologyRequest, context: Context
    ) -> AsyncIterator[pb.WatchTopologyResponse]:
        """Stream a snapshot, then changes."""
        refuse_unserved_fields(request)
        await self._app.wait_ready()
        revision = request.after_revision
        with self._app.watch(request.after_revision) as (snapshot, watcher):
            if snapshot is not None:
                revision = snapshot.revision
                yield convert.snapshot_to_response(snapshot)
            while True:
                revised = await _next(watcher)
                if revised is None:
                    yield convert.progress_to_response(revision, self._app.staleness)
                else:
                    revision = revised.revision
                    yield self._response(revised)

    def _response(self, revised: Revised) -> pb.WatchTopologyResponse:
        """Return the message of a change, made once for all watchers."""
        if self._last is None or self._last[0] is not revised:
            self._last = (revised, convert.revised_to_response(revised))
        return self._last[1]


async def _next(watcher: Watcher[Revised]) -> Revised | None:
    try:
        return await watcher.next(PROGRESS_S)
    except WatchEnded:
        raise DependencyUnavailable("discovery", "it is stopping") from None


def _key_order(key: InstanceKey) -> Place:
    return key.host, key.port
