"""`primacy up` with the real services: one node that comes up, heals, and goes away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.integration.ctl.ctl_world import primacy
from tests.support.eventually import eventually
from tests.support.suite import free_base_port


class Up:
    """A running `primacy up` and what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    async def follow(self) -> None:
        """Collect what it says until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return its events of one kind."""
        return [said for said in self.events if said["event"] == event]


@contextlib.asynccontextmanager
async def up(data: Path, base_port: int) -> AsyncIterator[Up]:
    """Run one node; whatever happens, end it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ctl", "up", "--data", str(data)),
        *("--base-port", str(base_port), "--output", "json"),
        stdout=asyncio.subprocess.PIPE,
    )
    running = Up(process)
    following = asyncio.create_task(running.follow())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following


async def test_node_comes_up_heals_and_stops_leaving_nothing(tmp_path: Path) -> None:
    base_port = free_base_port(2)
    nodes = f"127.0.0.1:{base_port}"
    async with up(tmp_path, base_port) as node:
        await eventually(lambda: node.said("ready"), within=60, message=lambda: node.events)
        await eventually(lambda: _leads(nodes), within=30, message="one node leads itself")

        victim = next(event for event in node.said("listening") if event["service"] == "analysis")
        os.kill(victim["pid"], signal.SIGKILL)
        await eventually(lambda: len(node.said("listening")) == 5, within=30, message=lambda: node.events)

        node.process.terminate()
        assert await asyncio.wait_for(node.process.wait(), 30) == 0

    assert [event["service"] for event in node.said("crashed")] == ["analysis"]
    assert node.events[-1] == {"event": "stopped"}
    assert not [event for event in node.said("listening") if exists(event["pid"])]


def exists(pid: int) -> bool:
    """Return whether there is a process with this id."""
    return Path(f"/proc/{pid}").exists()


def nodes_in(data: Path) -> list[Path]:
    """Return the nodes that a data directory has."""
    return list(data.glob("node*"))


async def _leads(nodes: str) -> bool:
    done = await primacy("status", "--nodes", nodes, "--output", "json")
    if done.code not in {0, 5}:
        return False
    (node,) = json.loads(done.out)["nodes"]
    return bool(node["group"]["role"] == "ROLE_LEADER")


async def test_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    base_port = free_base_port(2)
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", base_port + 4):
        done = await primacy("up", "--data", str(tmp_path), "--base-port", str(base_port))

    assert done.code == 1
    assert done.err == (
        f"primacy: port {base_port + 4} of node1 consensus is taken; "
        "stop what listens there, or choose another --base-port\n"
    )
    assert nodes_in(tmp_path) == []
