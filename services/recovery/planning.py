"""Plans any recovery: what is the matter decides who plans. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from services.recovery.co_primary import other_of_pair, plan_co_primary
from services.recovery.intermediate import plan_intermediate
from services.recovery.model import FailoverPlan, Loss, LossState, PlanRefusal, RecoveryKind, Step, StepKind
from services.recovery.plan_steps import fence_step, numbered
from services.recovery.planner import plan_failover, refused
from services.recovery.semi_sync import plan_semi_sync
from services.recovery.situation import Situation
from services.recovery.statements import dialect_of
from services.recovery.switchover import plan_forced, plan_switchover


def _plan_read_only(situation: Situation) -> FailoverPlan:
    """Plan to make a read-only primary writable (section 16)."""
    primary = situation.primary
    if not situation.policy.recover_read_only_primary:
        return refused(situation, (), PlanRefusal.NOT_ENABLED, "recover_read_only_primary is off")
    if not primary.reading.last_check_valid:
        reason = f"{primary.key} does not answer: {primary.reading.error or 'its last probe failed'}"
        return refused(situation, (), PlanRefusal.PRIMARY_NOT_HEALTHY, reason)
    if primary.channels:
        return refused(situation, (), PlanRefusal.PRIMARY_NOT_FOUND, f"{primary.key} is a replica")
    if primary.read_only is not True:
        return refused(situation, (), PlanRefusal.NOTHING_TO_DO, f"{primary.key} is not read-only")
    writable = Step(0, StepKind.PROMOTE, primary.key, (str(dialect_of(primary).set_read_only(False)),))
    return _of_primary(situation, writable, "nobody is promoted")


def _plan_former(situation: Situation) -> FailoverPlan:
    """Plan to make a former primary read-only that came back."""
    fence = fence_step(situation.primary)
    return replace(_of_primary(situation, fence, "nobody is promoted"), chosen=None)


def _of_primary(situation: Situation, step: Step, proof: str) -> FailoverPlan:
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=situation.failed,
        chosen=situation.failed,
        candidates=(),
        steps=numbered((step, Step(0, StepKind.VERIFY, situation.failed))),
        loss=Loss(LossState.PROVEN_NONE, "", proof),
        kind=situation.kind,
    )


_PLANNERS: Final[Mapping[RecoveryKind, Callable[[Situation], FailoverPlan]]] = {
    RecoveryKind.DEAD_PRIMARY: plan_failover,
    RecoveryKind.FORMER_PRIMARY: _plan_former,
    RecoveryKind.DEAD_CO_PRIMARY: plan_co_primary,
    RecoveryKind.DEAD_INTERMEDIATE: plan_intermediate,
    RecoveryKind.LOCKED_SEMI_SYNC: plan_semi_sync,
    RecoveryKind.TOO_MANY_SEMI_SYNC_REPLICAS: plan_semi_sync,
    RecoveryKind.READ_ONLY_PRIMARY: _plan_read_only,
    RecoveryKind.FORCED_FAILOVER: plan_forced,
    RecoveryKind.FORCED_TAKEOVER: plan_forced,
    RecoveryKind.SWITCHOVER: plan_switchover,
}


def plan(situation: Situation) -> FailoverPlan:
    """Plan what the kind of a situation asks for."""
    return _PLANNERS[situation.kind](situation)


def kind_if_dead(situation: Situation) -> RecoveryKind:
    """Return what the place of an instance in the topology makes of its death."""
    if other_of_pair(situation) is not None:
        return RecoveryKind.DEAD_CO_PRIMARY
    return RecoveryKind.DEAD_INTERMEDIATE if situation.primary.sources else RecoveryKind.DEAD_PRIMARY
