"""Findings and events as messages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.discovery.v1 import discovery_pb2
from primacy.topology.v1 import topology_pb2

from services.analysis import convert
from services.analysis.advice import AdviceKind
from services.analysis.analyst import Analyst
from services.analysis.description import describe
from services.analysis.kinds import Emergency, FindingKind, RecoveryClass, StructureWarning
from services.analysis.model import FindingChanges, Limits, Progress, TopologyDelta
from services.analysis.standing import InstanceType
from services.shared.runtime.errors import InvalidField
from services.shared.topology.convert.instance import instance_to_proto
from services.shared.topology.convert.snapshot import cluster_to_proto, snapshot_to_proto
from services.shared.topology.convert.times import time_to_proto
from services.shared.topology.key import InstanceKey
from tests.unit.analysis.builders import (
    CLUSTER,
    PRIMARY,
    State,
    a_primary,
    a_replica,
    a_topology,
    at,
    circumstances,
)

# Sections 4 and 4.5 of the reference's failure analysis.
ALIASES = {
    pb.FINDING_KIND_NO_PROBLEM: "NoProblem",
    pb.FINDING_KIND_DEAD_PRIMARY_WITHOUT_REPLICAS: "DeadMasterWithoutReplicas",
    pb.FINDING_KIND_DEAD_PRIMARY: "DeadMaster",
    pb.FINDING_KIND_DEAD_PRIMARY_AND_REPLICAS: "DeadMasterAndReplicas",
    pb.FINDING_KIND_DEAD_PRIMARY_AND_SOME_REPLICAS: "DeadMasterAndSomeReplicas",
    pb.FINDING_KIND_UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS: "UnreachableMasterWithLaggingReplicas",
    pb.FINDING_KIND_UNREACHABLE_PRIMARY: "UnreachableMaster",
    pb.FINDING_KIND_LOCKED_SEMI_SYNC_PRIMARY: "LockedSemiSyncMaster",
    pb.FINDING_KIND_LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS: "LockedSemiSyncMasterHypothesis",
    pb.FINDING_KIND_PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS: "MasterWithTooManySemiSyncReplicas",
    pb.FINDING_KIND_READ_ONLY_PRIMARY: "NoWriteableMasterStructureWarning",
    pb.FINDING_KIND_PRIMARY_SINGLE_REPLICA_NOT_REPLICATING: "MasterSingleReplicaNotReplicating",
    pb.FINDING_KIND_PRIMARY_SINGLE_REPLICA_DEAD: "MasterSingleReplicaDead",
    pb.FINDING_KIND_ALL_PRIMARY_REPLICAS_NOT_REPLICATING: "AllMasterReplicasNotReplicating",
    pb.FINDING_KIND_ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD: "AllMasterReplicasNotReplicatingOrDead",
    pb.FINDING_KIND_DEAD_CO_PRIMARY: "DeadCoMaster",
    pb.FINDING_KIND_DEAD_CO_PRIMARY_AND_SOME_REPLICAS: "DeadCoMasterAndSomeReplicas",
    pb.FINDING_KIND_UNREACHABLE_CO_PRIMARY: "UnreachableCoMaster",
    pb.FINDING_KIND_ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING: "AllCoMasterReplicasNotReplicating",
    pb.FINDING_KIND_DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT: (
        "DeadIntermediateMasterWithSingleReplicaFailingToConnect"
    ),
    pb.FINDING_KIND_DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA: "DeadIntermediateMasterWithSingleReplica",
    pb.FINDING_KIND_DEAD_INTERMEDIATE: "DeadIntermediateMaster",
    pb.FINDING_KIND_DEAD_INTERMEDIATE_AND_SOME_REPLICAS: "DeadIntermediateMasterAndSomeReplicas",
    pb.FINDING_KIND_DEAD_INTERMEDIATE_AND_REPLICAS: "DeadIntermediateMasterAndReplicas",
    pb.FINDING_KIND_UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS: "UnreachableIntermediateMasterWithLaggingReplicas",
    pb.FINDING_KIND_UNREACHABLE_INTERMEDIATE: "UnreachableIntermediateMaster",
    pb.FINDING_KIND_ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD: (
        "AllIntermediateMasterReplicasFailingToConnectOrDead"
    ),
    pb.FINDING_KIND_ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING: "AllIntermediateMasterReplicasNotReplicating",
    pb.FINDING_KIND_BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY: "BinlogServerFailingToConnectToMaster",
    pb.FINDING_KIND_FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY: "FirstTierReplicaFailingToConnectToMaster",
    pb.FINDING_KIND_DEAD_GROUP_MEMBER_WITH_REPLICAS: "DeadReplicationGroupMemberWithReplicas",
    pb.FINDING_KIND_PRIMARY_WITHOUT_REPLICAS: "MasterWithoutReplicas",
}


def test_every_kind_has_its_message_value_and_the_name_users_know() -> None:
    assert {convert.kind_to_proto(kind): kind.orchestrator_code for kind in FindingKind} == ALIASES
    assert set(pb.FindingKind.values()) == {0, *ALIASES}


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_is_described_with_the_instance(kind: FindingKind) -> None:
    text = describe(kind, (), circumstances(a_primary(answers=False), [a_replica(1)]))
    assert "db0:3306" in text
    assert "{" not in text


def test_every_enum_has_a_message_value_for_each_member_and_no_other() -> None:
    for kind, message, prefix in (
        (StructureWarning, pb.StructureWarning, "STRUCTURE_WARNING"),
        (InstanceType, pb.InstanceType, "INSTANCE_TYPE"),
        (Emergency, pb.Emergency, "EMERGENCY"),
        (RecoveryClass, pb.RecoveryClass, "RECOVERY_CLASS"),
        (AdviceKind, pb.AdviceKind, "ADVICE_KIND"),
    ):
        members: list[str] = [member.name for member in kind]
        assert set(message.keys()) == {f"{prefix}_{name}" for name in ("UNSPECIFIED", *members)}


def test_a_finding_goes_out_whole() -> None:
    analyst = Analyst(Limits())
    analyst.take(a_topology(a_primary(answers=False), a_replica(1, State.FAILING), a_replica(2, State.DEAD)), at(2))
    message = convert.finding_to_proto(analyst.findings()[0])
    assert message == pb.Finding(
        cluster_id="c1",
        cluster_alias="orders",
        instance=topology_pb2.Endpoint(host="db0", port=3306),
        kind=pb.FINDING_KIND_DEAD_PRIMARY_AND_SOME_REPLICAS,
        orchestrator_code="DeadMasterAndSomeReplicas",
        actionable=True,
        description="db0:3306 does not answer, 1 of 2 replicas answer and none of them replicates",
        counts=pb.ReplicaCounts(replicas=2, valid=1, failing_to_connect=1, logging=2, row_based=2, major_versions=1),
        detect_time=time_to_proto(at(2)),
        server_uuid="uuid-0",
        replicas=[topology_pb2.Endpoint(host=f"db{number}", port=3306) for number in (1, 2)],
        evidence_time=time_to_proto(at(1)),
        instance_type=pb.INSTANCE_TYPE_PRIMARY,
        recovery=pb.RECOVERY_CLASS_DEAD_PRIMARY,
        registered=True,
    )


def test_events_come_in_as_values() -> None:
    snapshot = a_topology(a_primary(), a_replica(1))
    response = discovery_pb2.WatchTopologyResponse
    assert convert.event_from_proto(response(snapshot=snapshot_to_proto(snapshot))) == snapshot
    delta = discovery_pb2.TopologyDelta(
        changed_instances=[instance_to_proto(a_primary())],
        removed_instances=[topology_pb2.Endpoint(host="db9", port=1)],
        changed_clusters=[cluster_to_proto(CLUSTER)],
        removed_cluster_ids=["c9"],
    )
    assert convert.event_from_proto(response(delta=delta)) == TopologyDelta(
        (a_primary(),), (InstanceKey("db9", 1),), (CLUSTER,), ("c9",)
    )
    progress = discovery_pb2.Progress()
    assert convert.event_from_proto(response(progress=progress)) == Progress(None)
    progress.staleness.FromSeconds(3)
    assert convert.event_from_proto(response(progress=progress)) == Progress(timedelta(seconds=3))


def test_an_event_of_a_later_version_is_passed_over() -> None:
    assert convert.event_from_proto(discovery_pb2.WatchTopologyResponse(revision=7)) is None


def test_changes_and_progress_differ() -> None:
    changes = convert.changes_to_proto(FindingChanges(7, ended=(PRIMARY,)), 8, None)
    assert (changes.revision, changes.progress, changes.ended[0].host) == (7, False, "db0")
    assert not changes.HasField("staleness")
    progress = convert.changes_to_proto(None, 8, timedelta(seconds=2))
    assert (progress.revision, progress.progress, progress.staleness.seconds) == (8, True, 2)


def test_a_subject_is_an_instance_a_cluster_or_missing() -> None:
    endpoint = topology_pb2.Endpoint(host="db0")
    assert convert.subject_from_proto(pb.ExplainRequest(instance=endpoint)) == PRIMARY
    assert convert.subject_from_proto(pb.ExplainRequest(cluster="orders")) == "orders"
    assert convert.subject_from_proto(pb.ExplainRequest(cluster="")) is None
    assert convert.subject_from_proto(pb.ExplainRequest()) is None
    with pytest.raises(InvalidField) as refusal:
        convert.subject_from_proto(pb.ExplainRequest(instance=topology_pb2.Endpoint(port=1)))
    assert refusal.value.field == "instance.host"
