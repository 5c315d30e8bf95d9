"""Commits, elections, transfers, snapshots and starts of consensus: `make bench NAME=consensus [RUNS=10] [MODE=…]`.

Three members with default settings and full fsync on this machine, clients beside them. `MODE` picks parts, separated
by commas; without it all of them run:

- `stream`, `unary`: steps of 256 bytes through `JournalService.Write`, and through single calls
- `inprocess`: the same commands into one member's loop with its own store, without gRPC
- `kill`: SIGKILL of the leader until a survivor leads with its first entry committed
- `transfer`: `TransferLeadership` under a steady stream of writes: the longest gap between two answers
- `snapshot`: a snapshot of 200,000 rows framed, and read and installed into a blank store
- `start`: a member's start with 100,000 entries in its log
- `idle`: CPU and memory of each member while nothing happens
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

from benchmarks.consensus_clients import Load, keep_alive, recoveries, step, stream, unary
from benchmarks.consensus_parts import inprocess, snapshot, start
from benchmarks.report import progress, report, report_value
from services.shared.runtime.status import parse_error
from tests.support.consensus_group import Group, MemberProcess, acquire, consensus_group, new_id

BENCH: Final = "consensus"
_CLIENTS: Final = {"stream": (1, 16, 64, 256), "unary": (1, 16)}
_WARM_UP_S: Final = 1.0
_COMMIT_S: Final = 5.0
_IDLE_S: Final = 10.0
_WITHIN_S: Final = 30.0
_AGAIN_S: Final = 0.002
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def main() -> None:
    """Run the parts that the environment asks for."""
    runs = int(os.environ.get("RUNS", "10"))
    mode = os.environ.get("MODE", "")
    # `make` gives a mode to every benchmark; `leader` and `stop` are another one's.
    asked = [part for part in mode.split(",") if part in _PARTS] if "," in mode or mode in _PARTS else list(_PARTS)
    for part in asked:
        progress(f"part {part}")
        with tempfile.TemporaryDirectory(prefix="primacy-bench-") as directory:
            await _PARTS[part](Path(directory), runs)


# Commits.


@contextlib.asynccontextmanager
async def _holding(directory: Path) -> AsyncIterator[tuple[Group, MemberProcess, int]]:
    """Run a group whose leader has granted the lease that writes need."""
    async with consensus_group(directory) as group:
        for member in group.members:
            member.start()
        leader = await group.leader(within=_WITHIN_S)
        session = new_id()
        token = (await acquire(leader, session)).lease.fencing_token
        keeper = asyncio.create_task(keep_alive(leader, session, token))
        try:
            yield group, leader, token
        finally:
            keeper.cancel()
            await asyncio.wait((keeper,))


def _commits(mode: str, load: Load) -> Callable[[Path, int], Awaitable[None]]:
    async def part(directory: Path, runs: int) -> None:
        async with _holding(directory) as (group, leader, token):
            opened = await recoveries(leader, token, max(_CLIENTS[mode]))
            for clients in _CLIENTS[mode]:
                progress(f"committing with {clients} in flight")
                await load(leader, token, opened[:clients], _WARM_UP_S)
                used, began = _cpu_s(group), time.perf_counter()
                latencies_ms = await load(leader, token, opened[:clients], _COMMIT_S)
                elapsed = time.perf_counter() - began
                report_value(BENCH, mode, "commits_per_s", len(latencies_ms) / elapsed, clients=clients)
                report(BENCH, mode, "commit_latency_ms", latencies_ms, clients=clients)
                # What a commit costs tells more than a rate where other work takes turns on the machine.
                cost_us = [(now - was) / len(latencies_ms) * 1e6 for was, now in zip(used, _cpu_s(group), strict=True)]
                report_value(BENCH, mode, "cpu_us_per_commit", sum(cost_us), clients=clients, most=round(max(cost_us)))

    return part


async def _inprocess(directory: Path, runs: int) -> None:
    for clients in (1, 64, 256):
        latencies_ms, elapsed = await inprocess(directory / str(clients), clients, _COMMIT_S)
        report_value(BENCH, "inprocess", "commits_per_s", len(latencies_ms) / elapsed, clients=clients)
        report(BENCH, "inprocess", "commit_latency_ms", latencies_ms, clients=clients)


# Changes of leaders.


async def _elections(directory: Path, runs: int) -> None:
    async with consensus_group(directory) as group:
        for member in group.members:
            member.start()
        elections = []
        for run in range(1, runs + 1):
            elections.append(await _election(group))
            progress(f"run {run} of {runs}: {elections[-1]:.0f} ms")
        report(BENCH, "kill", "election_ms", elections)


async def _election(group: Group) -> float:
    leader = await group.leader(within=_WITHIN_S)
    await group.agree(within=_WITHIN_S)
    watchers = [asyncio.ensure_future(_leads(member)) for member in group.others(leader)]
    killed = time.perf_counter()
    leader.kill()
    await asyncio.wait(watchers, timeout=_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    took_ms = (time.perf_counter() - killed) * 1e3
    assert any(watcher.done() for watcher in watchers), "nobody leads"
    for watcher in watchers:
        watcher.cancel()
    await asyncio.wait(watchers)
    leader.start()
    return took_ms


async def _leads(member: MemberProcess) -> None:
    async for view in member.group.WatchLeader(pb.WatchLeaderRequest()):
        if view.leads_with_lease:
            return


async def _transfers(directory: Path, runs: int) -> None:
    async with consensus_group(directory) as group:
        for member in group.members:
            member.start()
        gaps = []
        for run in range(1, runs + 1):
            leader = await group.leader(within=_WITHIN_S)
            await group.agree(within=_WITHIN_S)
            gaps.append(await _transfer(group, leader))
            progress(f"run {run} of {runs}: {gaps[-1]:.0f} ms")
        report(BENCH, "transfer", "transfer_gap_ms", gaps)


async def _transfer(group: Group, leader: MemberProcess) -> float:
    """Write through a member that stays a follower; return the longest time without an answer."""
    target, witness = group.others(leader)
    answered = [time.perf_counter()]
    writer = asyncio.create_task(_write_on(witness, answered))
    await asyncio.sleep(0.5)
    request = pb.TransferLeadershipRequest(member_id=target.member_id)
    await leader.group.TransferLeadership(request, timeout=_WITHIN_S)
    await asyncio.sleep(0.5)
    writer.cancel()
    await asyncio.wait((writer,))
    return max(after - before for before, after in itertools.pairwise(answered)) * 1e3


async def _write_on(member: MemberProcess, answered: list[float]) -> None:
    """Write all the time what is refused once committed: a step without a lease takes the whole way all the same."""
    while True:
        try:
            await member.journal.RecordStep(step(new_id(), 1, 1), timeout=5)
        except grpc.aio.AioRpcError as error:
            if parse_error(error).reason == "STALE_FENCING_TOKEN":
                answered.append(time.perf_counter())
            else:
                await asyncio.sleep(_AGAIN_S)


# One member.


async def _snapshot(directory: Path, runs: int) -> None:
    for metric, took_ms in (await snapshot(directory)).items():
        report_value(BENCH, "snapshot", "snapshot_ms", took_ms, part=metric)


async def _start(directory: Path, runs: int) -> None:
    report_value(BENCH, "start", "start_ms", await start(directory), entries=100_000)


async def _idle(directory: Path, runs: int) -> None:
    async with consensus_group(directory) as group:
        for member in group.members:
            member.start()
        await group.leader(within=_WITHIN_S)
        for member in group.members:
            # A first start, which makes the database, needs more than any later one.
            member.kill()
            member.start()
        leader = await group.leader(within=_WITHIN_S)
        await group.agree(within=_WITHIN_S)
        await asyncio.sleep(2)
        used = _cpu_s(group)
        await asyncio.sleep(_IDLE_S)
        for member, was, now in zip(group.members, used, _cpu_s(group), strict=True):
            role = "leader" if member is leader else "follower"
            report_value(BENCH, "idle", "cpu_percent", (now - was) / _IDLE_S * 100, role=role)
            report_value(BENCH, "idle", "resident_mb", _resident_mb(member), role=role)


def _cpu_s(group: Group) -> list[float]:
    """Return the processor time each running member has used, seconds."""
    used = []
    for member in group.members:
        fields = Path(f"/proc/{member.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used.append((int(fields[11]) + int(fields[12])) / _TICKS)
    return used


def _resident_mb(member: MemberProcess) -> float:
    status = Path(f"/proc/{member.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split("kB")[0]) / 1024


_PARTS: Final[dict[str, Callable[[Path, int], Awaitable[None]]]] = {
    "stream": _commits("stream", stream),
    "unary": _commits("unary", unary),
    "inprocess": _inprocess,
    "kill": _elections,
    "transfer": _transfers,
    "snapshot": _snapshot,
    "start": _start,
    "idle": _idle,
}


if __name__ == "__main__":
    asyncio.run(main())
