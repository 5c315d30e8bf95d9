"""Clients that commit steps of 256 bytes through a member's API, so many in flight."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

from tests.support.consensus_group import LEASE, MemberProcess, register

Load = Callable[[MemberProcess, int, Sequence[str], float], Awaitable[list[float]]]
"""Commits through a leader under a token, one write in flight for each recovery, for so many seconds."""
COMMAND_BYTES: Final = 256
_KEEP_ALIVE_S: Final = 1.0


async def recoveries(leader: MemberProcess, token: int, count: int) -> list[str]:
    """Open recoveries, one for each write in flight: what is measured does not wait for one another's rows."""
    return [(await register(leader, token)).recovery_id for _ in range(count)]


def step(recovery_id: str, token: int, number: int) -> pb.RecordStepRequest:
    """Return a write of one step; written anew it changes one row, so what is measured does not grow."""
    data = number.to_bytes(COMMAND_BYTES, "big")
    record = pb.StepRecord(number=1, phase=pb.StepRecord.PHASE_INTENT, data=data)
    return pb.RecordStepRequest(recovery_id=recovery_id, fencing_token=token, step=record)


async def keep_alive(leader: MemberProcess, session: str, token: int) -> None:
    """Keep the lease's session alive until cancelled."""
    stream = leader.leases.KeepAlive()
    while True:
        await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
        await asyncio.sleep(_KEEP_ALIVE_S)


async def unary(leader: MemberProcess, token: int, opened: Sequence[str], seconds: float) -> list[float]:
    """Commit with single calls, one client for each recovery; return the latencies in milliseconds."""

    async def client(recovery_id: str) -> list[float]:
        latencies_ms = []
        began = time.perf_counter()
        for number in itertools.count():
            asked = time.perf_counter()
            await leader.journal.RecordStep(step(recovery_id, token, number), timeout=5)
            answered = time.perf_counter()
            latencies_ms.append((answered - asked) * 1e3)
            if answered - began > seconds:
                break
        return latencies_ms

    latencies = await asyncio.gather(*(client(recovery_id) for recovery_id in opened))
    return list(itertools.chain.from_iterable(latencies))


async def stream(leader: MemberProcess, token: int, opened: Sequence[str], seconds: float) -> list[float]:
    """Commit through one stream of writes, one in flight for each recovery; return the latencies in milliseconds."""
    call: Any = leader.journal.Write()
    asked = [0.0] * len(opened)
    latencies_ms: list[float] = []
    began = time.perf_counter()
    await _write(call, asked, opened, token, range(len(opened)))
    in_flight = len(opened)
    while in_flight:
        message = await call.read()
        assert message is not grpc.aio.EOF, "the member ended the stream"
        now = time.perf_counter()
        answered = []
        for answer in (message, *message.more):
            assert not answer.error, answer.error
            latencies_ms.append((now - asked[answer.sequence]) * 1e3)
            answered.append(answer.sequence)
        if now - began > seconds:
            in_flight -= len(answered)
        else:
            await _write(call, asked, opened, token, answered)
    await call.done_writing()
    return latencies_ms


async def _write(call: Any, asked: list[float], opened: Sequence[str], token: int, slots: Sequence[int]) -> None:
    now = time.perf_counter()
    writes: list[pb.WriteRequest] = []
    for slot in slots:
        asked[slot] = now
        number = len(writes)
        writes.append(pb.WriteRequest(sequence=slot, record_step=step(opened[slot], token, number)))
    writes[0].more.extend(writes[1:])
    await call.write(writes[0])
