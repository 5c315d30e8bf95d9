from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.discovery.identity import new_cluster_id
from services.discovery.model import Delta, DirectoryEntry, Limits, ProbeFailure, Remembered
from services.discovery.topology import Topology
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor
from services.shared.topology.snapshot import Cluster
from tests.unit.discovery.fleets import REFUSED, at, instance, key, result, uuid

LIMITS = Limits(poll=timedelta(seconds=5), grace=timedelta(seconds=1), lag=timedelta(seconds=10))
P, R1, R2, R3 = instance("p"), instance("r1", "p"), instance("r2", "p"), instance("r3", "r2")
P_CLUSTER = new_cluster_id(uuid("p"))


def topology_of(*instances: Instance, remembered: Remembered | None = None) -> Topology:
    topology = Topology(LIMITS, remembered)
    for number, one in enumerate(instances):
        topology.apply(result(one, at_s=number))
    return topology


def depths(topology: Topology) -> dict[str, int | None]:
    return {found.host: one.depth for found, one in topology.instances.items()}


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([P, R1, R2, R3], id="from_the_top"),
        pytest.param([R3, R2, R1, P], id="from_the_bottom"),
        pytest.param([R1, R3, P, R2], id="from_the_middle"),
    ],
)
def test_tree_is_the_same_in_whatever_order_it_was_found(order: list[Instance]) -> None:
    topology = topology_of(*order)
    assert depths(topology) == {"p": 0, "r1": 1, "r2": 1, "r3": 2}
    assert {one.cluster_id for one in topology.instances.values()} == {P_CLUSTER}
    (cluster,) = topology.clusters.values()
    assert cluster.primary == key("p")
    assert cluster.alias == "p:3306"
    assert (cluster.instance_count, cluster.problem_count, cluster.epoch) == (4, 0, 0)


def test_delta_has_what_changed_and_no_more() -> None:
    topology = topology_of(P, R1, R2)
    delta = topology.apply(result(instance("r1", "p", executed="x"), at_s=10))
    assert set(delta.changed) == {key("r1")}
    assert delta.changed_clusters == {}
    assert not topology.apply(result(instance("r1", "p", executed="x"), at_s=10))


def test_source_that_was_never_read_leaves_depth_unknown() -> None:
    topology = topology_of(R1)
    topology.apply(result(REFUSED, of="p"))
    assert depths(topology) == {"r1": None, "p": None}
    assert Problem.LAST_CHECK_INVALID in topology.instances[key("p")].problems
    (cluster,) = topology.clusters.values()
    assert cluster.primary is None
    assert cluster.cluster_id == P_CLUSTER  # The replica knows whose transactions it reads.


def test_two_clusters_do_not_mix() -> None:
    topology = topology_of(P, R1, instance("q"), instance("s1", "q"))
    assert {cluster.primary for cluster in topology.clusters.values()} == {key("p"), key("q")}
    assert all(cluster.instance_count == 2 for cluster in topology.clusters.values())


def test_multi_source_replica_belongs_to_its_first_channel() -> None:
    topology = topology_of(P, instance("q"), instance("m", "p", "q"))
    assert topology.instances[key("m")].cluster_id == P_CLUSTER
    assert depths(topology)["m"] == 1
    assert [one.key for one in topology.replicas(key("q"))] == [key("m")]


def test_cluster_id_outlives_its_primary() -> None:
    topology = topology_of(P, R1, R2)
    topology.apply(result(REFUSED, of="p", at_s=10))
    topology.apply(result(instance("r1"), at_s=11))
    topology.apply(result(instance("r2", "r1"), at_s=12))
    assert {one.cluster_id for one in topology.instances.values()} == {P_CLUSTER}
    (cluster,) = topology.clusters.values()
    assert cluster.primary == key("r1")  # Two instances have no source, one of them answers.
    assert cluster.alias == "p:3306"


def test_moved_replica_takes_the_cluster_of_its_new_source() -> None:
    topology = topology_of(P, R1, instance("q"))
    delta = topology.apply(result(instance("r1", "q"), at_s=10))
    assert topology.instances[key("r1")].cluster_id == new_cluster_id(uuid("q"))
    assert {cluster.instance_count for cluster in delta.changed_clusters.values()} == {1, 2}


def test_cluster_without_members_is_removed() -> None:
    topology = topology_of(P, instance("q"))
    delta = topology.apply(result(instance("q", "p"), at_s=10))
    assert delta.removed_clusters == {new_cluster_id(uuid("q"))}
    assert list(topology.clusters) == [P_CLUSTER]


def test_what_was_remembered_is_there_before_the_first_probe() -> None:
    before = topology_of(P, R1)
    remembered = Remembered(tuple(before.instances.values()), before.aliases)
    topology = Topology(LIMITS, remembered)
    assert topology.instances == before.instances
    assert topology.clusters == before.clusters
    topology.apply(result(instance("r1"), at_s=10))  # Promoted meanwhile, and the old primary unread yet.
    assert topology.instances[key("r1")].cluster_id == P_CLUSTER


def test_directory_gives_the_id_that_all_nodes_share() -> None:
    topology = topology_of(instance("r1"), instance("r2", "r1"))
    delta = topology.set_directory([DirectoryEntry("shared", "orders", uuid("r1"), 7, (uuid("p"),))], at(10))
    assert set(delta.changed) == {key("r1"), key("r2")}
    (cluster,) = topology.clusters.values()
    assert (cluster.cluster_id, cluster.alias, cluster.epoch) == ("shared", "orders", 7)
    assert delta.removed_clusters == {new_cluster_id(uuid("r1"))}
    topology.apply(result(instance("p"), at_s=11))  # The former primary comes back, alone.
    assert topology.instances[key("p")].cluster_id == "shared"


def test_of_several_tops_the_published_one_is_the_primary() -> None:
    topology = topology_of(P, R1)
    topology.apply(result(instance("r1"), at_s=10))
    assert topology.clusters[P_CLUSTER].primary is None
    topology.set_directory([DirectoryEntry(P_CLUSTER, "", uuid("r1"), 2, (uuid("p"),))], at(11))
    assert topology.clusters[P_CLUSTER].primary == key("r1")
    assert topology.clusters[P_CLUSTER].epoch == 2


def test_co_primaries_end_no_loop() -> None:
    topology = topology_of(instance("a", "b"), instance("b", "a"), instance("r", "b"))
    assert depths(topology) == {"a": 0, "b": 1, "r": 2}
    assert [one.host for one, found in topology.instances.items() if found.co_primary] == ["a", "b"]
    (cluster,) = topology.clusters.values()
    assert cluster.primary is None


def test_ring_of_three_ends_no_loop() -> None:
    topology = topology_of(instance("a", "c"), instance("b", "a"), instance("c", "b"))
    assert depths(topology) == {"a": 0, "b": 1, "c": 2}
    assert not any(one.co_primary for one in topology.instances.values())


def test_instance_that_reads_from_itself_ends_no_loop() -> None:
    topology = topology_of(instance("a", "a"))
    assert depths(topology) == {"a": 0}
    assert not topology.instances[key("a")].co_primary


def test_co_primary_ends_when_one_turns_away() -> None:
    topology = topology_of(instance("a", "b"), instance("b", "a"))
    topology.apply(result(instance("b"), at_s=10))
    assert not any(one.co_primary for one in topology.instances.values())
    assert depths(topology) == {"b": 0, "a": 1}


def test_two_endpoints_of_one_server_are_seen_twice_until_one_is_forgotten() -> None:
    topology = topology_of(P, instance("alias-of-p", server_uuid=uuid("p")))
    assert all(one.problems == (Problem.SEEN_TWICE,) for one in topology.instances.values())
    delta = topology.forget(key("alias-of-p"), at(10))
    assert delta.removed == {key("alias-of-p")}
    assert topology.instances[key("p")].problems == ()
    assert topology.clusters[P_CLUSTER].instance_count == 1


def test_forgetting_the_primary_leaves_its_replicas_in_their_cluster() -> None:
    topology = topology_of(P, R1, R2)
    topology.forget(key("p"), at(10))
    assert depths(topology) == {"r1": None, "r2": None}
    assert {one.cluster_id for one in topology.instances.values()} == {P_CLUSTER}
    assert not topology.forget(key("p"), at(11))


def test_replaced_server_at_an_endpoint_has_a_new_identity() -> None:
    topology = topology_of(P, R1)
    delta = topology.apply(result(instance("p", server_uuid=uuid("new")), at_s=10))
    assert delta.changed[key("p")].server_uuid == uuid("new")
    assert topology.instances[key("p")].cluster_id == P_CLUSTER


@pytest.mark.parametrize(
    ("io", "lag", "delay", "problems"),
    [
        pytest.param(ThreadState.ON, timedelta(seconds=10), timedelta(), (), id="at_the_limit"),
        pytest.param(ThreadState.ON, timedelta(seconds=11), timedelta(), (Problem.REPLICATION_LAG,), id="lags"),
        pytest.param(ThreadState.ON, timedelta(seconds=39), timedelta(seconds=30), (), id="delayed_on_purpose"),
        pytest.param(ThreadState.ON, None, timedelta(), (Problem.REPLICATION_LAG,), id="lag_unknown"),
        pytest.param(ThreadState.CONNECTING, None, timedelta(), (Problem.NOT_REPLICATING,), id="not_connected"),
        pytest.param(ThreadState.UNKNOWN, None, timedelta(), (Problem.NOT_REPLICATING,), id="state_unknown"),
    ],
)
def test_replication_problems(
    io: ThreadState, lag: timedelta | None, delay: timedelta, problems: tuple[Problem, ...]
) -> None:
    replica = instance("r1", "p", io=io)
    replica = replace(replica, channels=(replace(replica.channels[0], lag=lag, sql_delay=delay),))
    assert topology_of(P, replica).instances[key("r1")].problems == problems


def test_time_alone_makes_an_instance_not_recently_checked() -> None:
    topology = topology_of(P)
    assert not topology.note_time(at(25))
    delta = topology.note_time(at(26))
    assert delta.changed[key("p")].problems == (Problem.NOT_RECENTLY_CHECKED,)
    assert delta.changed_clusters[P_CLUSTER].problem_count == 1


def test_hanging_probe_shows_before_it_ends() -> None:
    topology = topology_of(P)
    delta = topology.note_hanging(key("p"), at(7))
    assert delta.changed[key("p")].problems == (Problem.LAST_CHECK_INVALID,)
    assert not topology.note_hanging(key("unknown"), at(7))


def errant_of(topology: Topology, name: str) -> str:
    return topology.instances[key(name)].errant_gtid_set


def test_errant_transactions_need_a_source_read_later() -> None:
    errant = f"{uuid('r1')}:1-2"
    topology = topology_of(instance("p", executed=f"{uuid('p')}:1-10"))
    replica = instance("r1", "p", executed=f"{uuid('p')}:1-10,{errant}")
    topology.apply(result(replica, at_s=5))
    assert errant_of(topology, "r1") == ""  # The primary was read before: it may have them by now.
    delta = topology.apply(result(instance("p", executed=f"{uuid('p')}:1-11"), at_s=6))
    assert delta.changed[key("r1")].errant_gtid_set == errant
    assert delta.changed[key("r1")].problems == (Problem.ERRANT_GTID,)
    topology.apply(result(replica, at_s=10))
    assert errant_of(topology, "r1") == errant  # Kept until it can be told anew.
    topology.apply(result(instance("p", executed=f"{uuid('p')}:1-11,{errant}"), at_s=11))
    assert errant_of(topology, "r1") == ""


@pytest.mark.parametrize(
    ("replica", "source", "errant"),
    [
        pytest.param(f"{uuid('p')}:1-12", f"{uuid('p')}:1-10", "", id="sources_own_are_on_their_way"),
        pytest.param(f"{uuid('g')}:1-12", f"{uuid('g')}:1-10", "", id="grandparents_own_are_on_their_way"),
        pytest.param(f"{uuid('x')}:1-12", f"{uuid('x')}:1-10", f"{uuid('x')}:11-12", id="of_a_former_primary"),
        pytest.param(f"{uuid('r')}:tag:1", f"{uuid('p')}:1", f"{uuid('r')}:tag:1", id="tagged"),
        pytest.param("garbage", f"{uuid('p')}:1", "", id="not_understood_is_unknown"),
        pytest.param(f"{uuid('r')}:1", "", f"{uuid('r')}:1", id="source_has_none"),
    ],
)
def test_errant_transactions_of_a_second_tier_replica(replica: str, source: str, errant: str) -> None:
    topology = topology_of(
        instance("r", "p", executed=replica), instance("p", "g", executed=source), instance("g", executed=source)
    )
    assert errant_of(topology, "r") == errant


def test_errant_position_on_mariadb() -> None:
    def server(name: str, *sources: str, executed: str, server_id: int) -> Instance:
        return instance(name, *sources, executed=executed, server_id=server_id, flavor=Flavor.MARIADB)

    topology = topology_of(
        server("r1", "p", executed="0-2-12", server_id=2),
        server("r2", "p", executed="0-1-12", server_id=3),
        server("p", executed="0-1-10", server_id=1),
    )
    assert errant_of(topology, "r1") == "0-2-11-12"
    assert errant_of(topology, "r2") == ""


names = st.sampled_from("abcde")
events = st.lists(
    st.one_of(
        st.builds(lambda name, sources: instance(name, *sources), names, st.lists(names, max_size=2, unique=True)),
        st.builds(lambda name: (name, REFUSED), names),
        st.builds(lambda name: (name, None), names),
    ),
    max_size=20,
)


def applied(topology: Topology, event: Instance | tuple[str, ProbeFailure | None], number: int) -> Delta:
    if isinstance(event, Instance):
        return topology.apply(result(event, at_s=number))
    name, failure = event
    if failure is None:
        return topology.forget(key(name), at(number))
    return topology.apply(result(failure, of=name, at_s=number))


@settings(max_examples=200)
@given(events)
def test_changes_in_order_make_the_whole(history: list[Instance | tuple[str, ProbeFailure | None]]) -> None:
    topology = Topology(LIMITS)
    instances: dict[InstanceKey, Instance] = {}
    clusters: dict[str, Cluster] = {}
    for number, event in enumerate(history):
        delta = applied(topology, event, number)
        instances.update(delta.changed)
        clusters.update(delta.changed_clusters)
        for gone in delta.removed:
            instances.pop(gone, None)
        for cluster_id in delta.removed_clusters:
            del clusters[cluster_id]
    assert instances == topology.instances
    assert clusters == topology.clusters
    for cluster_id, cluster in clusters.items():
        members = [one for one in instances.values() if one.cluster_id == cluster_id]
        assert cluster.instance_count == len(members) > 0
        assert cluster.problem_count == sum(1 for one in members if one.problems)
    for one in instances.values():
        parent = instances.get(one.sources[0]) if one.sources else None
        if parent is not None:
            assert one.cluster_id == parent.cluster_id
