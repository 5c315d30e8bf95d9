"""What holds of every plan, whatever the replicas are like."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.recovery.model import LossState, RecoveryKind, StepKind, Verdict
from services.recovery.policy import Durability, PlanningPolicy
from services.recovery.positions import missing, union_all
from services.shared.mysql.gtid import parse_gtid_set
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import Flavor
from tests.support.recovery.topologies import ACKER, READ, SEMI_SYNC, UNREADABLE, P, key, planned, primary, replica

REPLICA = st.fixed_dictionaries(
    {
        "received": st.integers(80, 120),
        "executed": st.integers(60, 80),
        "version": st.sampled_from(["8.0.40", "8.4.3", "9.7.0", ""]),
        "binlog_format": st.sampled_from(["ROW", "MIXED", "STATEMENT"]),
        "data_center": st.sampled_from(["east", "west", ""]),
        "region": st.sampled_from(["", "eu"]),
        "promotion_rule": st.sampled_from(list(PromotionRule)),
        "log_bin": st.sampled_from([True, True, True, False]),
        "log_replica_updates": st.sampled_from([True, True, True, False, None]),
        "gtid_positioning": st.sampled_from([True, True, True, False]),
        "reading": st.sampled_from([READ, READ, READ, UNREADABLE]),
        "sql_errno": st.sampled_from([0, 0, 0, 1062]),
        "sql_state": st.sampled_from([ThreadState.ON, ThreadState.OFF]),
        "sql_delay": st.sampled_from([timedelta(), timedelta(), timedelta(hours=1)]),
        "semi_sync": st.just(ACKER),
    }
)
FLEET = st.lists(REPLICA, max_size=6)
POLICY = st.builds(
    PlanningPolicy,
    prevent_cross_data_center=st.booleans(),
    prevent_cross_region=st.booleans(),
    fail_promotion_if_applier_behind=st.booleans(),
    promotion_ignore_hosts=st.sampled_from([(), ("^a:",), ("b", "c")]),
    durability=st.sampled_from(Durability),
)
KIND = st.sampled_from([each for each in RecoveryKind if each is not RecoveryKind.FORMER_PRIMARY])


def servers(fleet: list[dict[str, Any]]) -> list[Instance]:
    return [primary(semi_sync=SEMI_SYNC), *(replica(chr(97 + place), **facts) for place, facts in enumerate(fleet))]


@given(FLEET, POLICY, KIND, st.randoms(use_true_random=False))
def test_order_of_the_readings_plays_no_part(
    fleet: list[dict[str, Any]], policy: PlanningPolicy, kind: RecoveryKind, chance: random.Random
) -> None:
    instances = servers(fleet)
    shuffled = instances.copy()
    chance.shuffle(shuffled)
    facts: dict[str, Any] = {"policy": policy, "kind": kind, "target": key("a"), "any_target": True}
    assert planned(*instances, **facts) == planned(*shuffled, **facts)


@given(FLEET, POLICY, KIND)
def test_nobody_is_promoted_who_must_not_be(
    fleet: list[dict[str, Any]], policy: PlanningPolicy, kind: RecoveryKind
) -> None:
    instances = {each.key: each for each in servers(fleet)}
    made = planned(*instances.values(), policy=policy, kind=kind, target=key("a"), any_target=True)
    for step in made.steps:
        if step.kind is not StepKind.PROMOTE or step.instance in (None, P):
            continue
        promoted = instances[step.instance]
        assert promoted.key == made.chosen
        assert promoted.promotion_rule is not PromotionRule.MUST_NOT
        assert not policy.ignores(promoted.key)
        assert promoted.reading.last_check_valid
        assert not (policy.prevent_cross_data_center and promoted.data_center != "east")
        assert not (policy.prevent_cross_region and promoted.region)


@given(FLEET, POLICY)
def test_plan_never_loses_more_than_stated(fleet: list[dict[str, Any]], policy: PlanningPolicy) -> None:
    instances = {each.key: each for each in servers(fleet)}
    made = planned(*instances.values(), policy=policy)
    if made.chosen is None or all(
        not each.channels[0].gtid_positioning for each in instances.values() if each.channels
    ):
        return
    successor = {made.chosen, *([made.interim] if made.interim is not None else [])}
    received = {each.instance: parse_gtid_set(Flavor.MYSQL, each.received_gtid_set) for each in made.candidates}
    had = union_all(Flavor.MYSQL, (received[each] for each in successor))
    stated = parse_gtid_set(Flavor.MYSQL, made.loss.gtid_set)
    readable = [each for each in made.candidates if instances[each.instance].reading.last_check_valid]
    seen = union_all(Flavor.MYSQL, (received[each.instance] for each in readable))
    assert not missing(missing(seen, had), stated)
    assert made.loss.state is not LossState.PROVEN_NONE or not missing(seen, had)


@given(FLEET, POLICY, KIND)
def test_every_replica_is_accounted_for(
    fleet: list[dict[str, Any]], policy: PlanningPolicy, kind: RecoveryKind
) -> None:
    made = planned(*servers(fleet), policy=policy, kind=kind, target=key("a"), any_target=True)
    chosen = [each for each in made.candidates if each.verdict is Verdict.CHOSEN]
    assert [each.rank for each in made.candidates if each.rank] == list(range(1, 1 + sum(
        1 for each in made.candidates if each.rank
    )))  # fmt: skip
    assert all(each.reason for each in made.candidates)
    assert (made.chosen is None) == (not made.steps)
    assert made.chosen is not None or made.refusal_reason
    if kind in (RecoveryKind.DEAD_PRIMARY, RecoveryKind.FORCED_FAILOVER) and made.chosen is not None:
        assert [each.instance for each in chosen] == [made.chosen]
        whole = {made.chosen, *made.followers, *made.lost_replicas}
        assert whole == {each.instance for each in made.candidates}
        repointed = {step.instance for step in made.steps if step.kind is StepKind.REPOINT}
        assert repointed == set(made.followers)
