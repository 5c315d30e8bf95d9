"""Errors as callers get them: one ErrorInfo, the right code, and never the text of what we did not expect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.shared.runtime.errors import DomainError, InstanceUnknown, InvalidField, NoLeader, NotLeader
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.grpc_server import ErrorInterceptor, GrpcServer, UnsafeListener, unwrap
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import COMMON_ERRORS, ErrorRule, ErrorTable, parse_error, to_status

DOMAIN = "example.primacy"


@dataclass
class TooManyCooks(DomainError):
    """An error of the example service."""

    cooks: int

    def __str__(self) -> str:
        return f"{self.cooks} cooks are too many"


TABLE: ErrorTable = {TooManyCooks: ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_COOKS")}


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(InvalidField("a.b", "is odd"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", id="field"),
        pytest.param(NoLeader(), grpc.StatusCode.UNAVAILABLE, "NO_LEADER", id="no leader"),
        pytest.param(TooManyCooks(3), grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_COOKS", id="own table"),
    ],
)
def test_error_has_exactly_one_error_info(error: DomainError, code: grpc.StatusCode, reason: str) -> None:
    status = to_status(error, DOMAIN, TABLE)
    infos = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert (len(infos), status.code, info.reason, info.domain) == (1, code.value[0], reason, DOMAIN)
    assert info.metadata == error.facts()


def test_invalid_field_is_named_as_bad_request() -> None:
    status = to_status(InvalidField("endpoint.port", "is odd"), DOMAIN, {})
    request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(request) for detail in status.details)
    assert request.field_violations[0].field == "endpoint.port"


@pytest.mark.parametrize("kind", list(COMMON_ERRORS), ids=lambda kind: kind.__name__)
def test_every_common_error_has_an_upper_case_reason(kind: type[DomainError]) -> None:
    assert COMMON_ERRORS[kind].reason == COMMON_ERRORS[kind].reason.upper()


def test_group_of_one_is_unwrapped_however_deep() -> None:
    inner = ValueError("x")
    assert unwrap(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner


def test_group_of_two_stays_a_group() -> None:
    group = ExceptionGroup("a", [ValueError("x"), ValueError("y")])
    assert unwrap(group) is group


class FailingHealth(health_pb2_grpc.HealthServicer):
    """Fails as its `failure` says, in both kinds of calls."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:
        raise self.failure

    async def Watch(self, request: object, context: object) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        yield health_pb2.HealthCheckResponse()
        raise self.failure


async def call(stub: Any, *, watch: bool) -> None:
    request = health_pb2.HealthCheckRequest()
    if not watch:
        await stub.Check(request)
        return
    async for _ in stub.Watch(request):
        pass


async def call_failing(failure: Exception, *, watch: bool) -> grpc.aio.AioRpcError:
    server = grpc.aio.server(interceptors=(ErrorInterceptor(DOMAIN, TABLE),))
    health_pb2_grpc.add_HealthServicer_to_server(FailingHealth(failure), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call(health_pb2_grpc.HealthStub(channel), watch=watch)
            return failed.value
    finally:
        await server.stop(None)


@pytest.mark.parametrize("watch", [False, True], ids=["unary", "stream"])
async def test_unexpected_error_reaches_no_caller(watch: bool) -> None:
    error = await call_failing(RuntimeError("password=hunter2"), watch=watch)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(error.details()) + str(error)


@pytest.mark.parametrize("watch", [False, True], ids=["unary", "stream"])
async def test_domain_error_reaches_the_caller_with_its_facts(watch: bool) -> None:
    error = await call_failing(NotLeader("node2", "10.0.0.2:50053"), watch=watch)
    remote = parse_error(error)
    assert (remote.code, remote.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_LEADER")
    assert remote.metadata["endpoint"] == "10.0.0.2:50053"


async def test_domain_error_in_a_group_of_one_is_told_as_itself() -> None:
    error = await call_failing(ExceptionGroup("task group", [InstanceUnknown("db1:3306")]), watch=False)
    assert parse_error(error).reason == "INSTANCE_UNKNOWN"


async def test_listener_off_loopback_without_tls_is_refused() -> None:
    server = GrpcServer(ServiceSettings(), DOMAIN, {}, ())
    with pytest.raises(UnsafeListener, match="allow_plaintext"):
        server.listen("0.0.0.0:0")


async def test_health_is_not_serving_until_said_so() -> None:
    server = GrpcServer(ServiceSettings(), DOMAIN, {}, ("example.Service",))
    port = server.listen("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            before = await stub.Check(health_pb2.HealthCheckRequest(service="example.Service"))
            await server.set_all_serving(serving=True)
            after = await stub.Check(health_pb2.HealthCheckRequest())
    finally:
        await server.stop()
    assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert after.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_bytes_that_are_no_message_are_refused_as_such(method: str, caplog: pytest.LogCaptureFixture) -> None:
    server = grpc.aio.server(interceptors=(ErrorInterceptor(DOMAIN, TABLE),))
    health_pb2_grpc.add_HealthServicer_to_server(FailingHealth(RuntimeError()), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        multicallable: Any = channel.unary_unary if method == "Check" else channel.unary_stream
        answer = multicallable(f"/grpc.health.v1.Health/{method}")(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await (answer if method == "Check" else answer.read())
    await server.stop(None)
    assert parse_error(refused.value).reason == "INVALID_FIELD"
    assert caplog.text == ""
