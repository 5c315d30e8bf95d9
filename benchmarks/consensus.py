"""Commits and elections of a group of three: `RUNS=10 python -m benchmarks.consensus`.

Three members with default settings and full fsync on this machine. Clients commit steps of 256 bytes through unary
calls, one after another each; then the leader is killed with SIGKILL again and again, and the time is taken until a
survivor leads with its first entry committed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from benchmarks.report import progress, report, report_value
from tests.support.consensus_group import LEASE, Group, MemberProcess, acquire, consensus_group, new_id, register

BENCH: Final = "consensus"
MODE: Final = "unary"
_CLIENTS: Final = (1, 16)
_WARM_UP_S: Final = 1.0
_COMMIT_S: Final = 5.0
_COMMAND_BYTES: Final = 256
_KEEP_ALIVE_S: Final = 1.0
_ELECTION_WITHIN_S: Final = 30.0


async def main() -> None:
    """Run the benchmark as the environment asks."""
    runs = int(os.environ.get("RUNS", "10"))
    with tempfile.TemporaryDirectory(prefix="primacy-bench-") as directory:
        async with consensus_group(Path(directory)) as group:
            for member in group.members:
                member.start()
            leader = await group.leader(within=_ELECTION_WITHIN_S)
            await _commits(leader)
            elections = []
            for run in range(1, runs + 1):
                elections.append(await _election(group))
                progress(f"run {run} of {runs}: {elections[-1]:.0f} ms")
            report(BENCH, "kill", "election_ms", elections)


async def _commits(leader: MemberProcess) -> None:
    session = new_id()
    token = (await acquire(leader, session)).lease.fencing_token
    keeper = asyncio.create_task(_keep_alive(leader, session, token))
    for clients in _CLIENTS:
        progress(f"committing with {clients} clients")
        await _load(leader, token, clients, _WARM_UP_S)
        began = time.perf_counter()
        latencies_ms = await _load(leader, token, clients, _COMMIT_S)
        rate = len(latencies_ms) / (time.perf_counter() - began)
        report_value(BENCH, MODE, "commits_per_s", rate, clients=clients)
        report(BENCH, MODE, "commit_latency_ms", latencies_ms, clients=clients)
    keeper.cancel()


async def _load(leader: MemberProcess, token: int, clients: int, seconds: float) -> list[float]:
    latencies = await asyncio.gather(*(_client(leader, token, seconds) for _ in range(clients)))
    return list(itertools.chain.from_iterable(latencies))


async def _client(leader: MemberProcess, token: int, seconds: float) -> list[float]:
    recovery_id = (await register(leader, token)).recovery_id
    latencies_ms = []
    began = time.perf_counter()
    for number in itertools.count():
        # An intent that is written anew changes one row: what is measured does not grow.
        step = pb.StepRecord(number=1, phase=pb.StepRecord.PHASE_INTENT, data=number.to_bytes(_COMMAND_BYTES, "big"))
        asked = time.perf_counter()
        request = pb.RecordStepRequest(recovery_id=recovery_id, fencing_token=token, step=step)
        await leader.journal.RecordStep(request, timeout=5)
        answered = time.perf_counter()
        latencies_ms.append((answered - asked) * 1e3)
        if answered - began > seconds:
            break
    return latencies_ms


async def _keep_alive(leader: MemberProcess, session: str, token: int) -> None:
    stream = leader.leases.KeepAlive()
    while True:
        await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
        await asyncio.sleep(_KEEP_ALIVE_S)


async def _election(group: Group) -> float:
    leader = await group.leader(within=_ELECTION_WITHIN_S)
    await group.agree(within=_ELECTION_WITHIN_S)
    watchers = [asyncio.ensure_future(_leads(member)) for member in group.others(leader)]
    killed = time.perf_counter()
    leader.kill()
    await asyncio.wait(watchers, timeout=_ELECTION_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
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


if __name__ == "__main__":
    asyncio.run(main())
