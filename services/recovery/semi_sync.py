"""Plans which replicas acknowledge to a semi-synchronous primary (section 15). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.recovery import statements
from services.recovery.model import (
    FailoverPlan,
    Loss,
    LossState,
    PlanRefusal,
    PromotionCandidate,
    RecoveryKind,
    Refusal,
    Step,
    StepKind,
    Verdict,
)
from services.recovery.plan_steps import numbered
from services.recovery.planner import refused
from services.recovery.situation import Situation
from services.shared.topology.instance import Instance
from services.shared.topology.server import Flavor


def plan_semi_sync(situation: Situation) -> FailoverPlan:
    """Plan to switch replicas on, and in exact mode the surplus off; the primary stays the primary."""
    policy, primary = situation.policy, situation.primary
    exact = policy.enforce_exact_semi_sync_replicas
    if situation.kind is RecoveryKind.TOO_MANY_SEMI_SYNC_REPLICAS and not exact:
        return refused(situation, (), PlanRefusal.NOT_ENABLED, "enforce_exact_semi_sync_replicas is off")
    if not exact and not policy.recover_locked_semi_sync:
        reason = "recover_locked_semi_sync and enforce_exact_semi_sync_replicas are off"
        return refused(situation, (), PlanRefusal.NOT_ENABLED, reason)
    needed = 1 if primary.flavor is Flavor.MARIADB else primary.semi_sync.wait_for_replica_count
    if needed is None or (not exact and primary.semi_sync.clients is None):
        reason = f"how many replicas {primary.key} waits for, or how many acknowledge to it, is not known"
        return refused(situation, (), PlanRefusal.NOTHING_TO_DO, reason)
    switched_on, switched_off = _switches(situation, needed, exact)
    if not switched_on and not switched_off:
        reason = "no replica that replicates could be switched, or none has to be"
        return refused(situation, (), PlanRefusal.NOTHING_TO_DO, reason)
    return _plan(situation, switched_on, switched_off)


def _switches(situation: Situation, needed: int, exact: bool) -> tuple[list[Instance], list[Instance]]:
    """Return which replicas are switched on and which off, in order."""
    able = [each for each in situation.replicas if _why_excluded(each) is None]
    classified = any(each.semi_sync.priority is not None for each in situation.replicas)
    possible = sorted((each for each in able if _place(each, classified)), key=lambda each: _order(each, classified))
    if not exact:
        wanted = max(0, needed - (situation.primary.semi_sync.clients or 0))
        return [each for each in possible if not each.semi_sync.replica_enabled][:wanted], []
    chosen, rest = possible[:needed], [each for each in able if each not in possible[:needed]]
    return (
        [each for each in chosen if not each.semi_sync.replica_enabled],
        [each for each in rest if each.semi_sync.replica_enabled],
    )


def _place(replica: Instance, classified: bool) -> int:
    """Return how early a replica acknowledges, 1 first; 0 = never. Where nobody is classified all are alike."""
    if not classified:
        return 1
    return replica.semi_sync.priority or 0


def _order(replica: Instance, classified: bool) -> tuple[int, int, str]:
    return _place(replica, classified), replica.promotion_rule.value, str(replica.key)


def _why_excluded(replica: Instance) -> tuple[Refusal, str] | None:
    if not replica.reading.last_check_valid:
        return Refusal.UNREACHABLE, f"it does not answer: {replica.reading.error or 'its last probe failed'}"
    if not replica.replicating:
        return Refusal.NOT_REPLICATING, "it does not replicate"
    if replica.semi_sync.replica_enabled is None:
        return Refusal.NOT_REPLICATING, "its semi-synchronous plugin is not installed, or was not read"
    return None


def _plan(situation: Situation, switched_on: Sequence[Instance], switched_off: Sequence[Instance]) -> FailoverPlan:
    # On before off: the other order could leave the primary waiting for nobody.
    steps = [Step(0, StepKind.SEMI_SYNC, each.key, statements.acknowledge(each, True)) for each in switched_on]
    steps += [Step(0, StepKind.SEMI_SYNC, each.key, statements.acknowledge(each, False)) for each in switched_off]
    entries = []
    for replica in situation.replicas:
        excluded = _why_excluded(replica)
        if excluded is not None:
            entries.append(PromotionCandidate(replica.key, Verdict.REFUSED, 0, *excluded))
            continue
        word = "on" if replica in switched_on else "off" if replica in switched_off else "as it is"
        reason = f"semi-synchronous replication: {word}"
        entries.append(PromotionCandidate(replica.key, Verdict.ELIGIBLE, reason=reason))
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=situation.failed,
        chosen=situation.failed,
        candidates=tuple(entries),
        steps=numbered([*steps, Step(0, StepKind.VERIFY)]),
        loss=Loss(LossState.PROVEN_NONE, "", "nobody is promoted"),
        kind=situation.kind,
    )
