"""An outside observer: asks every member every few milliseconds whether it leads with a lease.

A process of its own, so that it does not slow down the clients: `python -m tests.chaos.observer MILLISECONDS OUT MEMBER
ENDPOINT …`, until it is terminated. Each answer "I do" is a line: member, time before the question, time after the
answer, for how long the lease was valid, number of the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.shared.runtime.clock import boottime_ns
from services.shared.runtime.grpc_client import open_channel

_CALL_S: Final = 0.3
_RETRY_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Sighting:
    """A member said that it leads with a valid lease.

    Attributes:
        asked: When it was asked; times are in nanoseconds of one clock.
        answered: When the answer came.
        valid_ns: For how long it said it would be valid.
        seq: Number of the lease, which grows after each lapse.
    """

    member_id: int
    asked: int
    answered: int
    valid_ns: int
    seq: int


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which a member led with a lease, for certain."""

    member_id: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two members led with a lease at the same time, for certain."""

    one: Held
    other: Held


def read_sightings(file: Path) -> list[Sighting]:
    """Return all sightings in the order of their answers."""
    return [Sighting(*json.loads(line)) for line in file.read_text(encoding="ascii").splitlines()]


def held(sightings: Iterable[Sighting], *, surrendered: bool) -> Iterator[Held]:
    """Return when leases were valid for certain.

    Between two sightings under one number the lease never lapsed. After a sighting it is valid for as long as was said,
    counted from the question, unless it may have been surrendered: a transfer ends a lease before its time.
    """
    newest: dict[int, Sighting] = {}
    for sighting in sorted(sightings, key=lambda each: each.answered):
        before = newest.get(sighting.member_id)
        if before is not None and before.seq == sighting.seq:
            yield Held(sighting.member_id, before.answered, sighting.asked)
        if not surrendered:
            yield Held(sighting.member_id, sighting.answered, sighting.asked + sighting.valid_ns)
        newest[sighting.member_id] = sighting


def overlaps(sightings: Iterable[Sighting], *, surrendered: bool) -> list[Overlap]:
    """Return all times at which leases of different members were valid.

    Args:
        sightings: In any order.
        surrendered: Leadership was transferred meanwhile.
    """
    found = []
    latest: dict[int, Held] = {}
    times = (each for each in held(sightings, surrendered=surrendered) if each.end > each.begin)
    for time in sorted(times, key=lambda each: each.begin):
        found += [
            Overlap(other, time)
            for member_id, other in latest.items()
            if member_id != time.member_id and other.end > time.begin
        ]
        known = latest.get(time.member_id)
        if known is None or time.end > known.end:
            latest[time.member_id] = time
    return found


async def _watch(member_id: int, endpoint: str, period_s: float, out: TextIO) -> None:
    group = pb_grpc.GroupServiceStub(open_channel(endpoint))
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period_s
        asked = boottime_ns()
        try:
            status = await group.GetStatus(pb.GetStatusRequest(), timeout=_CALL_S)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(_RETRY_S)
            continue
        if status.HasField("leader_lease_valid_for"):
            valid_ns = status.leader_lease_valid_for.ToNanoseconds()
            out.write(json.dumps([member_id, asked, boottime_ns(), valid_ns, status.lease_seq]) + "\n")
        await asyncio.sleep(max(0, due - loop.time()))


async def _watch_all(period_ms: str, out: TextIO, members: Sequence[str]) -> None:
    watching = [
        asyncio.create_task(_watch(int(member_id), endpoint, float(period_ms) / 1000, out))
        for member_id, endpoint in zip(members[::2], members[1::2], strict=True)
    ]
    together = asyncio.gather(*watching)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, together.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await together


def main() -> None:
    """Observe what the command line names."""
    _, period_ms, out, *members = sys.argv
    with Path(out).open("a", encoding="ascii") as file:
        asyncio.run(_watch_all(period_ms, file, members))


if __name__ == "__main__":
    main()
