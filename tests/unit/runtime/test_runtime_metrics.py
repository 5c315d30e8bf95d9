"""The listener that tells Prometheus what a process counts."""

from __future__ import annotations

import asyncio

import pytest

from services.shared.runtime.metrics import Metrics


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_metrics_are_told_in_the_format_of_prometheus() -> None:
    metrics = Metrics()
    metrics.meter("test").create_counter("primacy_test_things").add(3, {"kind": "good"})
    port = await metrics.listen("127.0.0.1:0")
    try:
        answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
    finally:
        metrics.close()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert b'primacy_test_things_total{kind="good"} 3.0' in answer
    assert b"process_open_fds" in answer


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another-path"),
        pytest.param(b"POST /metrics HTTP/1.1\r\n\r\n", id="another-method"),
        pytest.param(b"\x16\x03\x01 nonsense\r\n\r\n", id="no-http"),
    ],
)
async def test_anything_else_is_not_found(request_: bytes) -> None:
    metrics = Metrics()
    port = await metrics.listen("127.0.0.1:0")
    try:
        assert (await ask(port, request_)).startswith(b"HTTP/1.1 404")
    finally:
        metrics.close()


async def test_metrics_of_two_services_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.meter("one").create_counter("primacy_one").add(1)
    assert b"primacy_one" in one.text()
    assert b"primacy_one" not in other.text()


async def test_taken_address_is_an_error_of_the_start() -> None:
    one, other = Metrics(), Metrics()
    port = await one.listen("127.0.0.1:0")
    try:
        with pytest.raises(OSError, match="address already in use"):
            await other.listen(f"127.0.0.1:{port}")
    finally:
        one.close()
