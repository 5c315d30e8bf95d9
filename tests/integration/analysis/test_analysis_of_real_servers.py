"""What analysis finds about real servers that die, hang, or are out of our reach alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.analysis.v1 import analysis_pb2_grpc
from primacy.topology.v1 import topology_pb2

from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab
from tests.support.suite import Suite

pytestmark = [pytest.mark.mysql, pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True, slots=True)
class Watch:
    """A fleet behind proxies, and the analysis of it on a node that only watches."""

    fleet: Fleet
    stub: analysis_pb2_grpc.AnalysisServiceAsyncStub

    async def explain(self) -> pb.Explanation:
        """Return why the primary has the finding it has."""
        host, _, port = self.fleet.primary.endpoint.rpartition(":")
        instance = topology_pb2.Endpoint(host=host, port=int(port))
        (explanation,) = (await self.stub.Explain(pb.ExplainRequest(instance=instance))).explanations
        return explanation

    async def healthy(self) -> None:
        """Wait until the whole fleet is known and nothing is wrong with it."""

        async def is_healthy() -> bool:
            finding = (await self.explain()).finding
            counts = finding.counts
            known = counts.replicas == counts.replicating == len(self.fleet.replicas)
            return known and finding.kind == pb.FINDING_KIND_NO_PROBLEM

        await eventually(is_healthy, within=60, retry_on=grpc.aio.AioRpcError, message="a healthy fleet")

    async def finds(self, kind: pb.FindingKind.ValueType, within_s: float) -> pb.Finding:
        """Watch until there is a finding of this kind, and return it."""
        seen: list[str] = []
        call = self.stub.WatchFindings(pb.WatchFindingsRequest())
        try:
            async with asyncio.timeout(within_s):
                async for message in call:
                    for finding in message.changed:
                        seen.append(finding.orchestrator_code)
                        if finding.kind == kind:
                            return finding
        except TimeoutError:
            raise AssertionError(f"{pb.FindingKind.Name(kind)} not within {within_s} s; found {seen}") from None
        finally:
            call.cancel()
        raise AssertionError(f"the stream ended; found {seen}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watch]:
    async with Lab() as lab:
        # Replicas would notice a hung source by themselves only after a minute.
        fleet = await lab.deploy("p -> r1 r2", behind_proxies=True, options=["--replica-net-timeout=60"])
        settings = {"PRIMACY_DISCOVERY_POLL": "1s"}
        directory = tmp_path_factory.mktemp("node")
        async with Suite(fleet, directory, nodes=1, policy="observe", settings=settings) as suite:
            yield Watch(fleet, suite.node(1).analysis)


@pytest_asyncio.fixture(loop_scope="module")
async def watch(node: Watch) -> Watch:
    await node.healthy()
    return node


async def test_a_primary_only_we_cannot_reach_is_not_dead(watch: Watch) -> None:
    await watch.fleet.primary.network.cut()
    finding = await watch.finds(pb.FINDING_KIND_UNREACHABLE_PRIMARY, within_s=30)
    assert finding.counts.replicating == 2
    assert not finding.actionable
    with pytest.raises(AssertionError, match="not within"):
        await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=6)
    dead = next(rule for rule in (await watch.explain()).rules if rule.kind == pb.FINDING_KIND_DEAD_PRIMARY)
    assert [condition.seen for condition in dead.conditions if not condition.holds] == [
        "2 of 2 direct replicas replicate"
    ]
    await watch.fleet.primary.network.heal()


async def test_a_hung_primary_is_dead_when_heartbeats_fail_to_come(watch: Watch) -> None:
    watch.fleet.primary.stop()
    finding = await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=30)
    assert finding.actionable
    (rule,) = [rule for rule in (await watch.explain()).rules if rule.decides]
    assert any("neither a heartbeat nor an event" in condition.seen for condition in rule.conditions)
    watch.fleet.primary.resume()


async def test_a_killed_primary_is_dead(watch: Watch) -> None:
    watch.fleet.primary.kill()
    finding = await watch.finds(pb.FINDING_KIND_DEAD_PRIMARY, within_s=30)
    assert finding.actionable
    assert (finding.counts.replicas, finding.counts.valid, finding.counts.replicating) == (2, 2, 0)
    await watch.fleet.primary.start()
