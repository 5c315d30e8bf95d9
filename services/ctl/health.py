"""What a service says of its health, asked with as little loaded as possible: containers ask every few seconds."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING: Final = "serving"
NOT_SERVING: Final = "not serving"
UNKNOWN: Final = "does not know that name"
UNREACHABLE: Final = "unreachable"
PROBE_TIMEOUT_S: Final = 2.0
EXIT_CODES: Final = {SERVING: 0, NOT_SERVING: 5, UNKNOWN: 3, UNREACHABLE: 4}


async def check(channel: grpc.aio.Channel, timeout_s: float, name: str = "") -> str:
    """Return `SERVING`, `NOT_SERVING`, `UNKNOWN` or `UNREACHABLE`.

    Args:
        channel: To the service.
        timeout_s: Deadline.
        name: Which of its health names; empty = the whole process, `primacy.leader` = leads with a valid lease.
    """
    request = health_pb2.HealthCheckRequest(service=name)
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)  # type: ignore[attr-defined]
    except grpc.aio.AioRpcError as error:
        return UNKNOWN if error.code() is grpc.StatusCode.NOT_FOUND else UNREACHABLE
    return SERVING if answer.status == health_pb2.HealthCheckResponse.SERVING else NOT_SERVING


def probe(endpoint: str) -> int:
    """Print the health of a plain-text endpoint and return the exit code: all that `health HOST:PORT` does.

    It makes its channel itself, because the common way loads the settings, which takes longer than everything else.
    """
    state = asyncio.run(_ask(endpoint))
    print(state)
    return EXIT_CODES[state]


async def _ask(endpoint: str) -> str:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        return await check(channel, PROBE_TIMEOUT_S)
