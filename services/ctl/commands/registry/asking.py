"""Asking the registry: who writes and why, all pages of a list, and what a person means by a target."""

from __future__ import annotations

import copy
import uuid
from typing import Any, Protocol, TypeVar

from primacy.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from primacy.consensus.v1 import registry_pb2 as pb

from services.ctl.api import REGISTRY, Method
from services.ctl.arguments import names_instance, parse_endpoint, parse_request_id
from services.ctl.client import Suite
from services.ctl.paging import ListRequest, PageT, all_pages
from services.ctl.requester import requester


class RegistryList(ListRequest, Protocol):
    """What all requests that list the registry have in common."""

    consistency: pb.ReadConsistency.ValueType


ListT = TypeVar("ListT", bound=RegistryList)


def origin(owner: str, reason: str, request_id: str) -> dict[str, Any]:
    """Return what all requests that write have in common, as their fields.

    Raises:
        CtlError: The request id is no UUID.
    """
    return {"request_id": parse_request_id(request_id), "owner": owner or requester(), "reason": reason}


async def list_all(
    suite: Suite,
    method: Method[consensus_pb2_grpc.RegistryServiceAsyncStub, ListT, PageT],
    request: ListT,
    *,
    fresh: bool,
) -> PageT:
    """Return all pages of a list as one.

    Args:
        suite: Whom to ask.
        method: Which list.
        request: What to list; its page and its consistency do not matter.
        fresh: Ask the leader, who knows what is committed; else anybody.

    Raises:
        CtlError: It was refused, or nobody answers.
    """
    asked = copy.deepcopy(request)
    asked.consistency = pb.READ_CONSISTENCY_LINEARIZABLE if fresh else pb.READ_CONSISTENCY_LOCAL

    async def ask(page: ListT) -> PageT:
        call = REGISTRY.call(method, page)
        return await (suite.leader(call) if fresh else suite.first(call))

    return await all_pages(ask, asked)


async def resolve_target(suite: Suite, text: str) -> pb.Target:
    """Return what a person means: `host:port` is an instance, all else a cluster.

    Raises:
        CtlError: There is no such cluster, or nobody answers.
    """
    if names_instance(text):
        return pb.Target(instance=parse_endpoint(text))
    return pb.Target(cluster_id=await resolve_cluster(suite, text))


async def resolve_cluster(suite: Suite, text: str) -> str:
    """Return the id of a cluster: a UUID is taken as it is, an alias must be exactly the one it has.

    Raises:
        CtlError: There is no such alias, or nobody answers.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    by_alias = pb.ListClusterNamesRequest(alias=text)
    named = await suite.first(REGISTRY.call(lambda stub: stub.ListClusterNames, by_alias))
    if named.cluster_names:
        return named.cluster_names[0].cluster_id
    request = consensus_pb2.GetPrimaryRequest(cluster=text)
    return (await suite.first(REGISTRY.call(lambda stub: stub.GetPrimary, request))).primary.cluster_id
