"""What a node knows: newer replaces older, never the other way round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.recovery.model import Finding, Primary, Record, Recovery, RecoveryKind
from services.recovery.world import World
from services.shared.runtime.errors import ClusterUnknown
from tests.support.recovery.topologies import CLUSTER, P, key, primary, replica, snapshot


def record(log_index: int, *, is_open: bool = True, cluster_id: str = CLUSTER) -> Record:
    return Record(Recovery("r-1", RecoveryKind.DEAD_PRIMARY, cluster_id, P, "shop"), is_open, 7, log_index)


def test_node_is_ready_when_every_part_was_heard() -> None:
    world = World()
    world.replace_topology(snapshot())
    world.change_findings((), (), first=True)
    world.change_records((), first=True)
    assert not world.ready
    world.change_primaries((), first=True)
    assert world.ready


def test_changes_of_the_topology_are_laid_over_the_snapshot() -> None:
    world = World()
    world.replace_topology(snapshot(primary(), replica("a"), replica("b")))
    cluster = world.snapshot.clusters[CLUSTER]
    changed = replica("a", 120)
    world.change_topology(5, [changed], {key("b")}, [replace(cluster, alias="market")], set())
    assert world.snapshot.instances[key("a")] == changed
    assert set(world.snapshot.instances) == {P, key("a")}
    assert world.snapshot.clusters[CLUSTER].alias == "market"
    world.change_topology(6, [], set(), [], {CLUSTER})
    assert world.snapshot.clusters == {}


def test_older_state_of_a_record_never_replaces_a_newer_one() -> None:
    world = World()
    world.note_record(record(9, is_open=False))
    world.note_record(record(8))
    assert world.open_record(CLUSTER) is None


def test_first_message_of_a_stream_says_everything() -> None:
    world = World()
    world.change_findings([Finding(CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", actionable=True)], (), first=True)
    world.note_record(record(9))
    world.change_findings((), (), first=True)
    world.change_records((), first=True)
    assert (world.findings, world.records) == ({}, {})


def test_ended_findings_are_forgotten() -> None:
    world = World()
    finding = Finding(CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", actionable=True)
    world.change_findings([finding], (), first=True)
    world.change_findings((), [P], first=False)
    assert world.findings == {}
    world.change_findings([finding, replace(finding, kind="NO_PROBLEM")], (), first=False)
    assert world.findings == {}


def test_answer_of_an_older_epoch_is_refused() -> None:
    world = World()
    newer = Primary(CLUSTER, "shop", key("a"), "u", 3)
    world.change_primaries([newer, replace(newer, endpoint=P, epoch=2)], first=True)
    assert world.primaries[CLUSTER] == newer


def test_cluster_is_found_by_id_or_exact_alias() -> None:
    world = World()
    world.replace_topology(snapshot(primary()))
    world.note_record(record(1, cluster_id="gone"))
    assert [world.cluster_of(name) for name in ("", "shop", CLUSTER, "gone")] == ["", CLUSTER, CLUSTER, "gone"]
    with pytest.raises(ClusterUnknown):
        world.cluster_of("sho")
