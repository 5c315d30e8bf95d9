"""A node for the command line to talk to: real gRPC servers whose answers are set by the test."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from primacy.analysis.v1 import analysis_pb2, analysis_pb2_grpc
from primacy.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from primacy.discovery.v1 import discovery_pb2, discovery_pb2_grpc
from primacy.recovery.v1 import recovery_pb2, recovery_pb2_grpc

from services.ctl.nodes import Node, Service
from services.shared.runtime.errors import DomainError
from services.shared.runtime.grpc_server import GrpcServer
from services.shared.runtime.settings import ServiceSettings


@dataclass(frozen=True)
class Done:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


async def primacy(*arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """Run `primacy` to its end as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ctl",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


SILENCE = object()


@dataclass
class FakeNode:
    """What a node answers.

    Attributes:
        answers: By name of the RPC: a message, an error to raise, or for a stream a list of messages.
        asked: Every request, with the name of its RPC, in order.
        down: Services that do not run.
    """

    node: Node
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    down: frozenset[Service] = frozenset()

    def answer(self, name: str, request: Any) -> Any:
        """Return what is set for an RPC, or raise it."""
        self.asked.append((name, request))
        value = self.answers[name]
        if isinstance(value, DomainError):
            raise value
        return value

    async def stream(self, name: str, request: Any) -> AsyncIterator[Any]:
        """Yield what is set for a stream; at `SILENCE` say nothing any more."""
        for message in self.answer(name, request):
            if message is SILENCE:
                await asyncio.Event().wait()
            yield message


@contextlib.asynccontextmanager
async def running(node: FakeNode) -> AsyncIterator[FakeNode]:
    """Serve a node's services on its ports."""
    async with contextlib.AsyncExitStack() as stack:
        for service in Service:
            if service not in node.down:
                await stack.enter_async_context(_serving(node, service))
        yield node


@contextlib.asynccontextmanager
async def _serving(node: FakeNode, service: Service) -> AsyncIterator[None]:
    server = GrpcServer(ServiceSettings(), f"{service.label}.primacy", {}, [])
    _SERVICERS[service](node, server)
    server.listen(node.node.endpoint(service))
    await server.start()
    await server.set_all_serving(serving=True)
    try:
        yield
    finally:
        await server.grpc.stop(0)


def _discovery(node: FakeNode, server: GrpcServer) -> None:
    class Servicer(discovery_pb2_grpc.DiscoveryServiceServicer):
        async def Discover(self, request: Any, _: Any) -> discovery_pb2.DiscoverResponse:
            return node.answer("Discover", request)  # type: ignore[no-any-return]

        async def GetTopology(self, request: Any, _: Any) -> discovery_pb2.GetTopologyResponse:
            return node.answer("GetTopology", request)  # type: ignore[no-any-return]

    discovery_pb2_grpc.add_DiscoveryServiceServicer_to_server(Servicer(), server.grpc)  # type: ignore[abstract]


def _analysis(node: FakeNode, server: GrpcServer) -> None:
    class Servicer(analysis_pb2_grpc.AnalysisServiceServicer):
        async def ListFindings(self, request: Any, _: Any) -> analysis_pb2.ListFindingsResponse:
            return node.answer(f"ListFindings{request.page_token}", request)  # type: ignore[no-any-return]

        async def Explain(self, request: Any, _: Any) -> analysis_pb2.ExplainResponse:
            return node.answer(f"Explain {request.WhichOneof('subject')}", request)  # type: ignore[no-any-return]

    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(Servicer(), server.grpc)  # type: ignore[abstract]


def _recovery(node: FakeNode, server: GrpcServer) -> None:
    class Servicer(recovery_pb2_grpc.RecoveryServiceServicer):
        async def Plan(self, request: Any, _: Any) -> recovery_pb2.PlanResponse:
            return node.answer("Plan", request)  # type: ignore[no-any-return]

        async def StartRecovery(self, request: Any, _: Any) -> recovery_pb2.StartRecoveryResponse:
            return node.answer("StartRecovery", request)  # type: ignore[no-any-return]

        async def GetRecovery(self, request: Any, _: Any) -> recovery_pb2.GetRecoveryResponse:
            return node.answer("GetRecovery", request)  # type: ignore[no-any-return]

        async def ListRecoveries(self, request: Any, _: Any) -> recovery_pb2.ListRecoveriesResponse:
            return node.answer("ListRecoveries", request)  # type: ignore[no-any-return]

        async def ListBlockers(self, request: Any, _: Any) -> recovery_pb2.ListBlockersResponse:
            return node.answer("ListBlockers", request)  # type: ignore[no-any-return]

        async def WatchRecovery(self, request: Any, _: Any) -> AsyncIterator[recovery_pb2.WatchRecoveryResponse]:
            async for message in node.stream("WatchRecovery", request):
                yield message

    recovery_pb2_grpc.add_RecoveryServiceServicer_to_server(Servicer(), server.grpc)


def _consensus(node: FakeNode, server: GrpcServer) -> None:
    class Group(consensus_pb2_grpc.GroupServiceServicer):
        async def GetStatus(self, request: Any, _: Any) -> consensus_pb2.GetStatusResponse:
            return node.answer("GetStatus", request)  # type: ignore[no-any-return]

    class Registry(consensus_pb2_grpc.RegistryServiceServicer):
        async def ListPrimaries(self, request: Any, _: Any) -> consensus_pb2.ListPrimariesResponse:
            return node.answer("ListPrimaries", request)  # type: ignore[no-any-return]

        async def WatchPrimaries(self, request: Any, _: Any) -> AsyncIterator[consensus_pb2.WatchPrimariesResponse]:
            async for message in node.stream("WatchPrimaries", request):
                yield message

    consensus_pb2_grpc.add_GroupServiceServicer_to_server(Group(), server.grpc)  # type: ignore[abstract]
    consensus_pb2_grpc.add_RegistryServiceServicer_to_server(Registry(), server.grpc)  # type: ignore[abstract]


_SERVICERS = {
    Service.DISCOVERY: _discovery,
    Service.ANALYSIS: _analysis,
    Service.RECOVERY: _recovery,
    Service.CONSENSUS: _consensus,
}
