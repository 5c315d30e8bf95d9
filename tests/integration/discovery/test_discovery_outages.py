from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Problem
from services.shared.topology.server import Flavor
from tests.integration.discovery.conftest import StartDiscovery
from tests.integration.discovery.discovery_world import Watch
from tests.integration.discovery.test_discovery_topologies import (
    FLAVORS,
    NOT_SERVING,
    SERVING,
    health_is,
    tree_known,
)
from tests.support.eventually import eventually
from tests.support.lab import Lab, LabInstance

SLOW_POLL = {"POLL": "30s", "PRIMARY_POLL": "30s"}
"""So slow that only a suspicion can have noticed."""


def lost_by(watch: Watch, replica: LabInstance) -> bool:
    return all(channel.io_state is not ThreadState.ON for channel in watch[replica.endpoint].channels)


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_killed_primary_is_seen_at_once_by_all_and_so_is_its_return(
    lab: Lab, start_discovery: StartDiscovery, flavor: Flavor
) -> None:
    fleet = await lab.deploy("p -> r1 r2(r3)", flavor=flavor)
    p, r1, r2, r3 = (fleet[name] for name in ("p", "r1", "r2", "r3"))
    discovery = await start_discovery(fleet, seeds=[p.endpoint], **SLOW_POLL)
    await tree_known(discovery, fleet)
    async with Watch(discovery) as watch:
        p.kill()
        await eventually(
            lambda: not watch[p.endpoint].reading.last_check_valid and lost_by(watch, r1) and lost_by(watch, r2),
            within=1,
        )
        assert watch[r3.endpoint].replicating
        assert watch[r1.endpoint].reading.last_check_valid
        assert watch[p.endpoint].problems == (Problem.LAST_CHECK_INVALID,)
        assert watch[p.endpoint].server_uuid  # What was known stays known.
        await p.start()
        await eventually(lambda: watch[p.endpoint].reading.last_check_valid, within=10)
    assert len(discovery.logged("discovery.instance_answers")) == 1


@pytest.mark.mysql
async def test_hung_replica_does_not_delay_what_the_others_say(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], **SLOW_POLL)
    await tree_known(discovery, fleet)
    async with Watch(discovery) as watch:
        fleet["r1"].stop()
        fleet["p"].kill()
        await eventually(
            lambda: not watch[fleet["p"].endpoint].reading.last_check_valid and lost_by(watch, fleet["r2"]), within=1
        )
        await eventually(lambda: not watch[fleet["r1"].endpoint].reading.last_check_valid, within=3)
        fleet["r1"].resume()


@pytest.mark.mysql
async def test_hung_primary_becomes_invalid_and_valid_again(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    p = fleet["p"]
    discovery = await start_discovery(fleet, seeds=[p.endpoint])
    await tree_known(discovery, fleet)
    async with Watch(discovery) as watch:
        p.stop()
        await eventually(lambda: not watch[p.endpoint].reading.last_check_valid, within=5)
        assert watch[p.endpoint].reading.error_number == 0  # A time-out has no number.
        assert watch[fleet["r1"].endpoint].reading.last_check_valid
        p.resume()
        await eventually(lambda: watch[p.endpoint].reading.last_check_valid, within=10)


@pytest.mark.mysql
async def test_killed_probe_session_is_no_outage(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], **SLOW_POLL)
    await tree_known(discovery, fleet)
    async with Watch(discovery) as watch:
        before = watch[fleet["p"].endpoint].reading.last_seen_time
        for row in await fleet["p"].query("SELECT ID FROM performance_schema.processlist WHERE USER = 'primacy'"):
            await fleet["p"].execute(f"KILL {row['ID']}", account=fleet.credentials.root)
        await eventually(lambda: watch[fleet["p"].endpoint].reading.last_seen_time != before, within=2)
        assert watch[fleet["p"].endpoint].reading.last_check_valid
    assert not discovery.logged("discovery.instance_failed")


@pytest.mark.mysql
async def test_restart_during_an_outage_remembers(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    p = fleet["p"]
    await p.execute("INSERT INTO app.writes (id) VALUES (1)")
    discovery = await start_discovery(fleet, seeds=[fleet["r1"].endpoint])
    await tree_known(discovery, fleet)
    before = await discovery.instance(p.endpoint)
    p.kill()

    async def dead() -> bool:
        return not (await discovery.instance(p.endpoint)).reading.last_check_valid

    await eventually(dead, within=5)
    assert await discovery.stop() == 0
    await discovery.restart()
    after = await discovery.instance(p.endpoint)
    assert not after.reading.last_check_valid
    assert after.reading.last_seen_time is not None
    assert (after.server_uuid, after.cluster_id, after.depth) == (before.server_uuid, before.cluster_id, 0)
    assert after.executed_gtid_set == f"{p.server_uuid}:1"
    (cluster,) = (await discovery.topology()).clusters.values()
    assert (cluster.alias, cluster.instance_count) == (p.endpoint, 2)


@pytest.mark.mysql
async def test_promoted_replica_keeps_the_cluster(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    p, r1, r2 = (fleet[name] for name in ("p", "r1", "r2"))
    discovery = await start_discovery(fleet, seeds=[p.endpoint])
    cluster_id = (await tree_known(discovery, fleet)).popitem()[1].cluster_id
    async with Watch(discovery) as watch:
        p.kill()
        await r1.execute("STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = OFF")
        await r2.execute(
            "STOP REPLICA", f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{r1.host}', SOURCE_PORT = {r1.port}",
            "START REPLICA",
        )  # fmt: skip

        def moved() -> bool:
            cluster = watch.clusters[cluster_id]
            return cluster.primary == watch[r1.endpoint].key and watch[r2.endpoint].sources == (watch[r1.endpoint].key,)

        await eventually(moved, within=10)
        assert {one.cluster_id for one in watch.instances.values()} == {cluster_id}


@pytest.mark.mysql
async def test_locked_store_stops_serving_and_not_the_probing(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], STORE_DELAY="100ms")
    await tree_known(discovery, fleet)
    await eventually(lambda: health_is(discovery, SERVING), within=5)
    async with Watch(discovery) as watch:
        with closing(sqlite3.connect(discovery.directory / "discovery.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            await eventually(lambda: health_is(discovery, NOT_SERVING), within=10)
            fleet["r1"].kill()
            await eventually(lambda: not watch[fleet["r1"].endpoint].reading.last_check_valid, within=1)
            assert len(discovery.logged("discovery.store_broken")) == 1
            other.rollback()
        await eventually(lambda: health_is(discovery, SERVING), within=10)
