"""One node of four real processes watches real servers; the primary is killed."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pymysql
import pytest
from google.protobuf.json_format import MessageToJson
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.ctl.nodes import Service
from services.shared.runtime.status import parse_error
from tests.support.eventually import eventually
from tests.support.lab import Flavor, Fleet, Lab, LabInstance
from tests.support.suite import Suite, SuiteNode


def endpoint(instance: LabInstance) -> topology_pb2.Endpoint:
    return topology_pb2.Endpoint(host=instance.host, port=instance.port)


async def is_writable(instance: LabInstance) -> bool:
    return await instance.variable("read_only") in ("OFF", "0")


async def is_ready(node: SuiteNode, fleet: Fleet) -> bool:
    """Return whether a node has read the fleet, and its primary is in the directory."""
    known = await node.instances()
    seen = [known.get(instance.endpoint) for instance in fleet]
    read = all(each is not None and each.reading.last_check_valid and not each.problems for each in seen)
    return read and fleet.primary.endpoint in await node.primaries()


async def ready(suite: Suite, fleet: Fleet) -> None:
    async def all_are() -> bool:
        return all([await is_ready(node, fleet) for node in suite.nodes])

    await eventually(all_are, within=60, retry_on=grpc.aio.AioRpcError, message=suite.logs)


async def one_closed(node: SuiteNode) -> pb.Recovery | None:
    found = await node.recoveries()
    return found[0] if found and found[0].state != pb.Recovery.STATE_RUNNING else None


@pytest.mark.mysql
async def test_killed_primary_is_replaced_within_seconds(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=1) as suite:
            await ready(suite, fleet)
            started = time.monotonic()
            fleet["p"].kill()

            async def somebody_takes_writes() -> bool:
                return await is_writable(fleet["r1"]) or await is_writable(fleet["r2"])

            await eventually(somebody_takes_writes, within=20, message=suite.logs)
            elapsed = time.monotonic() - started
            recovery = await eventually(lambda: one_closed(suite.node(1)), within=20, message=suite.logs)
            assert recovery is not None
            print(f"writable after {elapsed * 1000:.0f} ms\n{MessageToJson(recovery)}")
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            successor = fleet["r1"] if recovery.successor == endpoint(fleet["r1"]) else fleet["r2"]
            other = fleet["r2"] if successor is fleet["r1"] else fleet["r1"]
            assert await is_writable(successor)
            assert not await is_writable(other)
            assert recovery.epoch == 2
            assert successor.endpoint in await suite.node(1).primaries()
            await successor.execute("INSERT INTO app.writes (id) VALUES (1)")

            async def replicated() -> bool:
                return bool(await other.query("SELECT id FROM app.writes"))

            await eventually(replicated, within=10)


@pytest.mark.mysql
async def test_hung_primary_is_replaced_and_fenced_when_it_wakes_up(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2", semi_sync=True)
        async with Suite(fleet, tmp_path, nodes=1) as suite:
            await ready(suite, fleet)
            await fleet["p"].execute("INSERT INTO app.writes (id) VALUES (1)")
            fleet["p"].stop()
            recovery = await eventually(lambda: one_closed(suite.node(1)), within=30, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            assert recovery.loss.state == pb.Loss.STATE_PROVEN_NONE, MessageToJson(recovery)
            successor = fleet["r1"] if recovery.successor == endpoint(fleet["r1"]) else fleet["r2"]
            assert [row["id"] for row in await successor.query("SELECT id FROM app.writes")] == [1]
            fleet["p"].resume()

            async def fenced() -> bool:
                return not await is_writable(fleet["p"])

            await eventually(fenced, within=30, retry_on=pymysql.err.MySQLError, message=suite.logs)
            assert await is_writable(successor)


@pytest.mark.mariadb
async def test_killed_mariadb_primary_is_replaced(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2", flavor=Flavor.MARIADB)
        async with Suite(fleet, tmp_path, nodes=1) as suite:
            await ready(suite, fleet)
            await fleet["p"].execute("INSERT INTO app.writes (id) VALUES (1)")
            await fleet.caught_up()
            fleet["p"].kill()
            recovery = await eventually(lambda: one_closed(suite.node(1)), within=30, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            successor = fleet["r1"] if recovery.successor == endpoint(fleet["r1"]) else fleet["r2"]
            other = fleet["r2"] if successor is fleet["r1"] else fleet["r1"]
            await successor.execute("INSERT INTO app.writes (id) VALUES (2)")

            async def replicated() -> bool:
                return [row["id"] for row in await other.query("SELECT id FROM app.writes ORDER BY id")] == [1, 2]

            await eventually(replicated, within=10)


@pytest.mark.mysql
async def test_former_primary_that_comes_back_is_fenced_and_followers_name_the_leader(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=3) as suite:
            await ready(suite, fleet)
            plan = await suite.node(1).recovery.Plan(pb.PlanRequest(failed=endpoint(fleet["p"])), timeout=10)
            assert plan.plan.HasField("chosen")
            await eventually(lambda: a_follower_names_the_leader(suite, fleet["p"]), within=20, message=suite.logs)

            fleet["p"].kill()
            recovery = await eventually(lambda: one_closed(suite.node(1)), within=20, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            await fleet["p"].start()  # Writable, and so it would stay: the record below tells that it was found so.

            async def fenced() -> bool:
                return not await is_writable(fleet["p"])

            await eventually(fenced, within=30, retry_on=pymysql.err.MySQLError, message=suite.logs)

            async def told() -> bool:
                found = await suite.node(2).recoveries()
                return (
                    found[0].kind == pb.RECOVERY_KIND_FORMER_PRIMARY and found[0].state == pb.Recovery.STATE_SUCCEEDED
                )

            await eventually(told, within=10, message=suite.logs)


async def a_follower_names_the_leader(suite: Suite, failed: LabInstance) -> bool:
    """Return whether a node that does not lead refuses to act and says who does; leadership may move meanwhile."""
    leader = await suite.leader()
    follower = next(node for node in suite.nodes if node is not leader)
    try:
        await follower.recovery.StartRecovery(pb.StartRecoveryRequest(failed=endpoint(failed)), timeout=10)
    except grpc.aio.AioRpcError as error:
        refused = parse_error(error)
        named = refused.metadata.get("endpoint") == leader.node.endpoint(Service.RECOVERY)
        return refused.reason == "NOT_LEADER" and named
    return False


@pytest.mark.mysql
async def test_leader_dies_with_the_primary_and_the_next_one_recovers(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=3) as suite:
            await ready(suite, fleet)
            leader = await suite.leader()
            started = time.monotonic()
            leader.kill()
            fleet["p"].kill()

            async def somebody_takes_writes() -> bool:
                return await is_writable(fleet["r1"]) or await is_writable(fleet["r2"])

            await eventually(somebody_takes_writes, within=30, message=suite.logs)
            print(f"writable after {(time.monotonic() - started) * 1000:.0f} ms")
            others = [node for node in suite.nodes if node is not leader]
            recovery = await eventually(lambda: one_closed(others[0]), within=20, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            assert [await is_writable(fleet[name]) for name in ("r1", "r2")].count(True) == 1


@pytest.mark.mysql
async def test_recovery_survives_the_death_of_its_leader_in_the_middle(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1{delay=0} r2")
        async with Suite(fleet, tmp_path, nodes=3) as suite:
            await ready(suite, fleet)
            # The successor cannot apply what it received as long as this lock is held: the recovery waits in DRAIN.
            await fleet["r2"].execute("STOP REPLICA IO_THREAD")
            blocker = fleet["r1"].connect(account=fleet.credentials.root)
            with blocker.cursor() as cursor:
                cursor.execute("FLUSH TABLES WITH READ LOCK")
            await fleet["p"].execute("INSERT INTO app.writes (id) VALUES (1)")
            leader = await suite.leader()
            fleet["p"].kill()

            async def is_draining() -> bool:
                found = await leader.recoveries()
                return bool(found) and any(step.kind == pb.STEP_KIND_DRAIN for step in found[0].steps)

            await eventually(is_draining, within=20, message=suite.logs)
            leader.kill()
            others = [node for node in suite.nodes if node is not leader]

            async def is_adopted() -> bool:
                found = await others[0].recoveries()
                return bool(found) and found[0].node != leader.name

            await eventually(is_adopted, within=20, message=suite.logs)
            blocker.close()
            recovery = await eventually(lambda: one_closed(others[0]), within=30, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            assert recovery.successor == endpoint(fleet["r1"])
            assert await is_writable(fleet["r1"])
            assert not await is_writable(fleet["r2"])
            assert [row["id"] for row in await fleet["r1"].query("SELECT id FROM app.writes")] == [1]
            assert any(step.state == pb.Step.STATE_UNKNOWN for step in recovery.steps)
            assert len(await others[0].recoveries()) == 1


@pytest.mark.mysql
async def test_leader_cut_off_from_its_peers_stops_and_another_one_recovers(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=3, linked=True) as suite:
            await ready(suite, fleet)
            cut_off = await suite.leader()
            others = [node for node in suite.nodes if node is not cut_off]
            await suite.isolate(cut_off)
            fleet["p"].kill()
            leader = await suite.leader(among=others)
            recovery = await eventually(lambda: one_closed(leader), within=30, message=suite.logs)
            assert recovery is not None
            assert recovery.state == pb.Recovery.STATE_SUCCEEDED, MessageToJson(recovery)
            assert recovery.node == leader.name
            assert [await is_writable(fleet[name]) for name in ("r1", "r2")].count(True) == 1

            await eventually(lambda: blockers_are(cut_off, [pb.BLOCKER_NO_QUORUM]), within=10, message=suite.logs)
            assert await cut_off.recoveries() == []
            await suite.heal()
            await eventually(lambda: same_recoveries(suite), within=20, message=suite.logs)


async def blockers_are(node: SuiteNode, expected: list[pb.Blocker.ValueType]) -> bool:
    answer = await node.recovery.ListBlockers(pb.ListBlockersRequest(), timeout=5)
    return [each.blocker for each in answer.blocked] == expected


async def same_recoveries(suite: Suite) -> bool:
    found = [[each.recovery_id for each in await node.recoveries()] for node in suite.nodes]
    return len(found[0]) == 1 and all(each == found[0] for each in found)


@pytest.mark.mysql
async def test_observing_suite_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async with Lab() as lab:
        fleet = await lab.deploy("p -> r1 r2")
        async with Suite(fleet, tmp_path, nodes=1, policy="observe") as suite:
            node = suite.node(1)

            async def has_read_all() -> bool:
                known = await node.instances()
                return all(each.endpoint in known and known[each.endpoint].reading.last_check_valid for each in fleet)

            await eventually(has_read_all, within=60, retry_on=grpc.aio.AioRpcError, message=suite.logs)
            fleet["p"].kill()
            await eventually(lambda: blockers_are(node, [pb.BLOCKER_POLICY]), within=20, message=suite.logs)
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await node.recovery.StartRecovery(pb.StartRecoveryRequest(failed=endpoint(fleet["p"])), timeout=10)
            assert parse_error(refusal.value).reason == "POLICY"
            assert not await is_writable(fleet["r1"])
            assert not await is_writable(fleet["r2"])
            assert await node.recoveries() == []
