"""Findings and topology events <-> proto messages, pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.discovery.v1 import discovery_pb2
from primacy.topology.v1 import topology_pb2

from services.analysis.analyst import TopologyEvent
from services.analysis.model import (
    ConditionTrace,
    Explanation,
    Finding,
    FindingChanges,
    FindingKind,
    Progress,
    ReplicaCounts,
    RuleTrace,
    TopologyDelta,
)
from services.shared.topology import convert as topology
from services.shared.topology.instance import InstanceKey


def event_from_proto(message: discovery_pb2.WatchTopologyResponse) -> TopologyEvent | None:
    """Return one event of discovery; None for a kind that is not known here."""
    match message.WhichOneof("event"):
        case "snapshot":
            return topology.snapshot_from_proto(message.snapshot)
        case "delta":
            return _delta_from_proto(message.delta)
        case "progress":
            known = message.progress.HasField("staleness")
            return Progress(topology.duration_from_proto(message.progress.staleness) if known else None)
        case _:
            return None


def _delta_from_proto(message: discovery_pb2.TopologyDelta) -> TopologyDelta:
    return TopologyDelta(
        changed_instances=tuple(topology.instance_from_proto(each) for each in message.changed_instances),
        removed_instances=tuple(topology.key_from_proto(each) for each in message.removed_instances),
        changed_clusters=tuple(topology.cluster_from_proto(each) for each in message.changed_clusters),
        removed_cluster_ids=tuple(message.removed_cluster_ids),
    )


def subject_from_proto(request: pb.ExplainRequest) -> InstanceKey | str | None:
    """Return what is to be explained: an instance, a cluster by name, or None when the request names neither.

    Raises:
        InvalidField: The endpoint is malformed.
    """
    match request.WhichOneof("subject"):
        case "instance":
            return topology.key_from_request(request.instance, "instance")
        case "cluster":
            return request.cluster or None
        case _:
            return None


def kind_to_proto(kind: FindingKind) -> pb.FindingKind.ValueType:
    """Return the enum value of the same name."""
    return pb.FindingKind.Value(f"FINDING_KIND_{kind.name}")


def _counts_to_proto(counts: ReplicaCounts) -> pb.ReplicaCounts:
    return pb.ReplicaCounts(
        replicas=counts.replicas,
        valid=counts.valid,
        replicating=counts.replicating,
        failing_to_connect=counts.failing_to_connect,
        lagging=counts.lagging,
        delayed=counts.delayed,
        downtimed=counts.downtimed,
    )


def finding_to_proto(finding: Finding) -> pb.Finding:
    """Return a finding as message."""
    return pb.Finding(
        cluster_id=finding.cluster_id,
        cluster_alias=finding.cluster_alias,
        instance=topology.key_to_proto(finding.instance),
        kind=kind_to_proto(finding.kind),
        orchestrator_code=finding.kind.orchestrator_code,
        actionable=finding.actionable,
        description=finding.description,
        counts=_counts_to_proto(finding.counts),
        detect_time=topology.time_to_proto(finding.detect_time),
        server_uuid=finding.server_uuid,
        replicas=[_endpoint(key) for key in finding.replicas],
        evidence_time=topology.time_to_proto(finding.evidence_time),
        downtimed=finding.downtimed,
    )


def _endpoint(key: InstanceKey) -> topology_pb2.Endpoint:
    return topology_pb2.Endpoint(host=key.host, port=key.port)


def list_to_proto(findings: Sequence[Finding], next_token: str, staleness: timedelta | None) -> pb.ListFindingsResponse:
    """Return one page as message."""
    return pb.ListFindingsResponse(
        findings=[finding_to_proto(finding) for finding in findings],
        next_page_token=next_token,
        staleness=topology.duration_to_proto(staleness),
    )


def changes_to_proto(
    changes: FindingChanges | None, revision: int, staleness: timedelta | None
) -> pb.WatchFindingsResponse:
    """Return changes as message; None is progress, at the given revision."""
    age = topology.duration_to_proto(staleness)
    if changes is None:
        return pb.WatchFindingsResponse(revision=revision, progress=True, staleness=age)
    return pb.WatchFindingsResponse(
        revision=changes.revision,
        changed=[finding_to_proto(finding) for finding in changes.changed],
        ended=[_endpoint(key) for key in changes.ended],
        staleness=age,
    )


def _condition_to_proto(condition: ConditionTrace) -> pb.ConditionTrace:
    return pb.ConditionTrace(text=condition.text, seen=condition.seen, holds=condition.holds)


def _rule_to_proto(rule: RuleTrace) -> pb.RuleTrace:
    return pb.RuleTrace(
        number=rule.number,
        kind=kind_to_proto(rule.kind),
        conditions=[_condition_to_proto(condition) for condition in rule.conditions],
        holds=rule.holds,
        decides=rule.decides,
    )


def explanation_to_proto(explanation: Explanation) -> pb.Explanation:
    """Return an explanation as message."""
    return pb.Explanation(
        instance=topology.key_to_proto(explanation.finding.instance),
        finding=finding_to_proto(explanation.finding),
        rules=[_rule_to_proto(rule) for rule in explanation.rules],
    )
