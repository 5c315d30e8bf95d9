"""Two-step promotion: who replaces the replica that has most, and what becomes of the others."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.recovery.model import LossState, PlanRefusal, RecoveryKind, Refusal, StepKind, Verdict
from services.recovery.policy import PlanningPolicy
from services.shared.topology.channel import ThreadState
from services.shared.topology.operators import PromotionRule
from services.shared.topology.position import BinlogPosition
from services.shared.topology.server import SemiSync
from tests.support.recovery.topologies import (
    ACKER,
    UNREADABLE,
    P,
    entry,
    gtids,
    hosts,
    key,
    mariadb_primary,
    mariadb_replica,
    names,
    planned,
    primary,
    replica,
    uuid,
)

MUST, PREFER, PREFER_NOT, MUST_NOT = (
    PromotionRule.MUST,
    PromotionRule.PREFER,
    PromotionRule.PREFER_NOT,
    PromotionRule.MUST_NOT,
)
NO_OTHER_CENTER = PlanningPolicy(prevent_cross_data_center=True)
NO_OTHER_REGION = PlanningPolicy(prevent_cross_region=True)


def test_example_e1_the_preferred_one_takes_over_from_the_most_advanced() -> None:
    made = planned(primary(), replica("a"), replica("b", data_center="west"), replica("c", 80, promotion_rule=PREFER))
    assert (made.chosen, made.interim) == (key("c"), key("a"))
    assert made.lost_replicas == ()
    assert hosts(made, StepKind.CATCH_UP) == ["c>a"]
    assert hosts(made, StepKind.DRAIN) == ["a"]
    assert hosts(made, StepKind.REPOINT) == ["a", "b"]


def test_example_e2_the_most_advanced_one_is_as_good_as_any() -> None:
    made = planned(primary(), replica("a"), replica("b", data_center="west"), replica("c", 80))
    assert (made.chosen, made.interim) == (key("a"), None)


def test_example_e4_geographic_veto() -> None:
    far: dict[str, Any] = {"data_center": "west", "region": "us"}
    near: dict[str, Any] = {"region": "eu"}
    dead = primary(region="eu")
    made = planned(dead, replica("a", 100, **far), replica("b", 90, **near), policy=NO_OTHER_REGION)
    assert (made.chosen, made.interim) == (key("b"), key("a"))
    deaf = replica("b", 90, log_replica_updates=False, **near)
    made = planned(dead, replica("a", 100, **far), deaf, policy=NO_OTHER_REGION)
    assert (made.chosen, made.refusal) == (None, PlanRefusal.VETO)
    assert entry(made, "a").refusal is Refusal.OTHER_REGION
    assert "prevent_cross_region" in made.refusal_reason
    assert made.steps == ()


CHOSEN = [
    pytest.param({"a": {}, "b": {"data_center": "west"}}, None, "a", id="nobody preferred"),
    pytest.param({"a": {"data_center": "west"}, "b": {"received": 90}}, None, "a", id="place alone replaces nobody"),
    pytest.param(
        {"a": {"promotion_rule": PREFER}, "b": {"received": 90, "promotion_rule": MUST}},
        None,
        "a",
        id="ideal",
    ),
    pytest.param({"a": {}, "b": {"received": 90, "promotion_rule": MUST}}, None, "b", id="must counts as preferred"),
    pytest.param(
        {"a": {"data_center": "west", "promotion_rule": PREFER}, "b": {"received": 90, "promotion_rule": PREFER}},
        None,
        "b",
        id="preferred one near the dead primary replaces a preferred one far away",
    ),
    pytest.param(
        {"a": {"data_center": "west", "promotion_rule": PREFER}, "b": {"received": 90}},
        None,
        "a",
        id="is kept",
    ),
    pytest.param(
        {"a": {"data_center": "west"}, "b": {"received": 90, "data_center": "west", "promotion_rule": PREFER}},
        None,
        "b",
        id="preferred near the most advanced",
    ),
    pytest.param(
        {"a": {"data_center": "west"}, "b": {"received": 90, "data_center": "north", "promotion_rule": PREFER}},
        None,
        "b",
        id="preferred anywhere",
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "data_center": "north", "promotion_rule": PREFER}},
        NO_OTHER_CENTER,
        "a",
        id="preferred where it is not allowed",
    ),
    pytest.param(
        {"a": {"data_center": "west", "promotion_rule": PREFER}, "b": {"received": 90}},
        NO_OTHER_CENTER,
        "b",
        id="preferred one where it is not allowed is replaced",
    ),
    pytest.param({"a": {"promotion_rule": PREFER_NOT}, "b": {"received": 90}}, None, "b", id="to be avoided"),
    pytest.param(
        {"a": {"promotion_rule": PREFER_NOT}, "b": {"received": 90, "promotion_rule": PREFER_NOT}},
        None,
        "a",
        id="both to be avoided",
    ),
    pytest.param(
        {"a": {"data_center": "west"}, "b": {"received": 90}}, NO_OTHER_CENTER, "b", id="neutral near the dead primary"
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER, "environment": "test"}},
        None,
        "b",
        id="preferred in another environment",
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER}, "c": {"received": 80, "promotion_rule": PREFER}},
        None,
        "c",
        id="of several preferred ones the last by host",
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER, "log_bin": False}}, None, "a", id="no binary log"
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER, "reading": UNREADABLE}}, None, "a", id="unreachable"
    ),
    pytest.param(
        {"a": {}, "b": {"promotion_rule": PREFER, "sql_errno": 1062, "sql_state": ThreadState.OFF}},
        None,
        "a",
        id="broken applier",
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER, "version": "9.7.0"}, "c": {}},
        None,
        "a",
        id="the most advanced one could not follow it",
    ),
    pytest.param(
        {"a": {}, "b": {"received": 90, "promotion_rule": PREFER}},
        PlanningPolicy(promotion_ignore_hosts=("^b:",)),
        "a",
        id="preferred and excluded",
    ),
]


@pytest.mark.parametrize(("servers", "policy", "chosen"), CHOSEN)
def test_who_is_promoted(servers: dict[str, dict[str, Any]], policy: PlanningPolicy | None, chosen: str) -> None:
    replicas = [replica(name, **facts) for name, facts in servers.items()]
    for order in itertools.permutations(replicas):
        assert planned(primary(), *order, policy=policy or PlanningPolicy()).chosen == key(chosen)


def test_replica_of_the_most_advanced_one_may_take_over_from_it() -> None:
    below = replica("r", 100, source=key("a"), promotion_rule=PREFER)
    assert planned(primary(), replica("a"), replica("b"), below).chosen == key("a"), "as good as any that is moved"
    made = planned(primary(), replica("a", data_center="west"), replica("b", 90), below)
    assert (made.chosen, made.interim) == (key("r"), key("a"))
    catch_up = next(step for step in made.steps if step.kind is StepKind.CATCH_UP)
    assert catch_up.statements == ("START REPLICA",)
    assert hosts(made, StepKind.REPOINT) == ["a", "b"]
    assert hosts(made, StepKind.FREEZE) == ["a", "b"]


def test_replica_that_cannot_follow_the_successor_follows_the_one_that_fed_it() -> None:
    made = planned(
        primary(version="8.4.3"), replica("a", version="8.0.40"), replica("b", 90, version="8.0.40"),
        replica("c", 80, version="8.0.40", binlog_format="ROW", promotion_rule=PREFER, server_id=777),
        replica("d", 70, version="8.0.40", server_id=777),
    )  # fmt: skip
    assert (made.chosen, made.interim, made.lost_replicas) == (key("c"), key("a"), ())
    assert hosts(made, StepKind.REPOINT) == ["a", "b", "d>a"]
    assert entry(made, "d").source == key("a")


def test_who_died_or_did_not_catch_up_is_not_tried_again() -> None:
    servers = (primary(), replica("a"), replica("b", 90, promotion_rule=PREFER))
    assert planned(*servers).chosen == key("b")
    assert planned(*servers, passed_over=frozenset({key("b")})).chosen == key("a")
    assert planned(*servers, excluded=frozenset({key("b")})).chosen == key("a")


def test_delay_is_taken_off_the_one_that_catches_up() -> None:
    made = planned(primary(), replica("a"), replica("b", 90, promotion_rule=PREFER, sql_delay=timedelta(hours=1)))
    assert made.chosen == key("a"), "a source that is delayed may not feed one that is not"
    made = planned(primary(), replica("a"), replica("b", 90, promotion_rule=PREFER, sql_delay=timedelta(seconds=5)))
    catch_up = next(step for step in made.steps if step.kind is StepKind.CATCH_UP)
    assert "SOURCE_DELAY = 0" in catch_up.statements[1]


def test_loss_is_that_of_the_most_advanced_one() -> None:

    semi_sync = SemiSync(True, True, 1, 1, timedelta(seconds=10))
    dead = primary(semi_sync=semi_sync)
    made = planned(dead, replica("a", 110, semi_sync=ACKER), replica("b", 50, promotion_rule=PREFER))
    assert (made.chosen, made.loss.state) == (key("b"), LossState.PROVEN_NONE)


def test_mariadb_replica_catches_up_too() -> None:
    made = planned(mariadb_primary(), mariadb_replica("a", 110), mariadb_replica("b", 100, promotion_rule=PREFER))
    assert (made.chosen, made.interim) == (key("b"), key("a"))
    catch_up = next(step for step in made.steps if step.kind is StepKind.CATCH_UP)
    assert catch_up.statements[1].startswith("CHANGE MASTER '' TO MASTER_HOST = 'a'")


LAST_RESORT = [
    pytest.param({"log_bin": False}, "binary log", id="no binary log"),
    pytest.param({"log_replica_updates": False}, "log what it replicates", id="no log of updates"),
]


@pytest.mark.parametrize(("facts", "reason"), LAST_RESORT)
def test_last_resort_is_promoted_and_the_others_are_lost(facts: dict[str, Any], reason: str) -> None:
    made = planned(primary(), replica("a", **facts), replica("b", 90, **facts))
    assert made.chosen == key("a")
    assert reason in entry(made, "a").reason
    assert names(made.lost_replicas) == ["b"]
    banned = replica("a", promotion_rule=MUST_NOT, **facts)
    assert planned(primary(), banned, replica("b", 90, **facts)).chosen == key("b")


def without_gtid(name: str, file: int, position: int, **facts: Any) -> Any:
    where = BinlogPosition(f"binlog.{file:06d}", position)
    defaults: dict[str, Any] = {
        "executed_gtid_set": "",
        "received_gtid_set": "",
        "gtid_positioning": False,
        "gtid_mode": "OFF",
        "read_position": where,
        "executed_position": where,
    }
    return replica(name, **{**defaults, **facts})


def test_without_gtid_the_most_advanced_position_is_promoted_and_the_others_are_lost() -> None:
    dead = primary(executed_gtid_set="", gtid_mode="OFF")
    made = planned(dead, without_gtid("a", 999_999, 500), without_gtid("b", 1_000_000, 4), without_gtid("c", 7, 900))
    assert made.chosen == key("b")
    assert names(made.lost_replicas) == ["a", "c"]
    assert made.loss.state is LossState.UNKNOWN
    assert "without GTID" in entry(made, "a").reason
    assert "binlog.999999:500" in entry(made, "a").reason
    assert planned(dead, without_gtid("a", 1, 1, read_position=None, executed_position=None)).chosen is None


NOT_READ = [
    pytest.param({"gtid_mode": ""}, id="gtid_mode"),
    pytest.param({"version": ""}, id="version"),
    pytest.param({"binlog_format": ""}, id="binlog format"),
    pytest.param({"received_gtid_set": ""}, id="received set"),
]


@pytest.mark.parametrize("facts", NOT_READ)
def test_what_nobody_was_asked_refuses_nobody(facts: dict[str, Any]) -> None:
    made = planned(primary(), replica("a", 90, **facts), replica("b", 100, **facts))
    assert made.chosen == key("b")
    assert "last resort" not in entry(made, "b").reason
    assert made.lost_replicas == ()


def test_positions_decide_where_no_transaction_is_known() -> None:
    empty: dict[str, Any] = {"executed_gtid_set": "", "received_gtid_set": ""}
    ahead = replica("b", **empty, read_position=BinlogPosition("binlog.000002", 4))
    behind = replica("a", **empty, read_position=BinlogPosition("binlog.000001", 900))
    assert planned(primary(executed_gtid_set=""), behind, ahead).chosen == key("b")


def test_takeover_goes_to_who_was_named_or_to_nobody_unannounced() -> None:
    servers = (replace(primary(), reading=replica("x").reading), replica("a"), replica("b", 90))
    takeover: dict[str, Any] = {"kind": RecoveryKind.FORCED_TAKEOVER}
    made = planned(*servers, target=key("b"), **takeover)
    assert (made.chosen, made.interim, made.refusal) == (key("b"), key("a"), None)
    assert "was named" in entry(made, "b").reason
    assert planned(*servers, target=key("a"), **takeover).interim is None
    deaf = replica("b", 90, log_bin=False)
    made = planned(*servers[:2], deaf, target=key("b"), **takeover)
    assert (made.chosen, made.refusal) == (key("a"), PlanRefusal.TARGET_NOT_PROMOTABLE)
    assert entry(made, "a").verdict is Verdict.CHOSEN


TAKEOVER_REFUSED = [
    pytest.param({"target": None}, PlanRefusal.TARGET_NOT_INDICATED, id="nobody named"),
    pytest.param({"target": key("nobody")}, PlanRefusal.TARGET_NOT_DIRECT_REPLICA, id="no replica"),
    pytest.param({"target": key("n")}, PlanRefusal.TARGET_BANNED, id="banned"),
]


@pytest.mark.parametrize(("facts", "refusal"), TAKEOVER_REFUSED)
def test_takeover_is_refused(facts: dict[str, Any], refusal: PlanRefusal) -> None:
    servers = (primary(), replica("a"), replica("n", promotion_rule=MUST_NOT))
    made = planned(*servers, kind=RecoveryKind.FORCED_TAKEOVER, **facts)
    assert (made.chosen, made.refusal, made.steps) == (None, refusal, ())


def test_forced_failover_needs_the_one_primary() -> None:
    forced: dict[str, Any] = {"kind": RecoveryKind.FORCED_FAILOVER}
    assert planned(primary(), replica("a"), **forced).chosen == key("a")
    two = (primary(), replica("a"), primary(key=key("q")))
    assert planned(*two, **forced).refusal is PlanRefusal.PRIMARY_NOT_UNIQUE
    assert planned(primary(), replica("a"), failed=key("a"), **forced).refusal is PlanRefusal.PRIMARY_NOT_FOUND
    read_only = planned(primary(read_only=True), replica("a"), kind=RecoveryKind.FORCED_TAKEOVER, target=key("a"))
    assert read_only.refusal is PlanRefusal.PRIMARY_READ_ONLY


def test_errant_transactions_of_the_most_advanced_are_named() -> None:
    errant = f"{uuid(9)}:1"
    made = planned(
        primary(), replica("a", errant_gtid_set=errant, executed_gtid_set=f"{gtids(100)},{errant}"), replica("b")
    )
    assert made.chosen == key("b")
    assert made.failed == P
