"""Who replaces the most advanced replica before it is promoted: two-step promotion (section 10).

The replica that has most keeps most of the topology; but if another one is preferred, or better placed, and can follow
it, that one catches up from it first and is promoted instead. Nothing is lost by that, and little time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.recovery.candidate import Choice, why_banned, why_broken, why_lost, why_no_source
from services.recovery.policy import PlanningPolicy
from services.recovery.replicate_from import why_not_replicate_from
from services.shared.topology.instance import Instance
from services.shared.topology.operators import PromotionRule

PREFERRED = (PromotionRule.MUST, PromotionRule.PREFER)


@dataclass(frozen=True, slots=True)
class Replacement:
    """Who is promoted instead of the most advanced replica.

    Attributes:
        instance: The one.
        reason: Why, in half a sentence.
    """

    instance: Instance
    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a replacement is searched with.

    Attributes:
        failed: The failed primary as last seen.
        failed_known: It was ever seen.
        choice: The regular choice; it chose somebody.
        members: Who might replace it: the other replicas, and those below it; by endpoint.
        policy: What steers the choice.
    """

    failed: Instance
    failed_known: bool
    choice: Choice
    members: Sequence[Instance]
    policy: PlanningPolicy

    @property
    def first(self) -> Instance:
        """The most advanced replica, P in the specification."""
        assert self.choice.chosen is not None
        return self.choice.chosen

    def can(self, replica: Instance) -> bool:
        """Return whether a replica can take over from the most advanced one (section 10.1)."""
        return not self.why_not(replica) and why_banned(replica, self.policy) is None

    def why_not(self, replica: Instance) -> str:
        """Return why a replica cannot take over from the most advanced one even if somebody wants it to."""
        source = self.first.key if self.first.key in replica.sources else self.failed.key
        field = self.choice.field
        broken = why_broken(replica, source, field.flavor if field.by_gtid else None) or why_no_source(replica)
        if broken is not None:
            return broken[1]
        if self.first.key not in replica.sources:
            lost = self.choice.lost.get(replica.key) or why_lost(replica, self.first, field)
            if lost:
                return lost
        objection = why_not_replicate_from(self.first, replica, self.policy)
        return f"{self.first.key} could not replicate from it: {objection}" if objection else ""


def near(one: Instance, other: Instance) -> bool:
    """Return whether two instances are in the same data centre and physical environment; unknown equals unknown."""
    return one.data_center == other.data_center and one.environment == other.environment


def why_too_far(instance: Instance, failed: Instance, policy: PlanningPolicy) -> str:
    """Return which setting forbids a promotion because of where an instance is, in half a sentence; empty = none."""
    if policy.prevent_cross_data_center and instance.data_center != failed.data_center:
        where = f"it is in data centre {instance.data_center or '(unknown)'}"
        return f"{where}, {failed.key} in {failed.data_center or '(unknown)'}, and prevent_cross_data_center is set"
    if policy.prevent_cross_region and instance.region != failed.region:
        where = f"it is in region {instance.region or '(unknown)'}"
        return f"{where}, {failed.key} in {failed.region or '(unknown)'}, and prevent_cross_region is set"
    return ""


def is_ideal(search: Search) -> bool:
    """Return whether the most advanced replica is as good as any: then nobody is searched (section 11.2)."""
    first = search.first
    if not search.failed_known or not near(first, search.failed):
        return False
    best_rule = all(first.promotion_rule.value <= each.promotion_rule.value for each in search.choice.followers)
    return first.promotion_rule in PREFERRED or (best_rule and first.promotion_rule is not PromotionRule.MUST_NOT)


def find_replacement(search: Search) -> Replacement | None:
    """Return who replaces the most advanced replica, or None: it is kept (section 10.2).

    Each search takes the last match by host and port, as the reference does (its behaviour is kept on purpose).
    """
    first, failed, policy = search.first, search.failed, search.policy
    preferred = [each for each in search.members if each.promotion_rule in PREFERRED and search.can(each)]
    first_preferred, first_geo = first.promotion_rule in PREFERRED, not why_too_far(first, failed, policy)
    by_failed = search.failed_known
    if first_preferred and by_failed and near(first, failed):
        return None
    found = _last([each for each in preferred if by_failed and near(each, failed)])
    if found is not None:
        return _because(found, f"is preferred and placed like {failed.key}")
    if first_preferred and first_geo:
        return None
    found = _last([each for each in preferred if near(each, first)])
    if found is not None:
        return _because(found, f"is preferred and placed like {first.key}")
    found = _last([each for each in preferred if not why_too_far(each, failed, policy)])
    if found is not None:
        return _because(found, "is preferred")
    if first_geo and first.promotion_rule is not PromotionRule.PREFER_NOT:
        return None
    return _neutral(search)


def _neutral(search: Search) -> Replacement | None:
    """Search those nobody has an opinion on: the most advanced one is too far away, or to be avoided."""
    first, failed = search.first, search.failed
    neutral = [e for e in search.members if e.promotion_rule is PromotionRule.NEUTRAL and search.can(e)]
    found = _last([each for each in neutral if search.failed_known and near(each, failed)])
    if found is not None:
        return _because(found, f"is placed like {failed.key}")
    found = _last([each for each in neutral if near(each, first)])
    if found is not None:
        return _because(found, f"is placed like {first.key}")
    found = _last([each for each in neutral if not why_too_far(each, failed, search.policy)])
    return _because(found, "is where a promotion is allowed") if found is not None else None


def _last(found: Sequence[Instance]) -> Instance | None:
    return max(found, key=lambda instance: instance.key, default=None)


def _because(instance: Instance, reason: str) -> Replacement:
    return Replacement(instance, reason)
