"""Crawling, forgetting, feeds, pages, identities, urgency."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.discovery.change import is_urgent
from services.discovery.crawl import Forgotten, neighbours
from services.discovery.feed import Feed, merged
from services.discovery.identity import mariadb_server_uuid, new_cluster_id
from services.discovery.model import Delta
from services.shared.runtime.errors import RevisionCompacted
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import Reading
from services.shared.topology.snapshot import Cluster
from tests.unit.discovery.fleets import at, instance, key, uuid


def test_crawl_goes_up_and_down_and_never_in_place() -> None:
    one = instance("r2", "p", reports=("r3", "r2"))
    assert neighbours(one) == (key("p"), key("r3"))


def test_crawl_does_not_follow_a_detached_source() -> None:
    one = instance("r2", "p")
    detached = replace(one, channels=(replace(one.channels[0], source=InstanceKey("//p", 3306)),))
    assert neighbours(detached) == ()


def test_forgotten_instance_comes_back_after_its_time_or_when_asked_for() -> None:
    forgotten = Forgotten()
    forgotten.add(key("a"), 100)
    forgotten.add(key("b"), 100)
    assert forgotten.allowed([key("a"), key("b"), key("c")], 99) == [key("c")]
    forgotten.remove(key("a"))
    assert forgotten.allowed([key("a"), key("b")], 99) == [key("a")]
    assert forgotten.allowed([key("b")], 100) == [key("b")]


def change(*names: str) -> Delta:
    return Delta(changed={key(name): instance(name) for name in names})


def test_feed_resumes_after_a_revision_it_keeps() -> None:
    feed = Feed(first_revision=1000, capacity=2)
    assert feed.after(1000) == []
    revised = [feed.add(change(name)) for name in "abc"]
    assert [one.revision for one in revised] == [1001, 1002, 1003]
    assert feed.after(1001) == revised[1:]
    assert feed.after(1003) == []


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(1000, id="dropped"),
        pytest.param(1, id="of_an_earlier_run"),
        pytest.param(1004, id="never_given_out"),
    ],
)
def test_feed_refuses_a_revision_it_does_not_keep(revision: int) -> None:
    feed = Feed(first_revision=1000, capacity=2)
    for name in "abc":
        feed.add(change(name))
    with pytest.raises(RevisionCompacted) as caught:
        feed.after(revision)
    assert caught.value.oldest == 1001


def test_two_changes_merge_into_what_both_do() -> None:
    first = Delta(change("a", "b").changed, frozenset({key("c")}), {"x": Cluster("x", "x")}, frozenset({"y"}))
    second = Delta(change("c").changed, frozenset({key("a")}), {"y": Cluster("y", "y")}, frozenset({"x"}))
    both = merged(first, second)
    assert set(both.changed) == {key("b"), key("c")}
    assert both.removed == {key("a")}
    assert set(both.changed_clusters) == {"y"}
    assert both.removed_clusters == {"x"}


def test_ids_are_the_same_on_every_node_for_ever() -> None:
    assert new_cluster_id(uuid("p")) == "e706a5d7-781d-5018-b4dd-5f828ca607ad"
    assert mariadb_server_uuid(key("p"), 1) == "771ad24f-b223-5df3-b75e-12a4d765d0db"
    assert mariadb_server_uuid(key("p"), 2) != mariadb_server_uuid(key("p"), 1)
    assert mariadb_server_uuid(key("q"), 1) != mariadb_server_uuid(key("p"), 1)


BASE = instance("r1", "p")


@pytest.mark.parametrize(
    ("old", "new", "urgent"),
    [
        pytest.param(None, BASE, True, id="new"),
        pytest.param(BASE, replace(BASE, executed_gtid_set="x", uptime=timedelta(9)), False, id="position"),
        pytest.param(BASE, replace(BASE, binlog_position=BinlogPosition("b.1", 4)), False, id="binlog_position"),
        pytest.param(
            BASE, replace(BASE, channels=(replace(BASE.channels[0], lag=timedelta(9)),)), False, id="lag"
        ),
        pytest.param(
            BASE, replace(BASE, channels=(replace(BASE.channels[0], last_heartbeat_time=at(1)),)), False, id="heartbeat"
        ),
        pytest.param(BASE, replace(BASE, reading=Reading(last_checked_time=at(5))), False, id="time_of_reading"),
        pytest.param(BASE, replace(BASE, reading=Reading(last_check_valid=True)), True, id="validity"),
        pytest.param(BASE, replace(BASE, read_only=False), True, id="read_only"),
        pytest.param(BASE, instance("r1", "p", io=ThreadState.CONNECTING), True, id="io_state"),
        pytest.param(BASE, instance("r1", "q"), True, id="source"),
        pytest.param(BASE, replace(BASE, errant_gtid_set="x"), True, id="errant"),
    ],
)  # fmt: skip
def test_what_is_told_at_once(old: Instance | None, new: Instance, urgent: bool) -> None:
    assert is_urgent(old, new) is urgent
