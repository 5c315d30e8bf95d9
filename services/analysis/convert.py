"""Findings and topology events <-> proto messages, pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.discovery.v1 import discovery_pb2
from primacy.topology.v1 import topology_pb2

from services.analysis.advice import Advice
from services.analysis.analyst import TopologyEvent
from services.analysis.changelog import Change
from services.analysis.counts import ReplicaCounts
from services.analysis.kinds import Emergency, FindingKind, RecoveryClass, StructureWarning
from services.analysis.model import (
    ConditionTrace,
    Explanation,
    Finding,
    FindingChanges,
    GateTrace,
    Progress,
    RuleTrace,
    TopologyDelta,
    WarningTrace,
)
from services.analysis.standing import InstanceType
from services.shared.topology.convert.instance import instance_from_proto
from services.shared.topology.convert.key import key_from_proto, key_from_request, key_to_proto
from services.shared.topology.convert.snapshot import cluster_from_proto, snapshot_from_proto
from services.shared.topology.convert.times import duration_from_proto, duration_to_proto, time_to_proto
from services.shared.topology.key import InstanceKey


def event_from_proto(message: discovery_pb2.WatchTopologyResponse) -> TopologyEvent | None:
    """Return one event of discovery; None for a kind that is not known here."""
    match message.WhichOneof("event"):
        case "snapshot":
            return snapshot_from_proto(message.snapshot)
        case "delta":
            return _delta_from_proto(message.delta)
        case "progress":
            known = message.progress.HasField("staleness")
            return Progress(duration_from_proto(message.progress.staleness) if known else None)
        case _:
            return None


def _delta_from_proto(message: discovery_pb2.TopologyDelta) -> TopologyDelta:
    return TopologyDelta(
        changed_instances=tuple(instance_from_proto(each) for each in message.changed_instances),
        removed_instances=tuple(key_from_proto(each) for each in message.removed_instances),
        changed_clusters=tuple(cluster_from_proto(each) for each in message.changed_clusters),
        removed_cluster_ids=tuple(message.removed_cluster_ids),
    )


def subject_from_proto(request: pb.ExplainRequest) -> InstanceKey | str | None:
    """Return what is to be explained: an instance, a cluster by name, or None when the request names neither.

    Raises:
        InvalidField: The endpoint is malformed.
    """
    match request.WhichOneof("subject"):
        case "instance":
            return key_from_request(request.instance, "instance")
        case "cluster":
            return request.cluster or None
        case _:
            return None


def changes_subject_from_proto(request: pb.ListChangesRequest) -> InstanceKey | str | None:
    """Return whose changes are asked for: those of an instance, of a cluster by name, or None for all.

    Raises:
        InvalidField: The endpoint is malformed.
    """
    match request.WhichOneof("subject"):
        case "instance":
            return key_from_request(request.instance, "instance")
        case "cluster":
            return request.cluster or None
        case _:
            return None


def change_to_proto(change: Change) -> pb.FindingChange:
    """Return a change as message."""
    return pb.FindingChange(
        number=change.number,
        instance=_endpoint(change.instance),
        cluster_id=change.cluster_id,
        before=kind_to_proto(change.before),
        after=kind_to_proto(change.after),
        orchestrator_before=change.before.orchestrator_code,
        orchestrator_after=change.after.orchestrator_code,
        change_time=time_to_proto(change.time),
        lasted=duration_to_proto(change.lasted),
    )


def advice_to_proto(advice: Advice) -> pb.Advice:
    """Return an advice as message."""
    return pb.Advice(
        kind=pb.AdviceKind.Value(f"ADVICE_KIND_{advice.kind.name}"),
        cluster_id=advice.cluster_id,
        instance=_endpoint(advice.instance),
        seen=advice.seen,
        remedy=advice.remedy,
    )


def kind_to_proto(kind: FindingKind) -> pb.FindingKind.ValueType:
    """Return the enum value of the same name."""
    return pb.FindingKind.Value(f"FINDING_KIND_{kind.name}")


def warning_to_proto(warning: StructureWarning) -> pb.StructureWarning.ValueType:
    """Return the enum value of the same name."""
    return pb.StructureWarning.Value(f"STRUCTURE_WARNING_{warning.name}")


def _type_to_proto(kind: InstanceType) -> pb.InstanceType.ValueType:
    return pb.InstanceType.Value(f"INSTANCE_TYPE_{kind.name}")


def _emergency_to_proto(emergency: Emergency) -> pb.Emergency.ValueType:
    return pb.Emergency.Value(f"EMERGENCY_{emergency.name}")


def _recovery_to_proto(recovery: RecoveryClass | None) -> pb.RecoveryClass.ValueType:
    return pb.RecoveryClass.Value(f"RECOVERY_CLASS_{recovery.name if recovery else 'UNSPECIFIED'}")


def _counts_to_proto(counts: ReplicaCounts) -> pb.ReplicaCounts:
    return pb.ReplicaCounts(
        replicas=counts.replicas,
        valid=counts.valid,
        replicating=counts.replicating,
        failing_to_connect=counts.failing_to_connect,
        lagging=counts.lagging,
        delayed=counts.delayed,
        downtimed=counts.downtimed,
        logging=counts.logging,
        statement_based=counts.statement_based,
        mixed_based=counts.mixed_based,
        row_based=counts.row_based,
        major_versions=counts.major_versions,
        semi_sync=counts.semi_sync,
    )


def finding_to_proto(finding: Finding) -> pb.Finding:
    """Return a finding as message."""
    return pb.Finding(
        cluster_id=finding.cluster_id,
        cluster_alias=finding.cluster_alias,
        instance=key_to_proto(finding.instance),
        kind=kind_to_proto(finding.kind),
        orchestrator_code=finding.kind.orchestrator_code,
        actionable=finding.actionable,
        description=finding.description,
        counts=_counts_to_proto(finding.counts),
        detect_time=time_to_proto(finding.detect_time),
        server_uuid=finding.server_uuid,
        replicas=[_endpoint(key) for key in finding.replicas],
        evidence_time=time_to_proto(finding.evidence_time),
        downtimed=finding.downtimed,
        structure_warnings=[warning_to_proto(warning) for warning in finding.warnings],
        orchestrator_warnings=[warning.orchestrator_name for warning in finding.warnings],
        instance_type=_type_to_proto(finding.instance_type),
        replicas_downtimed=finding.replicas_downtimed,
        skippable=finding.skippable,
        graced=finding.graced,
        sources=[_endpoint(key) for key in finding.sources],
        emergencies=[_emergency_to_proto(each) for each in finding.kind.consequence.emergency],
        recovery=_recovery_to_proto(finding.kind.consequence.recovery),
        registered=finding.kind.consequence.registered,
    )


def _endpoint(key: InstanceKey) -> topology_pb2.Endpoint:
    return topology_pb2.Endpoint(host=key.host, port=key.port)


def list_to_proto(findings: Sequence[Finding], next_token: str, staleness: timedelta | None) -> pb.ListFindingsResponse:
    """Return one page as message."""
    return pb.ListFindingsResponse(
        findings=[finding_to_proto(finding) for finding in findings],
        next_page_token=next_token,
        staleness=duration_to_proto(staleness),
    )


def changes_to_proto(
    changes: FindingChanges | None, revision: int, staleness: timedelta | None
) -> pb.WatchFindingsResponse:
    """Return changes as message; None is progress, at the given revision."""
    age = duration_to_proto(staleness)
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


def _warning_trace_to_proto(trace: WarningTrace) -> pb.WarningTrace:
    return pb.WarningTrace(
        number=trace.number,
        warning=warning_to_proto(trace.warning),
        orchestrator_warning=trace.warning.orchestrator_name,
        conditions=[_condition_to_proto(condition) for condition in trace.conditions],
        holds=trace.holds,
    )


def _gate_to_proto(gate: GateTrace) -> pb.GateTrace:
    return pb.GateTrace(name=gate.name, closed=gate.closed, seen=gate.seen, opens=gate.opens)


def explanation_to_proto(explanation: Explanation) -> pb.Explanation:
    """Return an explanation as message."""
    return pb.Explanation(
        instance=key_to_proto(explanation.finding.instance),
        finding=finding_to_proto(explanation.finding),
        rules=[_rule_to_proto(rule) for rule in explanation.rules],
        warnings=[_warning_trace_to_proto(warning) for warning in explanation.warnings],
        gates=[_gate_to_proto(gate) for gate in explanation.gates],
    )
