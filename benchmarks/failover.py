"""Write outage of a failover: `RUNS=10 MODE=kill|stop|leader python -m benchmarks.failover`.

Three nodes with default settings on this machine; each run deploys a semi-synchronous primary with two replicas, lets
an application write to it, kills it, and measures from the last write it acknowledged to the first that its successor
did.

Modes: `kill` kills the primary with SIGKILL, `stop` hangs it with SIGSTOP and wakes it when the failover is over,
`leader` kills the node that leads together with the primary. `FLAVOR=mariadb` measures MariaDB.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from primacy.recovery.v1 import recovery_pb2

from benchmarks.report import percentile, progress, report, report_value
from benchmarks.writable import WritableWatch
from tests.support.eventually import eventually
from tests.support.lab import Flavor, Fleet, Lab
from tests.support.lab.writer import Outage, Writer
from tests.support.suite import Suite, SuiteNode

BENCH: Final = "failover"
_WARM_WRITES: Final = 200
_OUTAGE_WITHIN_S: Final = 60.0
_AFTERWARDS_S: Final = 2.0
_PHASES: Final = ("suspect", "confirm", "decide", "register", "plan", "drain", "promote", "publish", "repoint")


@dataclass
class Figures:
    """What all runs gave."""

    outages_ms: list[float] = field(default_factory=list)
    phases_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lost: list[float] = field(default_factory=list)
    double: list[float] = field(default_factory=list)


async def main() -> None:
    """Run the benchmark as the environment asks."""
    runs, mode = int(os.environ.get("RUNS", "10")), os.environ.get("MODE", "kill")
    flavor = Flavor(os.environ.get("FLAVOR", "mysql"))
    if mode not in ("kill", "stop", "leader"):
        raise SystemExit(f"MODE={mode} is none of kill, stop, leader")
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="primacy-bench-") as directory:
        async with Lab() as lab:
            progress("starting a fleet and three nodes")
            fleet = await lab.deploy("p -> r1 r2", flavor=flavor, semi_sync=True)
            async with Suite(fleet, Path(directory)) as suite:
                for run in range(1, runs + 1):
                    await _run(suite, fleet, mode, figures)
                    progress(f"run {run} of {runs}: {figures.outages_ms[-1]:.0f} ms, {figures.lost[-1]:.0f} lost")
                    if run < runs:
                        fleet = await _next_fleet(lab, suite, fleet, flavor)
    _report(figures, mode)


async def _next_fleet(lab: Lab, suite: Suite, old: Fleet, flavor: Flavor) -> Fleet:
    await suite.forget(old)
    for instance in old:
        instance.close()
    for node in suite.nodes:
        node.start()
    await suite.leader()
    fleet = await lab.deploy("p -> r1 r2", flavor=flavor, semi_sync=True)
    await eventually(lambda: _discovered(suite, fleet), within=60, retry_on=grpc.aio.AioRpcError, message=suite.logs)
    return fleet


async def _discovered(suite: Suite, fleet: Fleet) -> bool:
    await suite.discover(fleet.primary)
    return True


async def _run(suite: Suite, fleet: Fleet, mode: str, figures: Figures) -> None:
    await suite.settled(fleet)
    primary, leader = fleet.primary, await suite.leader()
    with WritableWatch(tuple(fleet)) as watch, Writer((primary, *fleet.replicas)) as writer:
        await eventually(lambda: writer.count >= _WARM_WRITES, within=30)
        killed = time.time()
        if mode == "stop":
            primary.stop()
        else:
            primary.kill()
        if mode == "leader":
            leader.kill()
        outage = await eventually(lambda: writer.outage(primary.endpoint), within=_OUTAGE_WITHIN_S, message=suite.logs)
        assert outage is not None
        recovery = await eventually(
            lambda: _ended(suite, primary.endpoint), within=60, retry_on=grpc.aio.AioRpcError, message=suite.logs
        )
        assert recovery is not None
        if mode == "stop":
            primary.resume()
        await asyncio.sleep(_AFTERWARDS_S)  # A time to watch for a second writer, not a wait for something.
    _collect(figures, outage, recovery, watch)
    figures.phases_ms["suspect"].append(_suspect_ms(recovery, killed))
    successor = next(each for each in fleet if each.endpoint == outage.first.endpoint)
    figures.lost.append(len(await writer.lost_ids(successor)))


async def _ended(suite: Suite, failed: str) -> recovery_pb2.Recovery | None:
    for node in suite.running:
        for recovery in await _recoveries(node):
            if f"{recovery.failed.host}:{recovery.failed.port}" == failed and recovery.HasField("end_time"):
                return recovery
    return None


async def _recoveries(node: SuiteNode) -> list[recovery_pb2.Recovery]:
    kind = recovery_pb2.RECOVERY_KIND_DEAD_PRIMARY
    return [recovery for recovery in await node.recoveries() if recovery.kind == kind]


def _suspect_ms(recovery: recovery_pb2.Recovery, killed: float) -> float:
    """Return the time from the kill to the first sign of it: what precedes the phases the recovery measures itself."""
    began = recovery.start_time.ToNanoseconds() / 1e9
    before = {"confirm", "decide"}
    measured = sum(each.elapsed.ToTimedelta().total_seconds() for each in recovery.phases if each.phase in before)
    return (began - measured - killed) * 1e3


def _collect(figures: Figures, outage: Outage, recovery: recovery_pb2.Recovery, watch: WritableWatch) -> None:
    figures.outages_ms.append(outage.duration_ns / 1e6)
    figures.double.append(watch.double_writer_samples)
    for phase in recovery.phases:
        figures.phases_ms[phase.phase].append(phase.elapsed.ToTimedelta().total_seconds() * 1e3)


def _report(figures: Figures, mode: str) -> None:
    report(BENCH, mode, "write_outage_ms", figures.outages_ms)
    for phase in sorted(figures.phases_ms, key=_PHASES.index):
        values = figures.phases_ms[phase]
        report(BENCH, mode, f"phase_{phase}_ms", values)
    report_value(BENCH, mode, "lost_acknowledged_writes", sum(figures.lost))
    report_value(BENCH, mode, "double_writer_samples", sum(figures.double))
    below = sum(outage < 2000 for outage in figures.outages_ms)
    report_value(BENCH, mode, "runs_below_2_s", below, runs=len(figures.outages_ms))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    report_value(BENCH, mode, "cpu_s", usage.ru_utime + usage.ru_stime)
    progress(f"median {percentile(figures.outages_ms, 0.5):.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
