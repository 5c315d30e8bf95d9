"""Topologies that should not be: they are judged all the same, and nothing healthy is made of what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.analysis.analyst import Analyst
from services.analysis.kinds import FindingKind
from services.analysis.model import Limits, TopologyDelta
from services.analysis.offline import main
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import Reading
from tests.unit.analysis.builders import PRIMARY, START, State, a_primary, a_replica, a_topology, at, failed_reading

K = FindingKind


def found(*instances: Instance, limits: Limits | None = None) -> dict[str, FindingKind]:
    """Return what is found, by host."""
    analyst = Analyst(limits or Limits())
    analyst.take(a_topology(*instances), START)
    assert analyst.differences(START) == ()
    return {finding.instance.host: finding.kind for finding in analyst.findings()}


def ring(*hosts: str, dead: str = "") -> list[Instance]:
    """Return instances each of which reads from the one before."""
    members = []
    for host, source in zip(hosts, (hosts[-1], *hosts[:-1]), strict=True):
        state = State.FAILING if source == dead else State.REPLICATING
        member = replace(a_replica(1, state, source=InstanceKey(source, 3306)), key=InstanceKey(host, 3306))
        members.append(replace(member, reading=failed_reading()) if host == dead else member)
    return members


def test_a_ring_has_no_primary_and_its_dead_member_is_an_intermediate() -> None:
    assert found(*ring("a", "b", "c")) == {}
    assert found(*ring("a", "b", "c", dead="a")) == {"a": K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT}


def test_an_instance_that_reads_from_itself_is_judged() -> None:
    assert found(*ring("a")) == {}
    assert found(*ring("a", dead="a")) == {"a": K.DEAD_INTERMEDIATE_AND_REPLICAS}


def test_a_replica_of_an_unknown_source_is_no_primary() -> None:
    orphan = a_replica(1, State.FAILING, source=InstanceKey("nowhere", 3306))
    assert found(orphan) == {}
    assert found(replace(orphan, depth=1)) == {"db1": K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY}


def test_two_primaries_of_a_cluster_are_judged_apart() -> None:
    other = replace(a_primary(), key=InstanceKey("db9", 3306))
    instances = (a_primary(answers=False), other, a_replica(1, State.FAILING), a_replica(2, source=other.key))
    assert found(*instances) == {"db0": K.DEAD_PRIMARY}


def test_nothing_known_is_not_healthy() -> None:
    blank = Instance(PRIMARY)
    assert found(blank) == {}  # Whoever asks for less reduction is told.
    assert found(blank, limits=Limits(reduce=False)) == {"db0": K.DEAD_PRIMARY_WITHOUT_REPLICAS}
    reader = Instance(InstanceKey("db1", 3306), channels=(ReplicationChannel(PRIMARY),))
    assert found(blank, reader) == {"db0": K.DEAD_PRIMARY_AND_REPLICAS}


def test_four_thousand_replicas_of_one_primary() -> None:
    replicas = [
        replace(a_replica(number, State.FAILING if number else State.REPLICATING), key=InstanceKey(f"r{number}", 3306))
        for number in range(4_000)
    ]
    analyst = Analyst(Limits())
    analyst.take(a_topology(a_primary(answers=False), *replicas), START)
    (first, *_) = analyst.findings()
    assert (first.kind, first.counts.replicas, first.counts.replicating) == (K.UNREACHABLE_PRIMARY, 4_000, 1)
    last = replace(a_replica(0, State.FAILING, seconds=2), key=InstanceKey("r0", 3306))
    changes = analyst.take(TopologyDelta(changed_instances=(last,)), at(3))
    assert changes is not None
    assert [finding.kind for finding in changes.changed] == [K.DEAD_PRIMARY]


def test_a_source_known_under_another_name_has_its_replicas() -> None:
    named = replace(a_primary(answers=False), other_endpoints=(InstanceKey("10.0.0.1", 3306),))
    reader = a_replica(1, State.FAILING, source=InstanceKey("10.0.0.1", 3306))
    assert found(named, reader) == {"db0": K.DEAD_PRIMARY}
    # An instance of that name takes them back.
    assert found(named, reader, replace(a_primary(), key=InstanceKey("10.0.0.1", 3306))) == {
        "db0": K.DEAD_PRIMARY_WITHOUT_REPLICAS,
        "10.0.0.1": K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING,
    }


def test_a_replica_that_comes_under_another_name_is_noticed() -> None:
    analyst = Analyst(Limits())
    named = replace(a_primary(answers=False), other_endpoints=(InstanceKey("10.0.0.1", 3306),))
    analyst.take(a_topology(named), START)
    reader = a_replica(1, State.FAILING, source=InstanceKey("10.0.0.1", 3306))
    analyst.take(TopologyDelta(changed_instances=(reader,)), START)
    assert [finding.kind for finding in analyst.findings()] == [K.DEAD_PRIMARY]


@pytest.mark.parametrize("limits", [Limits(), Limits(reduce=False)])
def test_instances_without_any_value_are_judged(limits: Limits) -> None:
    bare = [Instance(InstanceKey(f"b{number}", 3306), reading=Reading()) for number in range(3)]
    linked = [
        replace(each, channels=(ReplicationChannel(source.key),))
        for each, source in zip(bare[1:], bare[:-1], strict=True)
    ]
    assert "b0" in found(bare[0], *linked, limits=limits)


def test_nulls_everywhere_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("reading", "channels", "semi_sync", "gtid_mode", "downtime", "depth", "co_primary", "group", "read_only")
    blank = {"endpoint": {"host": "db0", "port": 3306}, **dict.fromkeys(names)}
    reader = {
        "endpoint": {"host": "db1", "port": 3306},
        "reading": dict.fromkeys(("last_seen_time", "last_checked_time", "last_check_valid")),
        "channels": [{"source": {"host": "db0", "port": 3306}, "lag": None, "io_state": None, "io_error": None}],
    }
    file = tmp_path / "nulls.json"
    file.write_text(json.dumps({"clusters": None, "snapshot_time": None, "instances": [blank, reader]}))
    assert main([str(file), "--output", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["instance"], line["orchestrator_code"]) for line in lines] == [("db0:3306", "DeadMasterAndReplicas")]
