"""Whom a failover promotes, who is refused, who is lost, and what is executed where."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.recovery.model import PlanRefusal, Refusal, StepKind, Verdict
from services.recovery.planner import plan_failover
from services.recovery.situation import Situation
from services.recovery.statements import make_read_only
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import SemiSync
from tests.support.recovery.topologies import (
    NOW,
    UNREADABLE,
    P,
    gtids,
    key,
    mariadb_primary,
    mariadb_replica,
    names,
    primary,
    replica,
    snapshot,
    uuid,
)


def plan(*replicas: Instance, failed: Instance | None = None) -> Any:
    return plan_failover(Situation(snapshot(failed or primary(), *replicas), P, NOW))


ORDER = [
    pytest.param({"received": 90}, {"received": 100}, "b", id="more received wins"),
    pytest.param({"received": 100, "executed": 10}, {"received": 90, "executed": 90}, "a", id="received, not executed"),
    pytest.param(
        {"received": 101, "sql_delay": timedelta(hours=1)}, {}, "b", id="a delayed replica comes after one that is not"
    ),
    pytest.param({"version": "8.4.3"}, {"version": "8.0.40"}, "b", id="lower version feeds the higher one"),
    pytest.param({"binlog_format": "ROW"}, {"binlog_format": "MIXED"}, "b", id="smaller binlog format"),
    pytest.param({"data_center": "west"}, {"data_center": "east"}, "b", id="data centre of the failed primary"),
    pytest.param({"errant_gtid_set": gtids(2, of=777)}, {}, "b", id="no errant transactions"),
    pytest.param({}, {"promotion_rule": PromotionRule.PREFER}, "b", id="better promotion rule"),
    pytest.param({}, {}, "a", id="last tie by host and port"),
    pytest.param(
        {"version": "8.0.40", "data_center": "west"}, {"version": "8.4.3"}, "a", id="version before data centre"
    ),
    pytest.param(
        {"data_center": "west", "promotion_rule": PromotionRule.PREFER}, {}, "a", id="preferred one replaces the first"
    ),
    pytest.param(
        {"received": 99, "promotion_rule": PromotionRule.MUST}, {"received": 100}, "a", id="preferred one catches up"
    ),
]


@pytest.mark.parametrize(("a", "b", "chosen"), ORDER)
def test_order_of_promotion_candidates(a: dict[str, Any], b: dict[str, Any], chosen: str) -> None:
    for pair in itertools.permutations((replica("a", **a), replica("b", **b))):
        assert plan(*pair).chosen == key(chosen)


REFUSED = [
    pytest.param({"reading": UNREADABLE}, Refusal.UNREACHABLE, id="unreachable"),
    pytest.param({"log_bin": False}, Refusal.NO_BINLOG, id="no binary log"),
    pytest.param({"log_replica_updates": False}, Refusal.NO_LOG_REPLICA_UPDATES, id="does not log updates"),
    pytest.param({"log_replica_updates": None}, Refusal.NO_LOG_REPLICA_UPDATES, id="unread is not on"),
    pytest.param({"promotion_rule": PromotionRule.MUST_NOT}, Refusal.MUST_NOT, id="banned"),
    pytest.param({"gtid_positioning": False}, Refusal.NO_GTID, id="positions by file"),
    pytest.param({"gtid_mode": "OFF"}, Refusal.NO_GTID, id="gtid mode off"),
    pytest.param({"sql_errno": 1062, "sql_state": ThreadState.OFF}, Refusal.APPLIER_FAILED, id="applier failed"),
    pytest.param({"received_gtid_set": "not a set"}, Refusal.POSITION_UNKNOWN, id="position of unknown form"),
    pytest.param(
        {"channels": (replica("x").channels[0], ReplicationChannel(key("q"), "other"))},
        Refusal.MULTI_SOURCE,
        id="two sources",
    ),
    pytest.param({"version": "9.7.0"}, Refusal.VERSION_TOO_HIGH, id="version above the majority"),
    pytest.param({"version": ""}, Refusal.VERSION_TOO_HIGH, id="unknown version is not fine"),
]


@pytest.mark.parametrize(("facts", "refusal"), REFUSED)
def test_refused_replica_is_named_with_its_reason(facts: dict[str, Any], refusal: Refusal) -> None:
    planned = plan(replica("a", 200, **{"executed": 200, **facts}), replica("b"), replica("c"))
    entry = next(each for each in planned.candidates if each.instance == key("a"))
    assert (entry.verdict, entry.refusal, entry.rank) == (Verdict.REFUSED, refusal, 0)
    assert entry.reason
    assert planned.chosen == key("b")


def test_binlog_format_above_the_majority_is_refused() -> None:
    mixed: dict[str, Any] = {"binlog_format": "MIXED"}
    planned = plan(replica("a", 120), replica("b", **mixed), replica("c", **mixed))
    assert planned.candidates[-1].refusal is Refusal.BINLOG_FORMAT_TOO_LARGE
    assert planned.chosen == key("b")


def test_stopped_applier_without_error_may_be_promoted() -> None:
    planned = plan(replica("a", 100, executed=1, sql_state=ThreadState.OFF), replica("b", 90))
    assert planned.chosen == key("a")


def test_nobody_is_promoted_when_all_are_banned_or_broken() -> None:
    planned = plan(replica("a", promotion_rule=PromotionRule.MUST_NOT), replica("b", reading=UNREADABLE))
    assert planned.chosen is None
    assert planned.refusal is PlanRefusal.NO_PROMOTION_CANDIDATE
    assert planned.steps == ()
    assert all(each.verdict is Verdict.REFUSED for each in planned.candidates)


def test_version_majority_example() -> None:
    """Worked example E3: the majority is at 8.0, so both 8.4 are ahead and lost."""
    five = [
        *(replica(name, count, version="8.4.3") for name, count in (("a", 90), ("b", 80))),
        *(replica(name, count, version="8.0.40") for name, count in (("c", 70), ("d", 60), ("e", 50))),
    ]
    planned = plan(*five)
    assert planned.chosen == key("c")
    assert names(planned.lost_replicas) == ["a", "b"]
    assert names(planned.followers) == ["d", "e"]
    lost = next(each for each in planned.candidates if each.instance == key("a"))
    assert f"ahead: c:3306 lacks {uuid(1)}:71-90" in lost.reason

    five[2] = replica("c", 70, version="8.4.3")
    planned = plan(*five)
    assert planned.chosen == key("a")
    assert names(planned.lost_replicas) == ["d", "e"]
    assert "its version 8.0.40 is lower" in next(e.reason for e in planned.candidates if e.instance == key("d"))


def test_data_centre_example_without_preferred_replica() -> None:
    """Worked example E2: same position, the one in the data centre of the dead primary, everybody follows."""
    planned = plan(replica("a"), replica("b", data_center="west"), replica("c", 80))
    assert planned.chosen == key("a")
    assert names(planned.followers) == ["b", "c"]
    assert planned.lost_replicas == ()


LOST = [
    pytest.param({"reading": UNREADABLE}, "it does not answer: timed out", id="unreachable"),
    pytest.param({"server_id": replica("a").server_id}, "the same server id", id="server id"),
    pytest.param({"binlog_format": "STATEMENT"}, "STATEMENT is smaller than ROW", id="format"),
    pytest.param({"gtid_positioning": False}, "does not position itself by GTID", id="no gtid"),
    pytest.param({"log_bin": False}, "", id="a replica without binary log may follow"),
]


@pytest.mark.parametrize(("facts", "reason"), LOST)
def test_replica_that_cannot_follow_is_lost_with_its_reason(facts: dict[str, Any], reason: str) -> None:
    planned = plan(replica("a"), replica("b"), replica("z", 50, **facts))
    entry = next(each for each in planned.candidates if each.instance == key("z"))
    assert names(planned.lost_replicas) == (["z"] if reason else [])
    assert reason in entry.reason


def test_replica_that_needs_purged_transactions_is_lost() -> None:
    planned = plan(replica("a", purged_gtid_set=gtids(60)), replica("z", 50, executed=50))
    assert names(planned.lost_replicas) == ["z"]
    assert "purged" in planned.candidates[1].reason


def test_own_transactions_of_a_replica_are_errant_and_do_not_make_it_ahead() -> None:
    own = replica("z").server_uuid
    with_errant = replica("z", executed_gtid_set=f"{gtids(100)},{own}:1-5")
    planned = plan(replica("a"), with_errant)
    assert planned.chosen == key("a")
    assert planned.lost_replicas == ()


def test_transactions_of_a_former_primary_are_not_errant() -> None:
    former = replica("z").server_uuid
    both = f"{gtids(100)},{former}:1-5"
    planned = plan(
        replica("a", executed_gtid_set=gtids(100)),
        replica("z", executed_gtid_set=both),
        failed=primary(executed_gtid_set=both),
    )
    assert planned.chosen == key("z")
    assert names(planned.lost_replicas) == []


def test_mariadb_compares_per_domain() -> None:
    planned = plan(
        mariadb_replica("a", 110, executed=90),
        mariadb_replica("b", 100),
        failed=mariadb_primary(version="10.11.6-MariaDB"),
    )
    assert planned.chosen == key("a")
    assert names(planned.followers) == ["b"]
    promote = next(step for step in planned.steps if step.kind is StepKind.PROMOTE)
    assert promote.statements == ("STOP ALL SLAVES", "RESET SLAVE '' ALL", "SET GLOBAL read_only = 0")


def test_mariadb_history_that_parted_cannot_follow() -> None:
    planned = plan(
        mariadb_replica("a"),
        mariadb_replica("b", executed_gtid_set="0-9-100", received_gtid_set="0-9-100"),
        failed=mariadb_primary(),
    )
    assert "parted" in planned.candidates[1].reason


def test_replicas_of_replicas_stay_below_them() -> None:
    below = replica("r", source=key("a"))
    planned = plan(replica("a"), replica("b"), below)
    assert names([each.instance for each in planned.candidates]) == ["a", "b"]
    assert all(step.instance != key("r") for step in planned.steps)


def test_steps_have_exact_statements_in_order() -> None:
    planned = plan(replica("a"), replica("b", 90))
    steps = [(step.number, step.kind, step.instance and step.instance.host, step.statements) for step in planned.steps]
    assert steps == [
        (1, StepKind.FENCE, "p", ("SET GLOBAL super_read_only = ON", "KILL each session of an application")),
        (2, StepKind.FREEZE, "a", ("STOP REPLICA IO_THREAD",)),
        (3, StepKind.FREEZE, "b", ("STOP REPLICA IO_THREAD",)),
        (4, StepKind.CHOOSE, None, ()),
        (
            5,
            StepKind.DRAIN,
            "a",
            ("START REPLICA SQL_THREAD",),
        ),
        (
            6,
            StepKind.PROMOTE,
            "a",
            (
                "STOP REPLICA",
                "RESET REPLICA ALL FOR CHANNEL ''",
                "SET GLOBAL read_only = OFF",
            ),
        ),
        (7, StepKind.PUBLISH, "a", ()),
        (
            8,
            StepKind.REPOINT,
            "b",
            (
                "STOP REPLICA",
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'a', SOURCE_PORT = 3306, SOURCE_AUTO_POSITION = 1 "
                "FOR CHANNEL ''",
                "START REPLICA",
            ),
        ),
        (9, StepKind.VERIFY, None, ()),
    ]


def test_delay_is_taken_off_without_losing_the_relay_log() -> None:
    planned = plan(replica("a", sql_delay=timedelta(seconds=5)))
    drain = next(step for step in planned.steps if step.kind is StepKind.DRAIN)
    assert drain.statements == (
        "STOP REPLICA SQL_THREAD",
        "START REPLICA IO_THREAD",
        "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0 FOR CHANNEL ''",
        "STOP REPLICA IO_THREAD",
        "START REPLICA SQL_THREAD",
    )


def test_heartbeat_period_is_kept_when_a_replica_is_repointed() -> None:
    planned = plan(replica("a"), replica("b", 90, heartbeat_period=timedelta(milliseconds=500)))
    repoint = next(step for step in planned.steps if step.kind is StepKind.REPOINT)
    assert "SOURCE_HEARTBEAT_PERIOD = 0.500" in repoint.statements[1]


def test_semi_synchronous_primary_is_fenced_without_waiting_for_its_commits() -> None:
    failed = replace(primary(), semi_sync=SemiSync(source_enabled=True))
    assert make_read_only(failed) == (
        "SET GLOBAL offline_mode = ON",
        "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
        "SET GLOBAL super_read_only = ON",
        "SET GLOBAL offline_mode = OFF",
    )
