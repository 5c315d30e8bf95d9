"""Recovery values <-> proto messages, both directions, pure.

The journal keeps the same messages as bytes: what this module writes, a later version of it reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import Final, TypeVar

from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.recovery.lease import LeaseState
from services.recovery.model import (
    Blocked,
    Blocker,
    FailoverPlan,
    Finding,
    FormerPrimary,
    Leadership,
    Loss,
    LossState,
    NotedStop,
    PhaseTiming,
    PlanRefusal,
    Primary,
    PromotionCandidate,
    Record,
    Recovery,
    RecoveryKind,
    RecoveryState,
    Refusal,
    Step,
    StepKind,
    StepState,
    Stop,
    Verdict,
)
from services.recovery.policy import Durability, PlanningPolicy
from services.shared.runtime.errors import InvalidField
from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.key import InstanceKey

EnumT = TypeVar("EnumT", bound=Enum)


def _names(kind: type[EnumT], values: Mapping[str, int], prefix: str) -> tuple[dict[EnumT, int], dict[int, EnumT]]:
    """Return an enum's numbers on the wire and back; every member must have one."""
    out = {member: values[f"{prefix}{member.name}"] for member in kind}
    return out, {number: member for member, number in out.items()}


_KIND_OUT, _KIND = _names(RecoveryKind, dict(pb.RecoveryKind.items()), "RECOVERY_KIND_")
_STEP_OUT, _STEP = _names(StepKind, dict(pb.StepKind.items()), "STEP_KIND_")
_STATE_OUT, _STATE = _names(StepState, dict(pb.Step.State.items()), "STATE_")
_VERDICT_OUT, _VERDICT = _names(Verdict, dict(pb.CandidateVerdict.items()), "CANDIDATE_VERDICT_")
_REFUSAL_OUT, _REFUSAL = _names(Refusal, dict(pb.RefusalReason.items()), "REFUSAL_REASON_")
_PLAN_REFUSAL_OUT, _PLAN_REFUSAL = _names(PlanRefusal, dict(pb.PlanRefusal.items()), "PLAN_REFUSAL_")
_, _DURABILITY = _names(Durability, dict(pb.Durability.items()), "DURABILITY_")
_LOSS_OUT, _LOSS = _names(LossState, dict(pb.Loss.State.items()), "STATE_")
_RECOVERY_OUT, _RECOVERY = _names(RecoveryState, dict(pb.Recovery.State.items()), "STATE_")
_BLOCKER_OUT, _BLOCKER = _names(Blocker, dict(pb.Blocker.items()), "BLOCKER_")

_LONGEST_STATEMENT: Final = 1_000
"""Characters that the journal keeps of a statement."""
_PHASES: Final = {
    StepState.RUNNING: consensus_pb2.StepRecord.PHASE_INTENT,
    StepState.DONE: consensus_pb2.StepRecord.PHASE_DONE,
    StepState.SKIPPED: consensus_pb2.StepRecord.PHASE_DONE,
    StepState.FAILED: consensus_pb2.StepRecord.PHASE_FAILED,
    StepState.UNKNOWN: consensus_pb2.StepRecord.PHASE_UNKNOWN,
}


def request_id_from_proto(text: str, field: str) -> str:
    """Return a UUID in its canonical form; empty stays empty.

    Raises:
        InvalidField: Not a UUID; names `field`.
    """
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise InvalidField(field, "is not a UUID") from None


def timeout_from_proto(message: pb.StartRecoveryRequest) -> timedelta | None:
    """Return `catch_up_timeout`; None when absent.

    Raises:
        InvalidField: Not longer than nothing, or longer than a day.
    """
    if not message.HasField("catch_up_timeout"):
        return None
    timeout = duration_from_proto(message.catch_up_timeout)
    if not timedelta() < timeout <= timedelta(days=1):
        raise InvalidField("catch_up_timeout", "is not between nothing and a day")
    return timeout


def kind_from_proto(kind: int) -> RecoveryKind | None:
    """Return a kind; None when it is unspecified or not known."""
    return _KIND.get(kind)


def policy_from_proto(message: pb.PlanningPolicy) -> PlanningPolicy:
    """Return a policy as value; what is absent has its default. It may contradict itself: ask `contradictions`."""
    lag = duration_from_proto(message.fail_promotion_on_lag) if message.HasField("fail_promotion_on_lag") else None
    policy = PlanningPolicy(
        prevent_cross_data_center=message.prevent_cross_data_center,
        prevent_cross_region=message.prevent_cross_region,
        fail_promotion_on_lag=lag,
        fail_promotion_if_applier_behind=message.fail_promotion_if_applier_behind,
        delay_promotion_if_applier_behind=message.delay_promotion_if_applier_behind,
        promotion_ignore_hosts=tuple(message.promotion_ignore_hosts),
        lower_replica_version_allowed=message.lower_replica_version_allowed,
        verify_replication_filters=message.verify_replication_filters,
        enforce_exact_semi_sync_replicas=message.enforce_exact_semi_sync_replicas,
        recover_locked_semi_sync=message.recover_locked_semi_sync,
        recover_read_only_primary=message.recover_read_only_primary,
        durability=_DURABILITY.get(message.durability, Durability.AVAILABILITY_FIRST),
    )
    if message.HasField("co_primary_must_promote_other"):
        policy = replace(policy, co_primary_must_promote_other=message.co_primary_must_promote_other)
    if message.HasField("reasonable_maintenance_lag"):
        policy = replace(policy, reasonable_maintenance_lag=duration_from_proto(message.reasonable_maintenance_lag))
    return policy


def step_to_proto(step: Step) -> pb.Step:
    """Return a step as message."""
    return pb.Step(
        number=step.number,
        kind=pb.StepKind.ValueType(_STEP_OUT[step.kind]),
        instance=key_to_proto(step.instance),
        statements=step.statements,
        state=pb.Step.State.ValueType(_STATE_OUT[step.state]),
        start_time=time_to_proto(step.start_time),
        elapsed=duration_to_proto(step.elapsed),
        outcome=step.outcome,
        error=step.error,
        remaining_statements=step.remaining_statements,
        source=key_to_proto(step.source),
    )


def step_from_proto(message: pb.Step, hold: timedelta | None = None) -> Step:
    """Return a step as value; an unknown state counts as unknown."""
    return Step(
        number=message.number,
        kind=_STEP[message.kind],
        instance=key_from_proto(message.instance) if message.HasField("instance") else None,
        statements=tuple(message.statements),
        state=_STATE.get(message.state, StepState.UNKNOWN),
        start_time=time_from_proto(message.start_time) if message.HasField("start_time") else None,
        elapsed=duration_from_proto(message.elapsed) if message.HasField("elapsed") else None,
        outcome=message.outcome,
        error=message.error,
        remaining_statements=tuple(message.remaining_statements),
        hold=hold,
        source=key_from_proto(message.source) if message.HasField("source") else None,
    )


def candidate_to_proto(candidate: PromotionCandidate) -> pb.PromotionCandidate:
    """Return a replica in the choice as message."""
    refusal = _REFUSAL_OUT[candidate.refusal] if candidate.refusal is not None else 0
    return pb.PromotionCandidate(
        instance=key_to_proto(candidate.instance),
        verdict=pb.CandidateVerdict.ValueType(_VERDICT_OUT[candidate.verdict]),
        rank=candidate.rank,
        refusal=pb.RefusalReason.ValueType(refusal),
        reason=candidate.reason,
        received_gtid_set=candidate.received_gtid_set,
        missing_gtid_set=candidate.missing_gtid_set,
        source=key_to_proto(candidate.source),
    )


def _candidate_from_proto(message: pb.PromotionCandidate) -> PromotionCandidate:
    return PromotionCandidate(
        instance=key_from_proto(message.instance),
        verdict=_VERDICT.get(message.verdict, Verdict.REFUSED),
        rank=message.rank,
        refusal=_REFUSAL.get(message.refusal),
        reason=message.reason,
        received_gtid_set=message.received_gtid_set,
        missing_gtid_set=message.missing_gtid_set,
        source=key_from_proto(message.source) if message.HasField("source") else None,
    )


def _loss_to_proto(loss: Loss | None) -> pb.Loss | None:
    if loss is None:
        return None
    return pb.Loss(state=pb.Loss.State.ValueType(_LOSS_OUT[loss.state]), gtid_set=loss.gtid_set, proof=loss.proof)


def _loss_from_proto(message: pb.Loss) -> Loss:
    return Loss(_LOSS.get(message.state, LossState.UNKNOWN), message.gtid_set, message.proof)


def plan_to_proto(plan: FailoverPlan) -> pb.FailoverPlan:
    """Return a plan as message."""
    return pb.FailoverPlan(
        cluster_id=plan.cluster_id,
        failed=key_to_proto(plan.failed),
        chosen=key_to_proto(plan.chosen),
        candidates=[candidate_to_proto(each) for each in plan.candidates],
        steps=[step_to_proto(step) for step in plan.steps],
        loss=_loss_to_proto(plan.loss),
        lost_replicas=_keys_to_proto(plan.lost_replicas),
        kind=pb.RecoveryKind.ValueType(_KIND_OUT[plan.kind]),
        refusal=pb.PlanRefusal.ValueType(_PLAN_REFUSAL_OUT[plan.refusal] if plan.refusal is not None else 0),
        refusal_reason=plan.refusal_reason,
        interim=key_to_proto(plan.interim),
        estimated_time=duration_to_proto(plan.estimated_time),
    )


def _keys_to_proto(keys: tuple[InstanceKey, ...]) -> list[topology_pb2.Endpoint]:
    endpoints = (key_to_proto(key) for key in keys)
    return [endpoint for endpoint in endpoints if endpoint is not None]


def recovery_to_proto(recovery: Recovery, *, with_steps: bool = True) -> pb.Recovery:
    """Return a recovery as message; the journal keeps steps and stops apart, and so wants it without."""
    return pb.Recovery(
        recovery_id=recovery.recovery_id,
        kind=pb.RecoveryKind.ValueType(_KIND_OUT[recovery.kind]),
        cluster_id=recovery.cluster_id,
        cluster_alias=recovery.cluster_alias,
        failed=key_to_proto(recovery.failed),
        orchestrator_code=recovery.orchestrator_code,
        started_by=recovery.started_by,
        state=pb.Recovery.State.ValueType(_RECOVERY_OUT[recovery.state]),
        successor=key_to_proto(recovery.successor),
        candidates=[candidate_to_proto(each) for each in recovery.candidates],
        steps=[step_to_proto(step) for step in recovery.steps] if with_steps else [],
        loss=_loss_to_proto(recovery.loss),
        lost_replicas=_keys_to_proto(recovery.lost_replicas),
        error=recovery.error,
        detect_time=time_to_proto(recovery.detect_time),
        start_time=time_to_proto(recovery.start_time),
        end_time=time_to_proto(recovery.end_time),
        epoch=recovery.epoch,
        node=recovery.node,
        fencing_token=recovery.fencing_token,
        failed_server_uuid=recovery.failed_server_uuid,
        phases=[pb.PhaseTiming(phase=each.phase, elapsed=duration_to_proto(each.elapsed)) for each in recovery.phases],
        successor_server_uuid=recovery.successor_server_uuid,
        stops=[_noted_to_proto(stop) for stop in recovery.stops] if with_steps else [],
        interim=key_to_proto(recovery.interim),
    )


def _noted_to_proto(stop: NotedStop) -> pb.Stop:
    return pb.Stop(
        fencing_token=stop.fencing_token,
        step=stop.step,
        statement=stop.statement,
        outcome_known=stop.outcome_known,
        stop_time=time_to_proto(stop.stop_time),
    )


def recovery_from_proto(
    message: pb.Recovery, steps: tuple[Step, ...] = (), stops: tuple[NotedStop, ...] = ()
) -> Recovery:
    """Return a recovery as value, with steps and stops that are kept apart."""
    return Recovery(
        recovery_id=message.recovery_id,
        kind=_KIND[message.kind],
        cluster_id=message.cluster_id,
        failed=key_from_proto(message.failed),
        cluster_alias=message.cluster_alias,
        failed_server_uuid=message.failed_server_uuid,
        orchestrator_code=message.orchestrator_code,
        started_by=message.started_by,
        state=_RECOVERY.get(message.state, RecoveryState.FAILED),
        successor=key_from_proto(message.successor) if message.HasField("successor") else None,
        successor_server_uuid=message.successor_server_uuid,
        candidates=tuple(_candidate_from_proto(each) for each in message.candidates),
        steps=steps,
        loss=_loss_from_proto(message.loss) if message.HasField("loss") else None,
        lost_replicas=tuple(key_from_proto(each) for each in message.lost_replicas),
        error=message.error,
        detect_time=time_from_proto(message.detect_time) if message.HasField("detect_time") else None,
        start_time=time_from_proto(message.start_time) if message.HasField("start_time") else None,
        end_time=time_from_proto(message.end_time) if message.HasField("end_time") else None,
        epoch=message.epoch,
        node=message.node,
        fencing_token=message.fencing_token,
        phases=tuple(PhaseTiming(each.phase, duration_from_proto(each.elapsed)) for each in message.phases),
        stops=stops,
        interim=key_from_proto(message.interim) if message.HasField("interim") else None,
    )


def blocked_to_proto(blocked: Blocked) -> pb.BlockedFinding:
    """Return a finding nobody acts on as message."""
    return pb.BlockedFinding(
        cluster_id=blocked.cluster_id,
        instance=key_to_proto(blocked.instance),
        orchestrator_code=blocked.orchestrator_code,
        blocker=pb.Blocker.ValueType(_BLOCKER_OUT[blocked.blocker]),
        reason=blocked.reason,
        since_time=time_to_proto(blocked.since_time),
    )


# What consensus and analysis say.


def step_record_to_proto(step: Step) -> consensus_pb2.StepRecord:
    """Return a step as the journal takes it."""
    return consensus_pb2.StepRecord(
        number=step.number,
        phase=_PHASES[step.state],
        hold=duration_to_proto(step.hold),
        data=step_to_proto(step).SerializeToString(),
        instance="" if step.instance is None else str(step.instance),
    )


def record_from_proto(message: consensus_pb2.RecoveryRecord) -> Record:
    """Return a record of the journal."""
    recovery = pb.Recovery.FromString(message.data)
    recovery.fencing_token = message.fencing_token
    return Record(
        recovery=recovery_from_proto(
            recovery,
            tuple(_step_from_record(each) for each in message.steps),
            tuple(_noted_from_proto(each) for each in message.stops),
        ),
        open=message.open,
        fencing_token=message.fencing_token,
        log_index=message.log_index,
        register_time=time_from_proto(message.register_time) if message.HasField("register_time") else None,
        close_time=time_from_proto(message.close_time) if message.HasField("close_time") else None,
    )


def stop_to_proto(stop: Stop) -> consensus_pb2.Stop:
    """Return a stop as the journal takes it: of a statement that is too long, the beginning."""
    return consensus_pb2.Stop(
        fencing_token=stop.fencing_token,
        step=stop.step,
        statement=stop.statement.strip()[:_LONGEST_STATEMENT].rstrip(),
        outcome_known=stop.outcome_known,
        stop_time=time_to_proto(stop.stop_time),
    )


def _noted_from_proto(message: consensus_pb2.Stop) -> NotedStop:
    return NotedStop(
        message.fencing_token,
        message.step,
        message.statement,
        message.outcome_known,
        time_from_proto(message.stop_time),
    )


def _step_from_record(message: consensus_pb2.StepRecord) -> Step:
    hold = duration_from_proto(message.hold) if message.HasField("hold") else None
    return step_from_proto(pb.Step.FromString(message.data), hold)


def primary_from_proto(message: consensus_pb2.Primary) -> Primary:
    """Return an entry of the directory."""
    former = (FormerPrimary(key_from_proto(each.endpoint), each.server_uuid, each.epoch) for each in message.former)
    return Primary(
        cluster_id=message.cluster_id,
        alias=message.alias,
        endpoint=key_from_proto(message.endpoint),
        server_uuid=message.server_uuid,
        epoch=message.epoch,
        former=tuple(former),
    )


def leadership_from_proto(message: consensus_pb2.WatchLeaderResponse) -> Leadership:
    """Return who leads."""
    leader = message.leader if message.HasField("leader") else consensus_pb2.Member()
    return Leadership(leader.name, leader.recovery_endpoint, message.leads_with_lease)


def lease_from_proto(token: int, message: consensus_pb2.LeaseValidity) -> LeaseState:
    """Return for how long a lease may be relied upon."""
    return LeaseState(token, message.lease_seq, message.valid_until_boottime_ns, message.boot_id)


def finding_from_proto(message: analysis_pb2.Finding) -> Finding:
    """Return a finding; a kind we do not know keeps its number as name, and no recovery exists for it."""
    try:
        kind = analysis_pb2.FindingKind.Name(message.kind).removeprefix("FINDING_KIND_")
    except ValueError:
        kind = str(message.kind)
    return Finding(
        cluster_id=message.cluster_id,
        cluster_alias=message.cluster_alias,
        instance=key_from_proto(message.instance),
        kind=kind,
        orchestrator_code=message.orchestrator_code,
        actionable=message.actionable,
        server_uuid=message.server_uuid,
        description=message.description,
        downtimed=message.downtimed,
        detect_time=time_from_proto(message.detect_time) if message.HasField("detect_time") else None,
        evidence_time=time_from_proto(message.evidence_time) if message.HasField("evidence_time") else None,
        calls_for_recovery=message.actionable or message.registered or bool(message.recovery),
    )
