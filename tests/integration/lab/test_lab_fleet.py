"""The lab against real servers: wiring, deaths, returns."""

from __future__ import annotations

import pymysql
import pytest

from tests.support.eventually import eventually
from tests.support.lab import Flavor, Lab, LabInstance

FLAVORS = [
    pytest.param(Flavor.MYSQL, id="mysql", marks=pytest.mark.mysql),
    pytest.param(Flavor.MARIADB, id="mariadb", marks=pytest.mark.mariadb),
]


async def _ids(instance: LabInstance) -> list[int]:
    rows = await instance.query("SELECT id FROM app.writes ORDER BY id", account=instance.credentials.app)
    return [int(row["id"]) for row in rows]


async def _insert(instance: LabInstance, number: int) -> None:
    await instance.query("INSERT INTO app.writes (id) VALUES (%s)", (number,), account=instance.credentials.app)


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_tree_replicates_dies_and_comes_back(lab: Lab, flavor: Flavor) -> None:
    fleet = await lab.deploy("p@east -> r1 r2@west(r3)", flavor=flavor)
    primary, leaf = fleet["p"], fleet["r3"]

    await _insert(primary, 1)
    await fleet.caught_up()
    assert await _ids(leaf) == [1]
    assert [i.data_center for i in fleet] == ["east", "east", "west", "west"]
    placement = await leaf.query("SELECT data_center FROM lab.placement", account=fleet.credentials.management)
    assert placement == [{"data_center": "west"}]
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        await _insert(leaf, 99)

    uuid, port = primary.server_uuid, primary.port
    primary.kill()
    await eventually(lambda: not primary.running, within=5)
    with pytest.raises(pymysql.err.OperationalError):
        await primary.query("SELECT 1")

    await primary.restart()
    assert (primary.server_uuid, primary.port) == (uuid, port)
    await _insert(primary, 2)
    await fleet.caught_up()
    assert await _ids(leaf) == [1, 2]

    await leaf.restart()  # Alive, so it ends in order first.
    await _insert(primary, 3)
    await fleet.caught_up()
    assert await _ids(leaf) == [1, 2, 3]
    assert await leaf.variable("read_only") == "ON"

    primary.stop()
    with pytest.raises(pymysql.err.OperationalError):
        await primary.query("SELECT 1", timeout_s=0.2)
    assert primary.running
    primary.resume()
    await _insert(primary, 4)


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_gtid_sets_start_empty_and_grow_by_writes_only(lab: Lab, flavor: Flavor) -> None:
    fleet = await lab.deploy("p -> r", flavor=flavor)
    names = {Flavor.MYSQL: "gtid_executed", Flavor.MARIADB: "gtid_binlog_pos"}

    assert await fleet["p"].variable(names[flavor]) == ""
    await _insert(fleet["p"], 1)
    await fleet.caught_up()
    expected = {Flavor.MYSQL: f"{fleet['p'].server_uuid}:1", Flavor.MARIADB: f"0-{fleet['p'].server_id}-1"}
    assert await fleet["r"].variable(names[flavor]) == expected[flavor]


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_semi_sync_primary_waits_for_its_replica(lab: Lab, flavor: Flavor) -> None:
    fleet = await lab.deploy("p -> r", flavor=flavor, semi_sync=True)
    word = "source" if flavor is Flavor.MYSQL else "master"
    primary = fleet["p"]

    await _insert(primary, 1)
    assert await primary.status(f"Rpl_semi_sync_{word}_status") == "ON"
    assert await primary.status(f"Rpl_semi_sync_{word}_yes_tx") == "1"

    fleet["r"].stop()
    with pytest.raises(pymysql.err.OperationalError, match="timed out"):
        await primary.query("INSERT INTO app.writes (id) VALUES (2)", timeout_s=0.5)
    fleet["r"].resume()
    await _insert(primary, 3)
    assert await _ids(primary) == [1, 2, 3]


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_delayed_replica_receives_but_does_not_apply(lab: Lab, flavor: Flavor) -> None:
    fleet = await lab.deploy("p -> r1 r2{delay=3600}", flavor=flavor)

    await _insert(fleet["p"], 1)

    await eventually(lambda: _ids(fleet["r1"]), within=5)
    assert await _ids(fleet["r2"]) == []
    rows = await fleet["r2"].query("SHOW SLAVE STATUS" if flavor is Flavor.MARIADB else "SHOW REPLICA STATUS")
    assert rows[0]["SQL_Delay"] == 3600


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_management_account_can_promote(lab: Lab, flavor: Flavor) -> None:
    fleet = await lab.deploy("p -> r", flavor=flavor)
    replica, management = fleet["r"], fleet.credentials.management
    fleet["p"].kill()
    promote = {
        Flavor.MYSQL: (
            "STOP REPLICA",
            "RESET REPLICA ALL",
            "SET GLOBAL super_read_only = OFF",
            "SET GLOBAL read_only = 0",
        ),
        Flavor.MARIADB: ("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"),
    }

    await replica.execute(*promote[flavor], account=management)

    await _insert(replica, 1)
    assert await _ids(replica) == [1]


@pytest.mark.mysql
async def test_two_clusters_share_one_line(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r; q")

    assert [i.name for i in fleet.primaries] == ["p", "q"]
    assert len({i.server_uuid for i in fleet}) == 3
