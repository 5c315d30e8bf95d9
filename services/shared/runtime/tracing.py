"""Spans: what a call did and how long it took, as part of the caller's trace (W3C `traceparent`).

Only calls that bring a sampled trace make spans, so that tracing costs nothing where nobody asked for it. Spans leave
through any exporter that is installed beside the service, found by the name it registers with OpenTelemetry
(`otlp_proto_grpc`, `console`, …); it reads its own settings, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final

import grpc
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.shared.runtime.settings import EXPORTERS

_PARENT: Final = "traceparent"


class Tracing:
    """The spans of one process."""

    def __init__(self, exporter: SpanExporter, service: str, node: str) -> None:
        """Send spans of a service to an exporter, in a thread of its own."""
        resource = Resource.create({"service.name": f"primacy.{service}", "service.instance.id": node})
        self._provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))

    @property
    def tracer(self) -> Tracer:
        """Makes spans."""
        return self._provider.get_tracer("primacy")

    def interceptor(self) -> grpc.aio.ServerInterceptor:
        """Return what makes a span of each call."""
        return TraceInterceptor(self.tracer)

    def close(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()


def installed_exporter(name: str) -> SpanExporter:
    """Return an exporter by the name it registers under.

    Raises:
        ValueError: None is installed.
    """
    (found,) = entry_points(group=EXPORTERS, name=name)
    exporter: SpanExporter = found.load()()
    return exporter


class TraceInterceptor(grpc.aio.ServerInterceptor):
    """Makes a span of each call that brings a trace; calls that stream have none: they last as long as a process."""

    def __init__(self, tracer: Tracer) -> None:
        """Take what makes spans."""
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        metadata: Sequence[tuple[str, Any]] = handler_call_details.invocation_metadata or ()
        parent = {key: value for key, value in metadata if key == _PARENT}
        if handler is None or not parent or handler.request_streaming or handler.response_streaming:
            return handler
        return handler._replace(unary_unary=self._traced(handler.unary_unary, handler_call_details.method, parent))

    def _traced(self, behaviour: Callable[..., Awaitable[Any]], method: str, parent: dict[str, str]) -> Any:
        caller = TraceContextTextMapPropagator().extract(parent)

        async def call(request: Any, context: Any) -> Any:
            with self._tracer.start_as_current_span(method.lstrip("/"), context=caller, kind=SpanKind.SERVER):
                return await behaviour(request, context)

        return call


def is_traced() -> bool:
    """Return whether the present call is part of a trace that somebody wants."""
    return trace.get_current_span().get_span_context().trace_flags.sampled
