"""The story: build, watch, kill, recover, count."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from demo.agreement import agreed, settled
from demo.failure import StoryFailed
from demo.narrator import Narrator
from demo.proof import Proof, prove
from demo.scene import RECOVER_WITHIN_S, Scene, published, show_recovery
from demo.suite import NODE_COUNT, running_suite
from demo.views import NodeOpinion
from services.ctl.client import Suite
from services.ctl.group import leader_first
from services.ctl.nodes import Node
from services.ctl.text import Line, bad, columns, good, line, strong
from services.ctl.views.status import status_lines
from services.ctl.views.tree import topology_lines
from services.ctl.words import endpoint_text
from services.shared.runtime.clock import utc_now
from services.shared.topology.snapshot import TopologySnapshot
from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab, Writer

TOPOLOGY: Final = "p -> r1 r2 r3"
_CALL_TIMEOUT_S: Final = 3.0
_WRITE_FOR_S: Final = 2.0
_WATCH_WITHIN_S: Final = 10.0


async def tell(narrator: Narrator) -> None:
    """Run the whole demo.

    Raises:
        StoryFailed: Writes did not resume, an acknowledged one is lost, or a replica does not follow.
        LabError: The servers do not start.
        CtlError: The suite does not start or stopped to answer.
    """
    narrator.stage("Starting four MySQL servers: a primary and three replicas, semi-synchronous")
    async with Lab() as lab:
        fleet = await lab.deploy(TOPOLOGY, semi_sync=True)
        narrator.say(", ".join(f"{instance.name} {instance.endpoint}" for instance in fleet))
        narrator.stage(f"Starting {NODE_COUNT} nodes of primacy: discovery, analysis, recovery, consensus each")
        with _work_directory(narrator) as directory:
            async with running_suite(fleet, directory, lambda event: _report(narrator, event)) as nodes:
                await _act(narrator, fleet, nodes)
                narrator.stage("Stopping everything")
    narrator.say("all processes ended, all files removed")


@contextlib.contextmanager
def _work_directory(narrator: Narrator) -> Iterator[Path]:
    """Make a directory for the suite; it is removed at the end, unless the demo fails: then its logs tell why."""
    directory = Path(tempfile.mkdtemp(prefix="primacy-demo-"))
    failed = False
    try:
        yield directory
    except Exception:
        failed = True
        raise
    finally:
        if failed:
            narrator.say("logs are in ", strong(str(directory / "data")))
        else:
            shutil.rmtree(directory)


def _report(narrator: Narrator, event: dict[str, Any]) -> None:
    """Tell of a node once its last service listens, and of every crash."""
    if event["event"] == "listening" and event["service"] == "recovery":
        narrator.say(
            strong(event["node"]), f" listens on {event['listen'].rpartition(':')[0]}: ", _ports(event["listen"])
        )
    elif event["event"] in {"crashed", "misconfigured"}:
        narrator.say(bad(f"{event['node']} {event['service']} ended"), f": {event['last_words']}")


def _ports(recovery: str) -> str:
    port = int(recovery.rpartition(":")[2])
    return f"{port - 2} to {port + 2}"


async def _act(narrator: Narrator, fleet: Fleet, nodes: tuple[Node, ...]) -> None:
    async with Suite(nodes, _CALL_TIMEOUT_S) as suite:
        narrator.stage("Waiting for a leader, the topology on every node, and the primary in the directory")
        before = await settled(suite, len(fleet))
        narrator.show(status_lines([opinion.status for opinion in before], [], utc_now()))
        narrator.show(topology_lines(_snapshot(before)))
        narrator.stage(f"An application writes to {fleet.primary.endpoint} without pause")
        with Writer(list(fleet)) as writer:
            await _write(writer)
            narrator.say(f"{writer.count} writes acknowledged in {_WRITE_FOR_S:.0f} s")
            successor = await _kill(narrator, suite, fleet, writer)
            await _write(writer)
        proof = await prove(fleet, writer, successor)
        await _conclude(narrator, suite, fleet, proof)


async def _write(writer: Writer) -> None:
    target = time.monotonic() + _WRITE_FOR_S
    await eventually(lambda: time.monotonic() > target, within=_WRITE_FOR_S + 1)
    if not writer.count:
        raise StoryFailed("the application could not write at all")


async def _kill(narrator: Narrator, suite: Suite, fleet: Fleet, writer: Writer) -> str:
    """Kill the primary, tell what happens, and return the endpoint of its successor."""
    scene = Scene(narrator, fleet.primary.endpoint)
    async with Suite(await leader_first(suite), _CALL_TIMEOUT_S) as leading:
        watching = [
            asyncio.create_task(scene.follow_findings(leading)),
            asyncio.create_task(scene.follow_directory(leading)),
            asyncio.create_task(scene.follow_writer(writer)),
        ]
        try:
            await asyncio.wait_for(scene.watched(), _WATCH_WITHIN_S)
            narrator.stage(f"Killing the primary: kill -9 {fleet.primary.pid}")
            scene.killed_at_ns = fleet.primary.kill()
            primary = await published(scene, suite)
            await asyncio.wait_for(scene.resumed.wait(), RECOVER_WITHIN_S)
            await show_recovery(scene, leading, primary.recovery_id)
        except TimeoutError:
            raise StoryFailed(scene.missing) from None
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
    return endpoint_text(primary.endpoint)


async def _conclude(narrator: Narrator, suite: Suite, fleet: Fleet, proof: Proof) -> None:
    """Show the new tree and what each node thinks, then the figures; fail when one is not as promised."""
    narrator.stage("The topology now")
    after = await agreed(suite, proof.successor, fleet)
    narrator.show(topology_lines(_snapshot(after)))
    narrator.stage("What each node thinks")
    narrator.show(columns([_opinion(opinion) for opinion in after]))
    narrator.stage("The result")
    narrator.show(proof.lines())
    if not proof.holds:
        raise StoryFailed(proof.failure)


def _snapshot(seen: list[NodeOpinion]) -> TopologySnapshot:
    return next((opinion.snapshot for opinion in seen if opinion.snapshot), TopologySnapshot())


def _opinion(opinion: NodeOpinion) -> tuple[Line, ...]:
    group = opinion.status.group
    name = group.member.name if group else opinion.status.node
    leader = group.leader.name if group and group.HasField("leader") else "nobody"
    entries = [f"{endpoint_text(primary.endpoint)} epoch {primary.epoch}" for primary in opinion.primaries]
    return (line(strong(name)), line(f"leader: {leader}"), line("primary: ", good(", ".join(entries) or "none")))
