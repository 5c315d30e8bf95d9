"""Plans where the replicas of a dead intermediate go (section 13). Pure.

Nothing is promoted. In order: all below a sibling of the dead one in its data centre; the rest below the best of
themselves; the rest below a sibling elsewhere; the rest, and that best one, below the nearest healthy server above the
dead one. Replicas that do not answer cannot be moved by anybody, and keep nobody from being moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.recovery.candidate import choose_candidate, why_apart, why_banned, why_no_source
from services.recovery.model import (
    FailoverPlan,
    Loss,
    LossState,
    PlanRefusal,
    PromotionCandidate,
    Refusal,
    Step,
    StepKind,
    Verdict,
)
from services.recovery.plan_steps import numbered, repoint_step
from services.recovery.planner import refused
from services.recovery.positions import Held, executed, held, missing, received, received_position, union
from services.recovery.replacement import PREFERRED, near
from services.recovery.replicate_from import has_filters, why_not_replicate_from
from services.recovery.situation import Situation, instance_of
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

NO_LOSS = Loss(LossState.PROVEN_NONE, "", "nobody is promoted: what the replicas lack their new source has")


@dataclass(slots=True)
class _Moves:
    """Who goes where, as it is worked out.

    Attributes:
        left: Replicas that have no place yet.
        sources: Whom each of the others follows.
        why_not: The last reason why a replica that is left could not be moved.
    """

    left: list[Instance]
    sources: dict[InstanceKey, InstanceKey] = field(default_factory=dict)
    why_not: dict[InstanceKey, str] = field(default_factory=dict)

    def all_to(self, situation: Situation, target: Instance) -> bool:
        """Move every replica that is left and can below a server; return whether somebody was and nobody is left."""
        moved = False
        for replica in tuple(self.left):
            why = _why_not_below(replica, target, situation)
            if why:
                self.why_not[replica.key] = why
                continue
            self.sources[replica.key] = target.key
            self.left.remove(replica)
            moved = True
        return moved and not self.left


def plan_intermediate(situation: Situation) -> FailoverPlan:
    """Plan whom the replicas of a dead intermediate follow, as if it were dead now."""
    failed = situation.primary
    above = _healthy_above(situation)
    siblings = _siblings(situation)
    listed = {each.key: _entry(each, situation) for each in siblings}
    reachable = [each for each in situation.replicas if each.reading.last_check_valid]
    if not reachable:
        reason = f"{failed.key} has no replica that answers"
        return refused(situation, tuple(listed.values()), PlanRefusal.NO_REPLICAS, reason)
    sibling = _best_sibling([each for each in siblings if listed[each.key].refusal is None], failed)
    moves = _Moves(reachable)
    successor = _resolve(situation, moves, sibling, above)
    if successor is None:
        reasons = "; ".join(f"{key}: {why}" for key, why in sorted(moves.why_not.items()))
        reason = f"no healthy server can take its replicas ({reasons or 'there is none above or beside it'})"
        return refused(situation, tuple(listed.values()), PlanRefusal.NOWHERE_TO_RELOCATE, reason)
    return _plan(situation, moves, successor, listed)


def _resolve(
    situation: Situation, moves: _Moves, sibling: Instance | None, above: Instance | None
) -> InstanceKey | None:
    """Give every replica a place, plan after plan; return who stands in for the dead one, None when nobody does."""
    here = sibling is not None and sibling.data_center == situation.primary.data_center
    if sibling is not None and here and moves.all_to(situation, sibling):
        return sibling.key
    leader = _regroup(situation, moves)
    if sibling is not None and not here and moves.all_to(situation, sibling):
        return sibling.key
    before = len(moves.left)
    if above is not None:
        moves.all_to(situation, above)
    if above is not None and len(moves.left) < before:
        return leader if leader in moves.sources else above.key
    # Nobody else could be moved; those who went below the sibling are not given up for that.
    return sibling.key if sibling is not None and sibling.key in moves.sources.values() else None


def _regroup(situation: Situation, moves: _Moves) -> InstanceKey | None:
    """Put the replicas that are left below the best of them; return it when nobody was ahead of it."""
    if not moves.left:
        return None
    if len(moves.left) == 1:
        return moves.left[0].key
    choice = choose_candidate(situation.primary, moves.left, situation.policy)
    if choice.chosen is None or not choice.regular:
        return None
    leader = choice.chosen
    for follower in choice.followers:
        moves.sources[follower.key] = leader.key
    moves.left = [each for each in moves.left if each.key not in moves.sources]
    moves.why_not.update(choice.lost)
    ahead = any(not why_not_replicate_from(each, leader, situation.policy) for each in moves.left if each is not leader)
    return None if ahead else leader.key


def _healthy_above(situation: Situation) -> Instance | None:
    """Return the nearest server above the dead one that answers; None = none, as far as is known."""
    seen = {situation.failed}
    here = situation.primary
    while here.sources and here.sources[0] not in seen:
        here = instance_of(situation.snapshot, here.sources[0])
        seen.add(here.key)
        if here.reading.last_check_valid:
            return here
    return None


def _siblings(situation: Situation) -> list[Instance]:
    """Return the other replicas of the dead one's source, best first: most replicas, most advanced, endpoint."""
    failed = situation.primary
    if not failed.sources:
        return []
    beside = [each for each in situation.snapshot.direct_replicas(failed.sources[0]) if each.key != failed.key]
    return sorted(beside, key=lambda each: (-_replica_count(each, situation), _behind(each, beside), each.key))


def _replica_count(instance: Instance, situation: Situation) -> int:
    return len(situation.snapshot.direct_replicas(instance.key))


def _behind(instance: Instance, beside: Sequence[Instance]) -> int:
    """Return how many of its siblings have received something that an instance has not."""
    return sum(1 for other in beside if _has_more(other, instance))


def _has_more(one: Instance, other: Instance) -> bool:
    """Return whether one sibling is known to have what the other lacks."""
    source = one.sources[0]
    more, less = received(one, source), received(other, source)
    if more is not None and less is not None and type(more) is type(less) and (more or less):
        return bool(missing(more, less)) and more.count() > less.count()
    ahead, behind = received_position(one, source), received_position(other, source)
    return ahead is not None and behind is not None and ahead.follows(behind)


def _entry(sibling: Instance, situation: Situation) -> PromotionCandidate:
    """Return a sibling as the choice sees it."""
    refusal = _why_no_place(sibling, situation)
    if refusal is None:
        count = _replica_count(sibling, situation)
        return PromotionCandidate(sibling.key, Verdict.ELIGIBLE, reason=f"a sibling with {count} replica(s) of its own")
    return PromotionCandidate(sibling.key, Verdict.REFUSED, refusal=refusal[0], reason=refusal[1])


def _why_no_place(sibling: Instance, situation: Situation) -> tuple[Refusal, str] | None:
    """Return why nobody can be put below a sibling of the dead one; None when somebody can."""
    failed = situation.primary
    if not sibling.reading.last_check_valid:
        return Refusal.UNREACHABLE, f"it does not answer: {sibling.reading.error or 'its last probe failed'}"
    no_source = why_no_source(sibling)
    if no_source is not None:
        return no_source
    if not sibling.replicating:
        return Refusal.NOT_REPLICATING, "one of its replication threads does not run"
    banned = why_banned(sibling, situation.policy)
    if banned is not None:
        return banned
    filters = has_filters(sibling), has_filters(failed)
    if None not in filters and filters[0] != filters[1]:
        return Refusal.FILTERS_DIFFER, f"it has other replication filters than {failed.key}"
    return _why_behind(sibling, failed)


def _why_behind(sibling: Instance, failed: Instance) -> tuple[Refusal, str] | None:
    source = failed.sources[0]
    theirs, mine = executed(failed), received(sibling, source)
    if theirs is not None and mine is not None and type(theirs) is type(mine) and (theirs or mine):
        errant = held(failed, instance_like(failed, source), ()).errant
        lacks = missing(missing(theirs, errant) if errant is not None else theirs, mine)
        return (Refusal.CANNOT_CATCH_UP, f"it lacks {lacks}, which {failed.key} had") if lacks else None
    ahead, behind = received_position(failed, source), received_position(sibling, source)
    if ahead is not None and behind is not None and ahead.follows(behind):
        return Refusal.CANNOT_CATCH_UP, f"it is behind {failed.key}"
    return None


def instance_like(replica: Instance, source: InstanceKey) -> Instance:
    """Return a source of a replica of which nothing else is known."""
    return Instance(source, flavor=replica.flavor)


def _best_sibling(siblings: Sequence[Instance], failed: Instance) -> Instance | None:
    """Return the first sibling that is preferred and near; preferred; near; any."""
    preferred = [each for each in siblings if each.promotion_rule in PREFERRED]
    by_wish = (
        *(each for each in preferred if near(each, failed)),
        *preferred,
        *(each for each in siblings if near(each, failed)),
        *siblings,
    )
    return by_wish[0] if by_wish else None


def _why_not_below(replica: Instance, target: Instance, situation: Situation) -> str:
    """Return why a replica of the dead one cannot read from a server, in half a sentence; empty when it can."""
    objection = why_not_replicate_from(replica, target, situation.policy)
    if objection:
        return f"cannot replicate from {target.key}: {objection}"
    channel = next((each for each in replica.channels if each.source == situation.failed), None)
    if channel is None or not channel.gtid_positioning or replica.flavor is not target.flavor:
        return f"cannot be pointed at {target.key} without GTID: its positions mean nothing there"
    mine = held(replica, instance_like(replica, situation.failed), ())
    return why_apart(mine, _will_have(target, situation), target)


def _will_have(target: Instance, situation: Situation) -> Held:
    """Return what a healthy server has, or will have as soon as it has received what its own source has.

    A MariaDB replica is refused by a source that lacks its position: there only what the server has counts.
    """
    source = target.sources[0] if target.sources else target.key
    everything = received(target, source)
    for above in (instance_of(situation.snapshot, each) for each in target.sources):
        upstream = executed(above)
        if everything is not None and target.flavor is Flavor.MYSQL and type(upstream) is type(everything):
            assert upstream is not None
            everything = union(everything, upstream)
    return Held(everything, None)


def _plan(
    situation: Situation, moves: _Moves, successor: InstanceKey, listed: dict[InstanceKey, PromotionCandidate]
) -> FailoverPlan:
    lost = [each for each in situation.replicas if each.key not in moves.sources]
    by_key = {each.key: each for each in situation.replicas}
    targets = {successor, *moves.sources.values()}
    for key in sorted(targets):
        entry = listed.get(key, PromotionCandidate(key, Verdict.ELIGIBLE, reason="takes replicas"))
        verdict = Verdict.CHOSEN if key == successor else entry.verdict
        listed[key] = replace(entry, verdict=verdict)
    for replica in lost:
        silent = f"it does not answer: {replica.reading.error or 'its last probe failed'}"
        why = moves.why_not.get(replica.key, silent)
        listed[replica.key] = PromotionCandidate(replica.key, Verdict.REFUSED, reason=f"lost: {why}")
    chosen = [replace(each, rank=1) for each in listed.values() if each.verdict is Verdict.CHOSEN]
    able = [each for each in listed.values() if each.verdict is Verdict.ELIGIBLE]
    ranks = [replace(each, rank=place) for place, each in enumerate(able, start=2)]
    steps = [
        repoint_step(by_key[key], situation.failed, source, successor) for key, source in sorted(moves.sources.items())
    ]
    return FailoverPlan(
        cluster_id=situation.cluster_id,
        failed=situation.failed,
        chosen=successor,
        candidates=(*chosen, *ranks, *(each for each in listed.values() if each.verdict is Verdict.REFUSED)),
        steps=numbered([*steps, Step(0, StepKind.VERIFY)]),
        loss=NO_LOSS,
        lost_replicas=tuple(sorted(each.key for each in lost)),
        followers=tuple(sorted(moves.sources)),
        kind=situation.kind,
    )
