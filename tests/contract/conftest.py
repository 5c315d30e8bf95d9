"""What the contract tests talk to: a whole suite of three nodes that watches a primary and two replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
import pytest_asyncio

from services.ctl.nodes import Service
from tests.contract.tools import BufCurl, Grpcurl, Tool, find_grpcurl
from tests.support.eventually import eventually
from tests.support.lab import Lab
from tests.support.suite import Suite, SuiteNode


@dataclass(frozen=True, slots=True)
class NodeEndpoints:
    """Where the services of one node are."""

    discovery: str
    analysis: str
    recovery: str
    consensus: str

    @classmethod
    def of(cls, node: SuiteNode) -> NodeEndpoints:
        """Return the endpoints of a node."""
        return cls(**{service.label: node.node.endpoint(service) for service in Service})


@dataclass(frozen=True, slots=True)
class Staging:
    """A suite and what it watches.

    Attributes:
        primary: Where the primary is, `host:port`.
        replicas: Where its replicas are.
        password: Of the account the suite has on the servers.
        leader: The node that leads.
        followers: The others.
    """

    primary: str
    replicas: tuple[str, ...]
    password: str
    leader: NodeEndpoints
    followers: tuple[NodeEndpoints, ...]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def staging(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staging]:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path_factory.mktemp("staging")) as suite:
            await suite.settled(fleet)
            for node in suite.nodes:
                await eventually(partial(_healthy, node), within=30, retry_on=grpc.aio.AioRpcError, message=suite.logs)
            leader = await suite.leader()
            yield Staging(
                primary=fleet.primary.endpoint,
                replicas=tuple(replica.endpoint for replica in fleet.replicas),
                password=fleet.credentials.management.password,
                leader=NodeEndpoints.of(leader),
                followers=tuple(NodeEndpoints.of(node) for node in suite.nodes if node is not leader),
            )


async def _healthy(node: SuiteNode) -> bool:
    answers = [await BufCurl().call(node.node.endpoint(each), "grpc.health.v1.Health/Check", {}) for each in Service]
    assert [answer.messages for answer in answers] == [({"status": "SERVING"},)] * len(Service), list(Service)
    return True


async def _tool(name: str) -> Tool:
    if name == "buf-reflection":
        return BufCurl()
    if name == "buf-schema":
        return BufCurl("--schema", "protos")
    path = await find_grpcurl()
    if path is None:
        pytest.skip("neither grpcurl nor a Go toolchain to make it is here")
    return Grpcurl(path)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["buf-reflection", "buf-schema", "grpcurl"])
async def tool(request: pytest.FixtureRequest) -> Tool:
    return await _tool(request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["buf-reflection", "grpcurl"])
async def reflecting_tool(request: pytest.FixtureRequest) -> Tool:
    return await _tool(request.param)
