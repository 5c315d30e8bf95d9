"""Where the replicas of a dead intermediate go: `p -> i(r s), x, y`, where `i` dies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.recovery.model import FailoverPlan, PlanRefusal, RecoveryKind, Refusal, StepKind
from services.shared.topology.channel import ChannelSettings, ReplicationFilters, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.operators import PromotionRule
from tests.support.recovery.topologies import (
    READ,
    UNREADABLE,
    P,
    entry,
    gtids,
    hosts,
    key,
    names,
    planned,
    primary,
    replica,
)

WEST: dict[str, Any] = {"data_center": "west"}


def live(name: str, received: int = 100, **facts: Any) -> Instance:
    return replica(name, received, io_state=facts.pop("io_state", ThreadState.ON), **facts)


def below(name: str, received: int = 100, **facts: Any) -> Instance:
    return replica(name, received, source=key("i"), **facts)


def top(**facts: Any) -> Instance:
    return primary(reading=READ, **facts)


def dead(**facts: Any) -> Instance:
    return live("i", **{"reading": UNREADABLE, **facts})


def plan(*instances: Instance) -> FailoverPlan:
    return planned(*instances, failed=key("i"), kind=RecoveryKind.DEAD_INTERMEDIATE)


def test_replicas_go_below_a_sibling_of_the_same_data_centre() -> None:
    made = plan(top(), dead(), below("r"), below("s", 90), live("x"), live("y", **WEST))
    assert made.chosen == key("x")
    assert hosts(made, StepKind.REPOINT) == ["r", "s"]
    assert made.lost_replicas == ()
    assert [step.kind for step in made.steps][-1] is StepKind.VERIFY
    assert "SOURCE_HOST = 'x'" in made.steps[0].statements[1]


SIBLINGS = [
    pytest.param([live("x"), live("y", promotion_rule=PromotionRule.PREFER)], "y", id="preferred and near"),
    pytest.param([live("x"), live("y", promotion_rule=PromotionRule.PREFER, **WEST)], "y", id="preferred before near"),
    pytest.param([live("x", **WEST), live("y")], "y", id="near"),
    pytest.param([live("x"), live("y"), replica("z", source=key("y"))], "y", id="more replicas of its own"),
    pytest.param([live("x", 100), live("y", 110)], "y", id="more advanced"),
    pytest.param([live("x"), live("y")], "x", id="last tie by host"),
]


@pytest.mark.parametrize(("siblings", "chosen"), SIBLINGS)
def test_order_of_siblings(siblings: list[Instance], chosen: str) -> None:
    for order in (siblings, siblings[::-1]):
        assert plan(top(), dead(), below("r"), *order).chosen == key(chosen)


def test_sibling_in_another_data_centre_comes_after_regrouping() -> None:
    made = plan(top(), dead(), below("r"), live("x", **WEST))
    assert made.chosen == key("x")
    made = plan(top(), dead(), below("r"), below("s", 90), live("x", **WEST))
    assert made.chosen == key("x")
    assert hosts(made, StepKind.REPOINT) == ["r", "s>r"]


REFUSED = [
    pytest.param({"reading": UNREADABLE}, Refusal.UNREACHABLE, id="unreachable"),
    pytest.param({"log_bin": False}, Refusal.NO_BINLOG, id="no binary log"),
    pytest.param({"log_replica_updates": False}, Refusal.NO_LOG_REPLICA_UPDATES, id="does not log"),
    pytest.param({"sql_state": ThreadState.OFF}, Refusal.NOT_REPLICATING, id="a thread stands still"),
    pytest.param({"promotion_rule": PromotionRule.MUST_NOT}, Refusal.MUST_NOT, id="banned"),
    pytest.param({"received": 80}, Refusal.CANNOT_CATCH_UP, id="behind the dead one"),
    pytest.param(
        {"settings": ChannelSettings(filters=ReplicationFilters(do_databases=("shop",)))},
        Refusal.FILTERS_DIFFER,
        id="other filters",
    ),
]


@pytest.mark.parametrize(("facts", "refusal"), REFUSED)
def test_sibling_that_cannot_take_them_leaves_the_source_of_the_dead_one(
    facts: dict[str, Any], refusal: Refusal
) -> None:
    unfiltered = ChannelSettings(filters=ReplicationFilters())
    made = plan(
        top(), dead(settings=unfiltered), below("r"), below("s", 90), live("x", **{"settings": unfiltered, **facts})
    )
    assert entry(made, "x").refusal is refusal
    assert made.chosen == key("r"), "the best of them is regrouped, and goes below the source"
    assert hosts(made, StepKind.REPOINT) == ["r>p", "s"]


def test_single_replica_goes_below_the_source() -> None:
    made = plan(top(), dead(), below("r"))
    assert hosts(made, StepKind.REPOINT) == [f"r>{P.host}"]
    assert made.chosen == key("r")


def test_nearest_healthy_server_above_takes_them() -> None:
    upper = live("m")
    middle = replica("n", source=key("m"), reading=UNREADABLE)
    low = replace(dead(), channels=(replace(dead().channels[0], source=key("n")),))
    made = plan(top(), upper, middle, low, below("r"))
    assert hosts(made, StepKind.REPOINT) == ["r>m"]


def test_nobody_above_and_beside_is_refused() -> None:
    made = plan(primary(), dead(), below("r"), below("s", 90))
    assert (made.chosen, made.refusal) == (None, PlanRefusal.NOWHERE_TO_RELOCATE)
    unmovable = plan(top(), dead(), below("r", gtid_positioning=False))
    assert (unmovable.chosen, unmovable.refusal) == (None, PlanRefusal.NOWHERE_TO_RELOCATE)
    assert plan(top(), dead(), below("r", reading=UNREADABLE)).refusal is PlanRefusal.NO_REPLICAS


def test_unreachable_replica_stays_and_keeps_nobody() -> None:
    made = plan(top(), dead(), below("r"), below("s", reading=UNREADABLE), live("x"))
    assert made.chosen == key("x")
    assert names(made.lost_replicas) == ["s"]
    assert "does not answer" in entry(made, "s").reason


def test_replica_that_cannot_follow_the_sibling_goes_to_the_source() -> None:
    made = plan(top(version="8.0.40"), dead(), below("r"), below("s", version="8.0.40"), live("x"))
    assert (made.chosen, hosts(made, StepKind.REPOINT)) == (key("s"), ["r>x", "s>p"])
    assert made.lost_replicas == ()


def test_replica_without_gtid_cannot_be_moved() -> None:
    made = plan(top(), dead(), below("r", gtid_positioning=False), below("s", 90), live("x"))
    assert names(made.lost_replicas) == ["r"]
    assert "without GTID" in entry(made, "r").reason


def test_sibling_that_lags_behind_a_replica_still_takes_it() -> None:
    made = plan(top(executed_gtid_set=gtids(120)), dead(), below("r", 110), live("x", 105))
    assert made.chosen == key("x"), "x receives from p what r has"
    delayed = live("x", 105, sql_delay=timedelta(hours=1))
    assert plan(top(executed_gtid_set=gtids(120)), dead(), below("r", 110), delayed).chosen != key("x")
