from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from primacy.discovery.v1 import discovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.shared.topology.convert.instance import instance_from_proto
from services.shared.topology.convert.key import key_from_proto
from services.shared.topology.instance import Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor
from tests.integration.discovery.conftest import StartDiscovery
from tests.integration.discovery.discovery_world import Discovery, Watch, refused
from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab

FLAVORS = [
    pytest.param(Flavor.MYSQL, id="mysql", marks=pytest.mark.mysql),
    pytest.param(Flavor.MARIADB, id="mariadb", marks=pytest.mark.mariadb),
]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def endpoint(text: str) -> topology_pb2.Endpoint:
    key = InstanceKey.parse(text)
    return topology_pb2.Endpoint(host=key.host, port=key.port)


async def health(discovery: Discovery) -> int:
    stub = health_pb2_grpc.HealthStub(discovery.channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)  # type: ignore[attr-defined]
    return int(response.status)


async def health_is(discovery: Discovery, state: int) -> bool:
    return await health(discovery) == state


async def tree_known(discovery: Discovery, fleet: Fleet) -> dict[InstanceKey, Any]:
    async def all_known() -> dict[InstanceKey, Any]:
        topology = await discovery.topology()
        assert {str(key) for key in topology.instances} == set(fleet.endpoints)
        return dict(topology.instances)

    return await eventually(all_known, within=10)


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_whole_tree_is_found_from_a_leaf(lab: Lab, start_discovery: StartDiscovery, flavor: Flavor) -> None:
    fleet = await lab.deploy("p@east -> r1@west r2{delay=30}(r3)", flavor=flavor)
    await fleet["p"].execute("INSERT INTO app.writes (id) VALUES (1)")
    discovery = await start_discovery(
        fleet, seeds=[fleet["r3"].endpoint], DATA_CENTER_QUERY="SELECT data_center FROM lab.placement;"
    )
    topology = await discovery.topology()
    found = {name: topology.instances[InstanceKey.parse(fleet[name].endpoint)] for name in ("p", "r1", "r2", "r3")}
    assert len(topology.instances) == 4
    assert {name: one.depth for name, one in found.items()} == {"p": 0, "r1": 1, "r2": 1, "r3": 2}
    assert {name: one.data_center for name, one in found.items() if name in ("p", "r1")} == {"p": "east", "r1": "west"}
    assert all(one.flavor is flavor and one.version and one.server_uuid for one in found.values())
    assert all(one.reading.last_check_valid and one.problems == () for one in found.values())
    assert (found["p"].read_only, found["r1"].read_only) == (False, True)
    assert found["p"].executed_gtid_set
    assert all(found[name].replicating and found[name].channels[0].gtid_positioning for name in ("r1", "r2", "r3"))
    assert found["r2"].channels[0].sql_delay == timedelta(seconds=30)
    assert set(found["p"].reported_replicas) == {found["r1"].key, found["r2"].key}
    (cluster,) = topology.clusters.values()
    assert (cluster.primary, cluster.alias, cluster.instance_count) == (found["p"].key, str(found["p"].key), 4)
    if flavor is Flavor.MYSQL:
        assert found["p"].server_uuid == fleet["p"].server_uuid
        assert found["r1"].channels[0].source_uuid == fleet["p"].server_uuid
        assert found["r1"].channels[0].heartbeat_period is not None
    await eventually(lambda: health_is(discovery, SERVING), within=5)


@pytest.mark.mysql
async def test_replica_that_reports_no_host_is_found_by_its_dump_thread(
    lab: Lab, start_discovery: StartDiscovery
) -> None:
    fleet = await lab.deploy("p -> r1", options=["--report-host="])
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint])
    await tree_known(discovery, fleet)


@pytest.mark.mysql
async def test_lists_are_paged_and_requests_checked(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1; q")
    discovery = await start_discovery(fleet)
    stub = discovery.stub
    response = await stub.Discover(pb.DiscoverRequest(endpoint=endpoint(fleet["r1"].endpoint)))
    assert instance_from_proto(response.instance).key == InstanceKey.parse(fleet["r1"].endpoint)
    assert {str(key_from_proto(found)) for found in response.found} == {fleet["p"].endpoint, fleet["r1"].endpoint}
    await stub.Discover(pb.DiscoverRequest(endpoint=endpoint(fleet["q"].endpoint)))

    first = await stub.ListInstances(pb.ListInstancesRequest(page_size=2))
    second = await stub.ListInstances(pb.ListInstancesRequest(page_size=2, page_token=first.next_page_token))
    assert (len(first.instances), len(second.instances), second.next_page_token) == (2, 1, "")
    clusters = (await stub.ListClusters(pb.ListClustersRequest())).clusters
    assert {cluster.alias for cluster in clusters} == {fleet["p"].endpoint, fleet["q"].endpoint}
    of_q = await stub.GetTopology(pb.GetTopologyRequest(cluster=fleet["q"].endpoint))
    assert len(of_q.snapshot.instances) == len(of_q.snapshot.clusters) == 1
    problems = await stub.ListInstances(pb.ListInstancesRequest(only_problems=True))
    assert not problems.instances
    got = await stub.GetInstance(pb.GetInstanceRequest(endpoint=endpoint(fleet["q"].endpoint)))
    assert got.instance.depth == 0

    nobody = topology_pb2.Endpoint(host="127.0.0.1", port=1)
    malformed = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    unknown = (grpc.StatusCode.NOT_FOUND, "INSTANCE_UNKNOWN")
    no_cluster = (grpc.StatusCode.NOT_FOUND, "CLUSTER_UNKNOWN")
    unreachable = (grpc.StatusCode.UNAVAILABLE, "INSTANCE_UNREACHABLE")
    calls: list[tuple[Any, Any, tuple[grpc.StatusCode, str]]] = [
        (stub.GetInstance, pb.GetInstanceRequest(endpoint=nobody), unknown),
        (stub.Refresh, pb.RefreshRequest(endpoint=nobody), unknown),
        (stub.Forget, pb.ForgetRequest(endpoint=nobody), unknown),
        (stub.Discover, pb.DiscoverRequest(endpoint=nobody), unreachable),
        (stub.Discover, pb.DiscoverRequest(), malformed),
        (stub.ListInstances, pb.ListInstancesRequest(page_size=1001), malformed),
        (stub.ListInstances, pb.ListInstancesRequest(page_token="x"), malformed),
        (stub.ListInstances, pb.ListInstancesRequest(cluster="no"), no_cluster),
        (stub.GetTopology, pb.GetTopologyRequest(cluster="no"), no_cluster),
    ]
    for method, request, (code, reason) in calls:
        error = await refused(method(request))
        assert (error.code, error.reason) == (code, reason), error
    assert len((await discovery.topology()).instances) == 3


@pytest.mark.mysql
async def test_wrong_password_is_said_and_never_shown(lab: Lab, start_discovery: StartDiscovery, tmp_path: Any) -> None:
    fleet = await lab.deploy("p")
    (tmp_path / "wrong").write_text("hunter2-wrong\n", encoding="utf-8")
    discovery = await start_discovery(
        fleet, seeds=[fleet["p"].endpoint], MYSQL_PASSWORD_FILE=str(tmp_path / "wrong")
    )  # fmt: skip
    error = await refused(discovery.stub.Discover(pb.DiscoverRequest(endpoint=endpoint(fleet["p"].endpoint))))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCESS_DENIED")
    assert error.metadata["error_number"] == "1045"
    assert (await discovery.topology()).instances == {}
    assert await health_is(discovery, NOT_SERVING)
    assert "hunter2" not in f"{error}{discovery.lines}{discovery.errors}"


@pytest.mark.mysql
async def test_account_with_few_rights_reads_what_it_may(
    lab: Lab, start_discovery: StartDiscovery, tmp_path: Any
) -> None:
    fleet = await lab.deploy("p -> r1")
    await fleet["p"].execute(
        "CREATE USER viewer@'127.0.0.1' IDENTIFIED BY 'view'", "GRANT REPLICATION CLIENT ON *.* TO viewer@'127.0.0.1'"
    )
    await fleet.caught_up()
    (tmp_path / "view").write_text("view", encoding="utf-8")
    discovery = await start_discovery(
        fleet, seeds=[fleet["r1"].endpoint], MYSQL_USER="viewer", MYSQL_PASSWORD_FILE=str(tmp_path / "view")
    )
    instances = await tree_known(discovery, fleet)
    replica = instances[InstanceKey.parse(fleet["r1"].endpoint)]
    assert replica.replicating
    assert replica.reading.last_check_valid
    assert replica.channels[0].heartbeat_period is None
    assert discovery.logged("discovery.reading_refused")


@pytest.mark.mysql
async def test_each_server_is_read_over_one_kept_connection(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], POLL="100ms")
    await tree_known(discovery, fleet)
    sessions = "SELECT ID FROM performance_schema.processlist WHERE USER = 'primacy'"

    async def ids() -> list[Any]:
        return [await fleet[name].query(sessions) for name in ("p", "r1")]

    before, seen = await ids(), (await discovery.instance(fleet["p"].endpoint)).reading.last_seen_time

    async def polled() -> bool:
        last = (await discovery.instance(fleet["p"].endpoint)).reading.last_seen_time
        return last is not None and seen is not None and last - seen > timedelta(milliseconds=500)

    await eventually(polled, within=10)
    assert await ids() == before
    assert [len(found) for found in before] == [1, 1]


@pytest.mark.mysql
async def test_forgotten_instance_stays_away_and_comes_back_when_asked_for(
    lab: Lab, start_discovery: StartDiscovery
) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], POLL="300ms")
    await tree_known(discovery, fleet)
    async with Watch(discovery) as watch:
        await discovery.stub.Forget(pb.ForgetRequest(endpoint=endpoint(fleet["r1"].endpoint)))
        gone = asyncio.get_running_loop().time()
        await eventually(lambda: InstanceKey.parse(fleet["r1"].endpoint) not in watch.instances, within=2)
        await eventually(lambda: InstanceKey.parse(fleet["r1"].endpoint) in watch.instances, within=10)
        assert asyncio.get_running_loop().time() - gone > 0.9
        await discovery.stub.Forget(pb.ForgetRequest(endpoint=endpoint(fleet["r1"].endpoint)))
        await discovery.stub.Discover(pb.DiscoverRequest(endpoint=endpoint(fleet["r1"].endpoint)))
        await eventually(lambda: InstanceKey.parse(fleet["r1"].endpoint) in watch.instances, within=0.5)


@pytest.mark.mysql
async def test_watch_goes_on_where_it_was_left(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], POLL="200ms")
    await tree_known(discovery, fleet)
    async with Watch(discovery) as first:
        await eventually(lambda: first.kinds.count("delta") > 3, within=10)
    assert first.kinds[0] == "snapshot"
    assert first.revisions == sorted(first.revisions)
    async with Watch(discovery, after_revision=first.revisions[1]) as second:
        await eventually(lambda: len(second.revisions) > 2, within=10)
    assert "snapshot" not in second.kinds
    assert second.revisions[:3] == first.revisions[2:5] if len(first.revisions) > 4 else first.revisions[2:]
    for revision in (1, first.revisions[-1] + 10_000_000):
        async with Watch(discovery, after_revision=revision) as lost:
            await eventually(lambda: lost.error, within=5)
        assert lost.error is not None
        assert (lost.error.code, lost.error.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED")


@pytest.mark.mysql
async def test_quiet_stream_says_that_it_lives(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint], POLL="60s", PRIMARY_POLL="60s")
    async with Watch(discovery) as watch:
        await eventually(lambda: watch.kinds[-2:] == ["progress", "progress"], within=5)


@pytest.mark.mysql
async def test_errant_transaction_is_found(lab: Lab, start_discovery: StartDiscovery) -> None:
    fleet = await lab.deploy("p -> r1")
    discovery = await start_discovery(fleet, seeds=[fleet["p"].endpoint])
    async with Watch(discovery) as watch:
        await fleet["r1"].execute("SET GLOBAL super_read_only = OFF", "INSERT INTO app.writes (id) VALUES (1)")
        errant = f"{fleet['r1'].server_uuid}:1"

        def found() -> bool:
            replica = watch[fleet["r1"].endpoint]
            return replica.errant_gtid_set == errant and Problem.ERRANT_GTID in replica.problems

        await eventually(found, within=10)
