"""Plans what becomes of two primaries that read from each other when one is dead (section 12). Pure."""

from __future__ import annotations

from services.recovery.candidate import choose_candidate, why_banned
from services.recovery.model import FailoverPlan, PlanRefusal
from services.recovery.planner import nobody, promotion, refused, search_of
from services.recovery.replacement import Replacement, Search, find_replacement
from services.recovery.situation import Situation
from services.recovery.succession import succession
from services.shared.topology.instance import Instance


def other_of_pair(situation: Situation) -> Instance | None:
    """Return the primary that reads from the failed one and that the failed one reads from; None = there is none."""
    pair = [each for each in situation.replicas if each.key in situation.primary.sources]
    return pair[0] if pair else None


def plan_co_primary(situation: Situation) -> FailoverPlan:
    """Plan the promotion of the other primary, or, where policy allows it and that one is read-only, of the best."""
    other = other_of_pair(situation)
    choice = choose_candidate(situation.primary, situation.replicas, situation.policy)
    if other is None:
        reason = f"{situation.failed} is not one of two primaries that read from each other, as far as is known"
        return refused(situation, choice.candidates, PlanRefusal.PRIMARY_NOT_FOUND, reason)
    search = search_of(situation)
    if search is None:
        return nobody(situation, choice.candidates)
    # One that takes writes must not be left beside a new primary; unknown counts as writable.
    if situation.policy.co_primary_must_promote_other or other.read_only is not True:
        return _to_other(situation, search, other)
    return promotion(situation, succession(search, find_replacement(search)))


def _to_other(situation: Situation, search: Search, other: Instance) -> FailoverPlan:
    banned = why_banned(other, situation.policy)
    obstacle = banned[1] if banned is not None else "" if other.key == search.first.key else search.why_not(other)
    if obstacle:
        reason = f"{other.key}, the other primary, must be promoted and cannot be: {obstacle}"
        listed = search.choice.candidates
        return refused(situation, listed, PlanRefusal.OTHER_CO_PRIMARY_NOT_PROMOTED, reason)
    replacement = None if other.key == search.first.key else Replacement(other, "is the other primary")
    return promotion(situation, succession(search, replacement))
