"""What analysis finds about real servers that die, hang, or are out of our reach alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.analysis.v1 import analysis_pb2_grpc
from primacy.topology.v1 import topology_pb2

from services.shared.runtime.grpc_client import open_channel
from tests.contract.running import RunningService
from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab

pytestmark = pytest.mark.mysql


@dataclass(frozen=True, slots=True)
class Watch:
    """Analysis of a fleet, and the stream of what it finds."""

    stub: analysis_pb2_grpc.AnalysisServiceAsyncStub
    findings: AsyncIterator[pb.WatchFindingsResponse]

    async def finds(self, kind: pb.FindingKind.ValueType, within_s: float) -> tuple[pb.Finding, list[str]]:
        """Wait for a finding of this kind; return it and the names of all found on the way."""
        seen: list[str] = []
        try:
            async with asyncio.timeout(within_s):
                async for message in self.findings:
                    for finding in message.changed:
                        seen.append(finding.orchestrator_code)
                        if finding.kind == kind:
                            return finding, seen
        except TimeoutError:
            raise AssertionError(f"{pb.FindingKind.Name(kind)} not within {within_s} s; found {seen}") from None
        raise AssertionError(f"the stream ended; found {seen}")


@asynccontextmanager
async def watched(fleet: Fleet, directory: Path) -> AsyncIterator[Watch]:
    """Run discovery and analysis on a fleet; ready when the whole fleet is known and healthy."""
    password = directory / "password"
    password.touch(mode=0o600)
    password.write_text(fleet.credentials.management.password, encoding="utf-8")
    settings = {
        "SEEDS": f'["{fleet.primary.endpoint}"]',
        "STORE_URL": f"sqlite:///{directory}/discovery.db",
        "MYSQL_USER": fleet.credentials.management.user,
        "MYSQL_PASSWORD_FILE": f"{password}",
        "POLL": "1s",
    }
    async with (
        RunningService("discovery", **settings) as discovery,
        RunningService("analysis", DISCOVERY_ENDPOINT=discovery.endpoint) as analysis,
        open_channel(analysis.endpoint) as channel,
    ):
        stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
        await _until_known(stub, fleet)
        call = stub.WatchFindings(pb.WatchFindingsRequest())
        yield Watch(stub, aiter(call))
        call.cancel()


async def _until_known(stub: analysis_pb2_grpc.AnalysisServiceAsyncStub, fleet: Fleet) -> None:
    async def is_known() -> bool:
        explanation = (await stub.Explain(pb.ExplainRequest(instance=endpoint(fleet)))).explanations[0]
        counts = explanation.finding.counts
        return counts.replicas == counts.replicating == len(fleet.replicas)

    await eventually(is_known, within=30, retry_on=Exception, message="the fleet is known")


def endpoint(fleet: Fleet) -> topology_pb2.Endpoint:
    """Return where the primary is."""
    host, _, port = fleet.primary.endpoint.rpartition(":")
    return topology_pb2.Endpoint(host=host, port=int(port))


async def test_a_killed_primary_is_found_dead_at_once(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    async with watched(fleet, tmp_path) as watch:
        fleet.primary.kill()
        finding, _ = await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=20)
        assert finding.actionable
        assert finding.instance == endpoint(fleet)
        assert (finding.counts.replicas, finding.counts.valid, finding.counts.replicating) == (2, 2, 0)


async def test_a_hung_primary_is_found_dead_when_heartbeats_fail_to_come(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2", options=["--replica-net-timeout=60"])
    async with watched(fleet, tmp_path) as watch:
        fleet.primary.stop()
        finding, _ = await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=30)
        assert finding.actionable
        explanation = (await watch.stub.Explain(pb.ExplainRequest(instance=endpoint(fleet)))).explanations[0]
        (rule,) = [rule for rule in explanation.rules if rule.decides]
        assert any("neither a heartbeat nor an event" in condition.seen for condition in rule.conditions)
        fleet.primary.resume()


async def test_a_primary_only_we_cannot_reach_is_not_dead(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2", behind_proxies=True)
    async with watched(fleet, tmp_path) as watch:
        await fleet.primary.network.cut()
        finding, _ = await watch.finds(pb.FINDING_KIND_UNREACHABLE_PRIMARY, within_s=20)
        assert finding.counts.replicating == 2
        assert not finding.actionable
        with pytest.raises(AssertionError, match="not within"):
            await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=6)
