"""Plans how a healthy primary hands over to a replica, and what somebody forces upon one (sections 18 and 19). Pure.

The siblings follow the new primary after the promotion, not before: so everything before it can be undone, and until
writes are blocked nothing has changed at all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.recovery import statements
from services.recovery.candidate import (
    Choice,
    choose_candidate,
    ranked,
    why_banned,
    why_broken,
    why_lost,
    why_no_source,
)
from services.recovery.estimate import TYPICAL
from services.recovery.model import (
    FailoverPlan,
    Loss,
    LossState,
    PlanRefusal,
    PromotionCandidate,
    RecoveryKind,
    Step,
    StepKind,
    Verdict,
)
from services.recovery.plan_steps import KILL_SESSIONS, numbered, promote_step, repoint_step
from services.recovery.planner import plan_failover, refused
from services.recovery.positions import applied_all, channel_from
from services.recovery.replicate_from import why_not_replicate_from
from services.recovery.situation import Situation, instance_of
from services.recovery.veto import veto
from services.shared.topology.instance import Instance

NO_LOSS = Loss(
    LossState.PROVEN_NONE, "", "the primary refuses writes before, and is replaced only by who has all its transactions"
)

Obstacle = tuple[PlanRefusal, str]


def why_no_primary(situation: Situation) -> Obstacle | None:
    """Return why an instance is not the one primary of its cluster; None when it is."""
    members = [each for each in situation.snapshot.instances.values() if each.cluster_id == situation.cluster_id]
    primaries = sorted(each.key for each in members if not each.channels or _in_pair(each, situation))
    names = ", ".join(map(str, primaries)) or "none"
    if situation.failed not in primaries:
        return PlanRefusal.PRIMARY_NOT_FOUND, f"{situation.failed} is no primary; primaries of its cluster: {names}"
    if len(primaries) > 1:
        return PlanRefusal.PRIMARY_NOT_UNIQUE, f"the cluster has more than one primary: {names}"
    return None


def _in_pair(instance: Instance, situation: Situation) -> bool:
    """Return whether an instance and one of its sources read from each other."""
    sources = (instance_of(situation.snapshot, key) for key in instance.sources)
    return instance.co_primary or any(instance.key in source.sources for source in sources)


def plan_forced(situation: Situation) -> FailoverPlan:
    """Plan a failover that somebody wants, to whoever is best or to who is named; the primary may be alive."""
    obstacle = why_no_primary(situation)
    if obstacle is None and situation.kind is RecoveryKind.FORCED_TAKEOVER:
        obstacle = _why_no_takeover(situation)
    if obstacle is not None:
        choice = choose_candidate(situation.primary, situation.replicas, situation.policy)
        return refused(situation, choice.candidates, *obstacle)
    return plan_failover(situation)


def _why_no_takeover(situation: Situation) -> Obstacle | None:
    if situation.target is None:
        return PlanRefusal.TARGET_NOT_INDICATED, "name who is to take over"
    if situation.primary.read_only:
        return PlanRefusal.PRIMARY_READ_ONLY, f"{situation.failed} is read-only: there are no writes to take over"
    return None


def plan_switchover(situation: Situation) -> FailoverPlan:
    """Plan that a healthy primary hands over to the replica that is named, to its only one, or to the best."""
    choice = choose_candidate(situation.primary, situation.replicas, situation.policy)
    obstacle = why_no_primary(situation) or _why_not_healthy(situation)
    if obstacle is not None:
        return refused(situation, choice.candidates, *obstacle)
    target, obstacle = _target(situation, choice)
    if target is not None:
        obstacle = _why_not_to(situation, choice, target) or _why_siblings_stay(situation, choice, target)
    if target is None or obstacle is not None:
        assert obstacle is not None
        return refused(situation, choice.candidates, *obstacle)
    return _plan(situation, choice, target)


def _why_not_healthy(situation: Situation) -> Obstacle | None:
    primary = situation.primary
    if not primary.reading.last_check_valid:
        return PlanRefusal.PRIMARY_NOT_HEALTHY, f"{primary.key} does not answer; plan a failover instead"
    if primary.read_only is not False:
        return PlanRefusal.PRIMARY_READ_ONLY, f"{primary.key} is read-only already, or that was not read"
    return None


def _target(situation: Situation, choice: Choice) -> tuple[Instance | None, Obstacle | None]:
    """Return who takes over; None and why not."""
    replicas = situation.replicas
    if not replicas:
        return None, (PlanRefusal.NO_REPLICAS, f"{situation.failed} has no replicas")
    if situation.target is not None:
        named = next((each for each in replicas if each.key == situation.target), None)
        reason = f"{situation.target} does not replicate from {situation.failed}"
        return named, None if named is not None else (PlanRefusal.TARGET_NOT_DIRECT_REPLICA, reason)
    if len(replicas) == 1:
        return replicas[0], None
    if not situation.any_target:
        reason = f"{situation.failed} has {len(replicas)} replicas: name one, or let the best be chosen"
        return None, (PlanRefusal.TARGET_NOT_INDICATED, reason)
    if choice.chosen is None or not choice.regular:
        return None, (PlanRefusal.TARGET_NOT_DEDUCIBLE, "no replica may be promoted without losing others")
    return choice.chosen, None


def _why_not_to(situation: Situation, choice: Choice, target: Instance) -> Obstacle | None:
    """Return why a replica cannot take over from a healthy primary; None when it can."""
    banned = why_banned(target, situation.policy)
    if banned is not None:
        return PlanRefusal.TARGET_BANNED, f"{target.key} is never promoted: {banned[1]}"
    broken = why_broken(target, situation.failed, choice.field.flavor)
    if broken is not None:
        return PlanRefusal.TARGET_NOT_PROMOTABLE, f"{target.key} cannot take over: {broken[1]}"
    without = why_no_source(target)
    if without is not None and len(situation.replicas) > 1:
        return PlanRefusal.TARGET_NOT_PROMOTABLE, f"{target.key} cannot take over: {without[1]}"
    if not target.replicating:
        return PlanRefusal.TARGET_NOT_PROMOTABLE, f"{target.key} cannot take over: it does not replicate"
    far = veto(target, situation.primary, situation.failed, NO_LOSS, situation.policy)
    if far is not None:
        return PlanRefusal.VETO, f"{target.key} would be promoted, but {far[1]}"
    return _why_lagging(situation, target)


def _why_lagging(situation: Situation, target: Instance) -> Obstacle | None:
    """Return the obstacle of a target that lags; an unknown lag counts as none only with nothing left to apply."""
    channel = channel_from(target, situation.failed)
    assert channel is not None
    lag = channel.query_lag if channel.query_lag is not None else channel.lag
    limit = situation.policy.reasonable_maintenance_lag
    if lag is None and not applied_all(target, situation.failed):
        return PlanRefusal.TARGET_LAGGING, f"the lag of {target.key} is not known, and it has changes to apply"
    behind = abs((lag or timedelta()) - channel.sql_delay) if lag is not None else timedelta()
    if behind > limit:
        reason = f"{target.key} lags {behind.total_seconds():g} s, more than reasonable_maintenance_lag"
        return PlanRefusal.TARGET_LAGGING, f"{reason} ({limit.total_seconds():g} s)"
    return None


def _siblings(situation: Situation, choice: Choice, target: Instance) -> dict[str, list[tuple[Instance, str]]]:
    """Return the other replicas: those that can follow the target, and those that cannot, with the reason."""
    fates = [(each, _why_not_follow(each, target, choice)) for each in situation.replicas if each is not target]
    return {"follow": [fate for fate in fates if not fate[1]], "stay": [fate for fate in fates if fate[1]]}


def _why_not_follow(replica: Instance, target: Instance, choice: Choice) -> str:
    """Return why a sibling cannot follow the target once that has everything the primary has."""
    why = why_lost(replica, target, choice.field)
    return "" if why.startswith("ahead") else why


def _why_siblings_stay(situation: Situation, choice: Choice, target: Instance) -> Obstacle | None:
    stay = [(each, why) for each, why in _siblings(situation, choice, target)["stay"] if each.downtime is None]
    if not stay:
        return None
    reasons = "; ".join(f"{each.key}: {why}" for each, why in stay)
    reason = f"replicas could not follow {target.key} ({reasons}); mend that, or put them in downtime"
    return PlanRefusal.SIBLINGS_NOT_RELOCATED, reason


def _plan(situation: Situation, choice: Choice, target: Instance) -> FailoverPlan:
    primary, failed = situation.primary, situation.failed
    siblings = _siblings(situation, choice, target)
    back = why_not_replicate_from(primary, target, situation.policy)
    followers = [each for each, _ in siblings["follow"]] + ([] if back else [primary])
    block = Step(0, StepKind.BLOCK, failed, (*statements.make_read_only(primary), KILL_SESSIONS))
    steps = numbered(
        (
            Step(0, StepKind.PREFLIGHT, target.key),
            block,
            Step(0, StepKind.CATCH_UP, target.key, source=failed),
            promote_step(target, primary),
            Step(0, StepKind.PUBLISH, target.key),
            *(repoint_step(each, failed, target.key, target.key) for each in sorted(followers, key=lambda e: e.key)),
            Step(0, StepKind.VERIFY),
        )
    )
    lost = [*(each.key for each, _ in siblings["stay"]), *([failed] if back else [])]
    kinds = {step.kind for step in steps} - {StepKind.PREFLIGHT}
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=failed,
        chosen=target.key,
        candidates=_listed(choice, target),
        steps=steps,
        loss=NO_LOSS,
        lost_replicas=tuple(sorted(lost)),
        followers=tuple(sorted(each.key for each in followers)),
        kind=situation.kind,
        estimated_time=sum((time for kind, time in TYPICAL.items() if kind in kinds), timedelta()),
    )


def _listed(choice: Choice, target: Instance) -> tuple[PromotionCandidate, ...]:
    """Return the replicas as they were weighed, the target first."""
    reason = "takes over from a healthy primary"
    entries = [
        replace(each, verdict=Verdict.ELIGIBLE) if each.verdict is Verdict.CHOSEN else each
        for each in choice.candidates
        if each.instance != target.key
    ]
    taken = [each for each in choice.candidates if each.instance == target.key]
    return ranked([*(replace(e, verdict=Verdict.CHOSEN, refusal=None, reason=reason) for e in taken), *entries])
