"""Metrics: instruments of OpenTelemetry, read by Prometheus over HTTP from the process itself.

The listener runs in the service's event loop, so what instruments look at needs no locks. It answers `GET /metrics`
and nothing else; it tells names and numbers, never a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

log = logging.getLogger(__name__)

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of spans, seconds: an fsync is at the lower end, a stalled disk at the upper."""
COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Buckets of counts."""
_READ_TIMEOUT_S: Final = 5.0


class Metrics:
    """The instruments of one process, and the listener that tells them."""

    def __init__(self) -> None:
        """Begin without instruments; those of the process itself (memory, files, CPU) are there."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider(metric_readers=[reader])
        self._server: asyncio.Server | None = None

    def meter(self, service: str) -> Meter:
        """Return what a service makes its instruments with."""
        return self._provider.get_meter(service)

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self._registry)

    async def listen(self, host_port: str) -> int:
        """Serve them and return the port.

        Raises:
            OSError: The address is taken or not ours.
        """
        host, _, port = host_port.rpartition(":")
        self._server = await asyncio.start_server(self._answer, host.strip("[]"), int(port))
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Serve them no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Scrapers come and go as they like; nothing they do is an error of ours.
        with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_READ_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.startswith((b"GET /metrics ", b"GET /metrics?"))
                writer.write(_response(self.text()) if found else _NOT_FOUND)
                await writer.drain()
        writer.close()


_NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def _response(body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
