"""The main job, on real servers and real processes: a primary dies, the quorum's leader promotes a replica."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pymysql
import pytest
from primacy.analysis.v1 import analysis_pb2
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.shared.runtime.status import parse_error
from tests.support.eventually import eventually
from tests.support.lab import Flavor, Lab
from tests.support.lab.writer import Writer
from tests.support.outcome import (
    assert_failed_over,
    ended_recovery,
    is_writable,
    recovery_of,
    source_of,
    writable,
)
from tests.support.suite import Suite

pytestmark = [pytest.mark.timeout(240)]


@pytest.mark.parametrize(
    "flavor",
    [
        pytest.param(Flavor.MYSQL, id="mysql", marks=pytest.mark.mysql),
        pytest.param(Flavor.MARIADB, id="mariadb", marks=pytest.mark.mariadb),
    ],
)
async def test_replica_takes_over_from_a_killed_primary(lab: Lab, tmp_path: Path, flavor: Flavor) -> None:
    fleet = await lab.deploy("p -> r1 r2(r3)", flavor=flavor, semi_sync=True)
    async with Suite(fleet, tmp_path) as suite:
        await suite.settled(fleet)
        with Writer((fleet.primary, *fleet.replicas)) as writer:
            await eventually(lambda: writer.count > 100, within=20)
            fleet.primary.kill()
            await eventually(lambda: writer.outage(fleet.primary.endpoint), within=30, message=suite.logs)
            successor = await assert_failed_over(suite, fleet, fleet.primary)
            assert writer.endpoint == successor.endpoint
        assert await writer.lost_ids(successor) == ()
        assert successor is not fleet["r3"], "a replica of a replica has no place in the choice"
        recovery = await ended_recovery(suite, fleet.primary)
        assert recovery.state == recovery_pb2.Recovery.STATE_SUCCEEDED
        assert recovery.loss.state != recovery_pb2.Loss.STATE_UNSPECIFIED
        assert recovery.loss.proof
        assert {candidate.verdict for candidate in recovery.candidates} >= {recovery_pb2.CANDIDATE_VERDICT_CHOSEN}
        assert all(candidate.reason for candidate in recovery.candidates)
        assert await source_of(fleet["r3"]) == fleet["r2"].endpoint


@pytest.mark.mysql
async def test_leader_that_dies_with_the_primary_is_replaced_and_a_replica_promoted(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2", semi_sync=True)
    async with Suite(fleet, tmp_path) as suite:
        await suite.settled(fleet)
        leader = await suite.leader()
        with Writer((fleet.primary, *fleet.replicas)) as writer:
            await eventually(lambda: writer.count > 100, within=20)
            fleet.primary.kill()
            leader.kill()
            await eventually(lambda: writer.outage(fleet.primary.endpoint), within=40, message=suite.logs)
            successor = await assert_failed_over(suite, fleet, fleet.primary)
        assert await writer.lost_ids(successor) == ()
        assert (await ended_recovery(suite, fleet.primary)).node != leader.name


@pytest.mark.mysql
async def test_isolated_leader_does_not_act(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    async with Suite(fleet, tmp_path, linked=True) as suite:
        await suite.settled(fleet)
        isolated = await suite.leader()
        others = [node for node in suite.nodes if node is not isolated]
        await suite.isolate(isolated)
        fleet.primary.kill()
        await suite.leader(among=others)
        recovery = await eventually(
            lambda: recovery_of(others[0], fleet.primary), within=30, retry_on=grpc.aio.AioRpcError, message=suite.logs
        )
        assert recovery is not None
        assert recovery.node != isolated.name
        endpoint = topology_pb2.Endpoint(host=fleet.primary.host, port=fleet.primary.port)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await isolated.recovery.StartRecovery(recovery_pb2.StartRecoveryRequest(failed=endpoint), timeout=10)
        assert parse_error(refused.value).reason in ("NO_LEADER", "NOT_LEADER")
        assert await recovery_of(isolated, fleet.primary) is None
        await suite.heal()
        await assert_failed_over(suite, fleet, fleet.primary)


@pytest.mark.mysql
async def test_without_a_quorum_nothing_is_changed_and_the_blocker_is_named(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    async with Suite(fleet, tmp_path) as suite:
        await suite.settled(fleet)
        survivor = suite.node(1)
        for node in suite.nodes[1:]:
            node.kill()
        fleet.primary.kill()

        async def blocked() -> bool:
            answer = await survivor.recovery.ListBlockers(recovery_pb2.ListBlockersRequest(), timeout=5)
            return [each.blocker for each in answer.blocked] == [recovery_pb2.BLOCKER_NO_QUORUM]

        await eventually(blocked, within=30, retry_on=grpc.aio.AioRpcError, message=suite.logs)
        assert await writable(fleet.replicas) == []
        assert await survivor.recoveries() == []
        suite.node(2).start()
        await assert_failed_over(suite, fleet, fleet.primary)


@pytest.mark.mysql
@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_primary_that_only_we_cannot_reach_is_left_alone(lab: Lab, tmp_path: Path, fault: str) -> None:
    fleet = await lab.deploy("p -> r1 r2", behind_proxies=True)
    async with Suite(fleet, tmp_path) as suite:
        await suite.settled(fleet)
        await (fleet.primary.network.cut() if fault == "cut" else fleet.primary.network.hang())

        async def all_say_unreachable() -> bool:
            for node in suite.nodes:
                kinds = [finding.kind for finding in await node.findings()]
                assert kinds == [analysis_pb2.FINDING_KIND_UNREACHABLE_PRIMARY], (node.name, kinds)
            return True

        await eventually(all_say_unreachable, within=30, retry_on=grpc.aio.AioRpcError, message=suite.logs)
        answer = await suite.node(1).analysis.Explain(
            analysis_pb2.ExplainRequest(
                instance=topology_pb2.Endpoint(host=fleet.primary.host, port=fleet.primary.port)
            ),
            timeout=5,
        )
        rules = answer.explanations[0].rules
        dead = next(rule for rule in rules if rule.kind == analysis_pb2.FINDING_KIND_DEAD_PRIMARY)
        assert not dead.holds
        assert any("replicate" in condition.seen for condition in dead.conditions if not condition.holds)
        deciding = [rule.kind for rule in rules if rule.decides]
        assert deciding == [analysis_pb2.FINDING_KIND_UNREACHABLE_PRIMARY]
        assert await writable(tuple(fleet)) == [fleet.primary]
        for node in suite.nodes:
            assert await node.recoveries() == []
            assert [entry.epoch for entry in (await node.primaries()).values()] == [1]


@pytest.mark.mysql
async def test_hung_primary_that_wakes_up_acknowledges_nothing_more(lab: Lab, tmp_path: Path) -> None:
    fleet = await lab.deploy("p -> r1 r2", semi_sync=True)
    async with Suite(fleet, tmp_path) as suite:
        await suite.settled(fleet)
        with Writer((fleet.primary, *fleet.replicas)) as writer:
            await _writing(writer)
            fleet.primary.stop()
            successor = await assert_failed_over(suite, fleet, fleet.primary)
            await eventually(lambda: writer.endpoint == successor.endpoint, within=10)
            fleet.primary.resume()

            async def read_only() -> bool:
                return not await is_writable(fleet.primary)

            # A commit that waits for an acknowledgement must not hold the fence up: after 10 s it would be confirmed.
            await eventually(read_only, within=8, retry_on=pymysql.err.MySQLError, message=suite.logs)
        taken_over = next(each.time_ns for each in writer.acknowledged if each.endpoint == successor.endpoint)
        late = [each for each in writer.acknowledged if each.endpoint == fleet.primary.endpoint]
        assert all(each.time_ns < taken_over for each in late)
        assert await fleet.primary.variable("offline_mode") == "OFF"


@pytest.mark.mysql
@pytest.mark.timeout(420)
async def test_leader_killed_at_any_moment_of_a_failover_leaves_one_primary(lab: Lab, tmp_path: Path) -> None:
    delays_ms = (60, 100, 140, 180, 230, 300)
    fleet = await lab.deploy("p -> r1 r2", semi_sync=True)
    async with Suite(fleet, tmp_path) as suite:
        for number, delay_ms in enumerate(delays_ms):
            if number:
                fleet = await lab.deploy("p -> r1 r2", semi_sync=True)
                await suite.discover(fleet.primary)
            await suite.settled(fleet)
            leader = await suite.leader()
            with Writer((fleet.primary, *fleet.replicas)) as writer:
                await _writing(writer)
                fleet.primary.kill()
                await asyncio.sleep(delay_ms / 1000)  # The moment of the fault, not a wait.
                leader.kill()
                successor = await assert_failed_over(suite, fleet, fleet.primary)
            assert await writer.lost_ids(successor) == (), f"leader killed after {delay_ms} ms"
            for instance in fleet:
                instance.kill()
            await suite.forget(fleet)
            leader.start()
            await suite.leader()


async def _writing(writer: Writer) -> None:
    await eventually(lambda: writer.count > 50, within=20)
