"""What the contract tests talk to: a topology under discovery and analysis, and a group of three members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.running import RunningService, group_of
from tests.contract.tools import BufCurl, Grpcurl, Tool, find_grpcurl
from tests.support.eventually import eventually
from tests.support.lab import Lab


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary with one replica, and who watches it."""

    primary: str
    replica: str
    discovery: str
    analysis: str


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of the members of a group that has a leader."""

    leader: str
    followers: tuple[str, ...]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    async with Lab() as lab, AsyncExitStack() as stack:
        fleet = await lab.deploy("p -> r")
        password = _secret(directory / "password", fleet.credentials.management.password)
        discovery = await stack.enter_async_context(
            RunningService(
                "discovery",
                SEEDS=f'["{fleet.primary.endpoint}"]',
                STORE_URL=f"sqlite:///{directory}/discovery.db",
                MYSQL_USER=fleet.credentials.management.user,
                MYSQL_PASSWORD_FILE=str(password),
            )
        )
        analysis = await stack.enter_async_context(RunningService("analysis", DISCOVERY_ENDPOINT=discovery.endpoint))
        await eventually(lambda: _instances(discovery.endpoint, 2), within=30, message="both servers discovered")
        for service in (discovery, analysis):
            await eventually(partial(_serves, service.endpoint), within=30, message=f"{service.name} serves")
        (replica,) = fleet.replicas
        yield Watched(fleet.primary.endpoint, replica.endpoint, discovery.endpoint, analysis.endpoint)


def _secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


async def _instances(discovery: str, count: int) -> bool:
    answer = await BufCurl().call(discovery, "primacy.discovery.v1.DiscoveryService/ListInstances", {})
    return len(answer.messages) == 1 and len(answer.messages[0].get("instances", ())) == count


async def _serves(endpoint: str, service: str = "") -> bool:
    answer = await BufCurl().call(endpoint, "grpc.health.v1.Health/Check", {"service": service})
    return bool(answer.messages) and answer.messages[0].get("status") == "SERVING"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def group(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Group]:
    members = group_of(3, tmp_path_factory.mktemp("group"))
    async with AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(member)
        endpoints = [member.endpoint for member in members]
        leader = await eventually(lambda: _leader(endpoints), within=30, message="a leader")
        assert leader is not None
        yield Group(leader, tuple(endpoint for endpoint in endpoints if endpoint != leader))


async def _leader(endpoints: list[str]) -> str | None:
    for endpoint in endpoints:
        if await _serves(endpoint, "primacy.leader"):
            return endpoint
    return None


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
