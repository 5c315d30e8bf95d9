"""Plans a failover: who is promoted, who follows, what is executed where, what may be lost. Pure.

The same planner serves the dry run and the real thing; the real thing calls it with what it re-read after the replicas
were frozen. The specification promotes in two steps, first the replica that has most, then a better one in its place.
Here the better one catches up from the first and is promoted itself: the outcome is the same, with one promotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.recovery.candidate import choose_candidate, ranked, why_banned
from services.recovery.estimate import time_until_writes
from services.recovery.loss import assess_loss
from services.recovery.model import (
    FailoverPlan,
    Loss,
    LossState,
    PlanRefusal,
    PromotionCandidate,
    RecoveryKind,
    Verdict,
)
from services.recovery.plan_steps import promotion_steps
from services.recovery.replacement import Replacement, Search, find_replacement, is_ideal
from services.recovery.situation import Situation
from services.recovery.succession import Succession, succession
from services.recovery.veto import Veto, applier_veto, loss_veto, veto
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

NOBODY = Loss(LossState.UNKNOWN, "", "no replica may be promoted")


def plan_failover(situation: Situation) -> FailoverPlan:
    """Plan what a failover of a primary would do, as if it were dead now.

    Its direct replicas are considered, and who replicates from the one that has most; everybody else stays below whom
    it reads from.
    """
    search = search_of(situation)
    if search is None:
        choice = choose_candidate(situation.primary, situation.replicas, situation.policy)
        return nobody(situation, choice.candidates)
    if situation.target is not None:
        return _to_target(situation, search, situation.target)
    replacement = None if is_ideal(search) else find_replacement(search)
    return promotion(situation, succession(search, replacement))


def search_of(situation: Situation) -> Search | None:
    """Return what a replacement is searched with; None when nobody may be promoted at all."""
    choice = choose_candidate(situation.primary, situation.replicas, situation.policy)
    if choice.chosen is None:
        return None
    below = situation.snapshot.direct_replicas(choice.chosen.key)
    passed_over = {*situation.passed_over, situation.failed, choice.chosen.key}
    members = {each.key: each for each in (*below, *situation.replicas)}
    searched = tuple(members[key] for key in sorted(members) if key not in passed_over)
    known = situation.failed in situation.snapshot.instances
    return Search(situation.primary, known, choice, searched, situation.policy)


def _to_target(situation: Situation, search: Search, target: InstanceKey) -> FailoverPlan:
    """Plan a takeover by who was named; another one is promoted when it cannot be (section 18)."""
    named = next((each for each in situation.replicas if each.key == target), None)
    listed = search.choice.candidates
    if named is None:
        reason = f"{target} does not replicate from {situation.failed}"
        return refused(situation, listed, PlanRefusal.TARGET_NOT_DIRECT_REPLICA, reason)
    banned = why_banned(named, situation.policy)
    if banned is not None:
        return refused(situation, listed, PlanRefusal.TARGET_BANNED, f"{target} is never promoted: {banned[1]}")
    if target == search.first.key:
        return promotion(situation, succession(search, None))
    obstacle = "it did not catch up" if target in situation.passed_over else search.why_not(named)
    if not obstacle:
        return promotion(situation, succession(search, Replacement(named, "was named")))
    plan = promotion(situation, succession(search, None))
    if plan.chosen is None:
        return plan
    reason = f"{target} cannot take over: {obstacle}; {plan.chosen} is promoted instead"
    return replace(plan, refusal=PlanRefusal.TARGET_NOT_PROMOTABLE, refusal_reason=reason)


def promotion(situation: Situation, succession: Succession) -> FailoverPlan:
    """Return the plan that promotes a successor, unless something forbids it."""
    loss = _loss(situation, succession)
    read_from = succession.read_from(situation.failed)
    forbidden = _veto(situation, succession.successor, read_from, loss)
    listed = _candidates(succession, forbidden)
    if forbidden is not None:
        reason = f"{succession.successor.key} would be promoted, but {forbidden[1]}"
        return refused(situation, listed, PlanRefusal.VETO, reason)
    steps = promotion_steps(situation, succession)
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=situation.failed,
        chosen=succession.successor.key,
        candidates=listed,
        steps=steps,
        loss=loss,
        lost_replicas=tuple(sorted(succession.lost)),
        followers=tuple(sorted(succession.sources)),
        kind=situation.kind,
        interim=succession.interim.key if succession.interim is not None else None,
        estimated_time=time_until_writes(steps, succession.first, situation.failed),
    )


def _veto(situation: Situation, successor: Instance, read_from: InstanceKey, loss: Loss) -> Veto | None:
    """Return what forbids a promotion; of two primaries neither place nor lag does (section 12)."""
    if situation.kind is RecoveryKind.DEAD_CO_PRIMARY:
        return applier_veto(successor, read_from, situation.policy) or loss_veto(loss, situation.policy)
    return veto(successor, situation.primary, read_from, loss, situation.policy)


def refused(
    situation: Situation, candidates: Sequence[PromotionCandidate], refusal: PlanRefusal, reason: str
) -> FailoverPlan:
    """Return the plan to do nothing, and why."""
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=situation.failed,
        chosen=None,
        candidates=ranked(_nobody_chosen(candidates)),
        steps=(),
        loss=NOBODY,
        kind=situation.kind,
        refusal=refusal,
        refusal_reason=reason,
    )


def _nobody_chosen(candidates: Sequence[PromotionCandidate]) -> tuple[PromotionCandidate, ...]:
    return tuple(
        replace(each, verdict=Verdict.ELIGIBLE) if each.verdict is Verdict.CHOSEN else each for each in candidates
    )


def nobody(situation: Situation, candidates: Sequence[PromotionCandidate]) -> FailoverPlan:
    """Return the plan to do nothing because no replica may be promoted, with the reason of each."""
    reasons = "; ".join(f"{each.instance}: {each.reason}" for each in candidates) or "it has no known replica"
    reason = f"no replica may be promoted ({reasons})"
    return refused(situation, candidates, PlanRefusal.NO_PROMOTION_CANDIDATE, reason)


def _loss(situation: Situation, succession: Succession) -> Loss:
    field = succession.choice.field
    if not field.by_gtid:
        return Loss(LossState.UNKNOWN, "", "without GTID nobody can tell what the failed primary had")
    if field.holdings[succession.successor.key].everything is None:
        return Loss(LossState.UNKNOWN, "", "the position of the successor could not be read")
    replicas = situation.replicas
    primary = situation.primary
    return assess_loss(primary, replicas, field.holdings, succession.successor, situation.now, situation.fenced)


def _candidates(succession: Succession, forbidden: Veto | None) -> tuple[PromotionCandidate, ...]:
    """Return the replicas as they were weighed, with what the succession makes of them."""
    listed = {each.instance: each for each in succession.choice.candidates}
    successor, interim = succession.successor.key, succession.interim
    if interim is not None:
        entry = listed.get(successor, PromotionCandidate(successor, Verdict.CHOSEN))
        listed[successor] = replace(entry, verdict=Verdict.CHOSEN, refusal=None, reason=f"it {succession.reason}")
        first = listed[interim.key]
        passed = f"{first.reason.removesuffix('; first in order')}; {successor} is promoted instead"
        listed[interim.key] = replace(first, verdict=Verdict.ELIGIBLE, reason=passed)
    for key, source in succession.sources.items():
        if source != successor:
            listed[key] = replace(listed[key], source=source)
    if forbidden is not None:
        refusal, reason = forbidden
        listed[successor] = replace(listed[successor], verdict=Verdict.REFUSED, refusal=refusal, reason=reason)
    return ranked(tuple(listed.values()))
