"""The services' methods as calls: each is picked from its stub, so that its request and its answer are typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import grpc
from primacy.analysis.v1 import analysis_pb2_grpc
from primacy.consensus.v1 import consensus_pb2_grpc
from primacy.discovery.v1 import discovery_pb2_grpc
from primacy.recovery.v1 import recovery_pb2_grpc

from services.ctl.nodes import Service

T = TypeVar("T")
StubT = TypeVar("StubT")
RequestT = TypeVar("RequestT")
Method = Callable[[StubT], grpc.aio.UnaryUnaryMultiCallable[RequestT, T]]
"""Picks a method from its stub: `lambda stub: stub.GetStatus`."""
StreamMethod = Callable[[StubT], grpc.aio.UnaryStreamMultiCallable[RequestT, T]]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call, whomever it will be made to.

    Attributes:
        service: Who answers it.
        make: Makes it on a channel, with this timeout in seconds.
    """

    service: Service
    make: Callable[[grpc.aio.Channel, float], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Stream(Generic[T]):
    """One stream, whomever it will be read from.

    Attributes:
        service: Who sends it.
        open: Opens it on a channel.
    """

    service: Service
    open: Callable[[grpc.aio.Channel], grpc.aio.UnaryStreamCall[Any, T]]


@dataclass(frozen=True, slots=True)
class Api(Generic[StubT]):
    """The methods of one gRPC service, and which service of a node has them."""

    service: Service
    stub: Callable[[grpc.aio.Channel], StubT]

    def call(self, method: Method[StubT, RequestT, T], request: RequestT) -> Call[T]:
        """Return the call of a method with this request."""
        return Call(self.service, lambda channel, timeout_s: method(self.stub(channel))(request, timeout=timeout_s))

    def stream(self, method: StreamMethod[StubT, RequestT, T], request: RequestT) -> Stream[T]:
        """Return the stream of a method with this request."""
        return Stream(self.service, lambda channel: method(self.stub(channel))(request))


DISCOVERY: Final = Api(Service.DISCOVERY, discovery_pb2_grpc.DiscoveryServiceStub)
ANALYSIS: Final = Api(Service.ANALYSIS, analysis_pb2_grpc.AnalysisServiceStub)
RECOVERY: Final = Api(Service.RECOVERY, recovery_pb2_grpc.RecoveryServiceStub)
GROUP: Final = Api(Service.CONSENSUS, consensus_pb2_grpc.GroupServiceStub)
REGISTRY: Final = Api(Service.CONSENSUS, consensus_pb2_grpc.RegistryServiceStub)
