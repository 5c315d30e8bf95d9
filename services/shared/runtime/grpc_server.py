"""The one place where gRPC servers are made: listeners, TLS, errors, reflection, health, graceful stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from services.shared.runtime.errors import DomainError, InvalidField
from services.shared.runtime.settings import ServiceSettings, is_loopback
from services.shared.runtime.status import ErrorTable, to_status

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""A snapshot of a fleet is one message: 1 KB an instance, more where GTID sets are long."""
STOP_GRACE_S: Final = 5.0
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # A second process on the same port must fail, not share it.
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.server_handshake_timeout_ms", 5_000),  # Without it a connection may stay silent for two minutes.
    ("grpc.max_allowed_incoming_connections", 1_024),  # A silent one takes 10 KB.
)


class UnsafeListener(Exception):
    """A listener off loopback without TLS, and nobody said that this is a staging network."""


def unwrap(error: BaseException) -> BaseException:
    """Return what a group of one holds (`TaskGroup` wraps exceptions), however deep; else the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


_UNDECODABLE: Final = object()
"""Stands for bytes that are no message of the method."""


def _decoding(handler: Any) -> Any:
    """Return a handler that gets `InvalidField` for bytes it cannot read; gRPC alone would answer UNKNOWN."""
    parse = handler.request_deserializer
    name = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if handler.response_streaming else 'unary'}"
    behaviour = getattr(handler, name)

    def deserialize(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return _UNDECODABLE

    async def read(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield _decoded(request)

    def take(request: Any, context: Any) -> Any:
        return behaviour(read(request) if handler.request_streaming else _decoded(request), context)

    return handler._replace(request_deserializer=deserialize, **{name: take})


def _decoded(request: Any) -> Any:
    if request is _UNDECODABLE:
        raise InvalidField("request", "is not a message of this method")
    return request


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns domain errors into rich statuses, and everything else into INTERNAL without text.

    `grpc.aio` alone would send `str(exception)` to the caller.
    """

    def __init__(self, domain: str, table: ErrorTable) -> None:
        self._domain = domain
        self._table = table

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        handler = _decoding(handler)
        if handler.response_streaming:
            name = "stream_stream" if handler.request_streaming else "unary_stream"
            return handler._replace(**{name: self._streaming(getattr(handler, name), method)})
        name = "stream_unary" if handler.request_streaming else "unary_unary"
        return handler._replace(**{name: self._single(getattr(handler, name), method)})

    def _single(self, behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            try:
                return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001  the last line of defence
                await self._abort(error, context, method)

        return call

    def _streaming(self, behaviour: Callable[..., Any], method: str) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:  # noqa: BLE001  the last line of defence
                await self._abort(error, context, method)

        return call

    async def _abort(self, error: Exception, context: Any, method: str) -> NoReturn:
        cause = unwrap(error)
        if isinstance(cause, grpc.aio.AbortError):
            raise cause
        if isinstance(cause, DomainError):
            await context.abort_with_status(rpc_status.to_status(to_status(cause, self._domain, self._table)))
        log.error("rpc.failed", exc_info=cause, extra={"method": method})
        await context.abort(grpc.StatusCode.INTERNAL, "internal error; the service's log has the details")
        raise AssertionError("abort does not return")


class GrpcServer:
    """A `grpc.aio` server with reflection, `grpc.health.v1` and rich errors.

    Health of `""` and of each service starts as NOT_SERVING; `set_serving` changes it when the process could do its
    work.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        domain: str,
        table: ErrorTable,
        services: Sequence[str],
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Make a server that does not listen yet.

        Args:
            settings: TLS and plaintext rules.
            domain: `ErrorInfo.domain`, for example `recovery.primacy`.
            table: The service's error rules.
            services: Full names of the gRPC services, for reflection and health.
            interceptors: Of this service; what they raise is told as an error like any other.
            options: gRPC's channel arguments that differ from the usual ones.
        """
        self._settings = settings
        self._services = tuple(services)
        self.grpc: grpc.aio.Server = grpc.aio.server(
            interceptors=(ErrorInterceptor(domain, table), *interceptors),
            options=tuple({**dict(_OPTIONS), **dict(options)}.items()),
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection((*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME), self.grpc)

    def listen(self, host_port: str) -> int:
        """Bind a listener and return its port.

        Raises:
            UnsafeListener: Off loopback without TLS and without `allow_plaintext`.
            RuntimeError: The address is taken or not ours.
        """
        if self._settings.tls_enabled:
            return int(self.grpc.add_secure_port(host_port, server_credentials(self._settings)))
        if not is_loopback(host_port) and not self._settings.allow_plaintext:
            raise UnsafeListener(
                f"{host_port} is reachable from other machines: give tls_cert_file, tls_key_file and tls_ca_file, "
                "or set allow_plaintext when this is a staging network"
            )
        return int(self.grpc.add_insecure_port(host_port))

    async def start(self) -> None:
        """Start to answer; health stays NOT_SERVING until `set_serving`."""
        for service in ("", *self._services):
            await self.set_serving(service, serving=False)
        await self.grpc.start()

    async def set_serving(self, service: str, *, serving: bool) -> None:
        """Set what health says of a service, or of the whole process (`""`)."""
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set(service, state)

    async def set_all_serving(self, *, serving: bool) -> None:
        """Set what health says of the process and of each of its services."""
        for service in ("", *self._services):
            await self.set_serving(service, serving=serving)

    async def stop(self) -> None:
        """Refuse new calls, give running ones five seconds, then end."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(STOP_GRACE_S)


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials:
    """Return credentials that require a client certificate of our authority."""
    assert settings.tls_cert_file is not None
    assert settings.tls_key_file is not None
    assert settings.tls_ca_file is not None
    return grpc.ssl_server_credentials(
        [(settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())],
        root_certificates=settings.tls_ca_file.read_bytes(),
        require_client_auth=True,
    )


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; call it once, in the running loop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
