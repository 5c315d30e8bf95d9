"""What a node costs while nothing happens: `SECONDS=60 python -m benchmarks.idle`.

Three nodes of four services watch a primary and three replicas at the default poll; after everything has settled, the
processor time and the resident memory of the processes of each node are read from /proc. The node that leads does most.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.report import progress, report_value
from services.ctl.nodes import Service
from tests.support.lab import Lab
from tests.support.suite import ServiceProcess, Suite, SuiteNode

BENCH: Final = "idle"
MODE: Final = "poll"
_SETTLE_S: Final = 5.0


async def main() -> None:
    """Run the benchmark as the environment asks."""
    seconds = float(os.environ.get("SECONDS", "60"))
    with tempfile.TemporaryDirectory(prefix="primacy-bench-") as directory:
        async with Lab() as lab:
            progress("starting a fleet of four and three nodes")
            fleet = await lab.deploy("p -> r1 r2 r3")
            async with Suite(fleet, Path(directory)) as suite:
                await suite.settled(fleet)
                await asyncio.sleep(_SETTLE_S)  # Start-up work is not idle cost.
                progress(f"measuring for {seconds:.0f} s")
                before, began = [_cpu_s(node) for node in suite.nodes], time.monotonic()
                await asyncio.sleep(seconds)
                elapsed = time.monotonic() - began
                leader = await suite.leader()
                for node, used in zip(suite.nodes, before, strict=True):
                    _report(node, "leader" if node is leader else "follower", used, elapsed)


def _report(node: SuiteNode, role: str, before: dict[Service, float], elapsed: float) -> None:
    after = _cpu_s(node)
    shares = {service.label: (after[service] - before[service]) / elapsed * 100 for service in node.processes}
    sizes = {service.label: _resident_mb(process) for service, process in node.processes.items()}
    for metric, values in (("cpu_percent_of_a_core", shares), ("resident_mb", sizes)):
        for service, value in {**values, "all": sum(values.values())}.items():
            report_value(BENCH, MODE, metric, value, node=node.name, role=role, service=service)


def _cpu_s(node: SuiteNode) -> dict[Service, float]:
    ticks = os.sysconf("SC_CLK_TCK")
    used = {}
    for service, process in node.processes.items():
        # proc(5): utime and stime are fields 14 and 15; the name in parentheses may hold blanks.
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used[service] = (int(fields[11]) + int(fields[12])) / ticks
    return used


def _resident_mb(process: ServiceProcess) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    asyncio.run(main())
