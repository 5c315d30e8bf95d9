"""Co-primaries, semi-synchronous replicas, read-only primaries, switchovers: what is planned, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.recovery.model import FailoverPlan, LossState, PlanRefusal, RecoveryKind, Step, StepKind, Verdict
from services.recovery.planning import kind_if_dead
from services.recovery.policy import PlanningPolicy
from services.recovery.situation import Situation
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.operators import Downtime, PromotionRule
from services.shared.topology.server import SemiSync
from tests.support.recovery.topologies import (
    NOW,
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
    snapshot,
)


def first(made: FailoverPlan, kind: StepKind) -> Step:
    return next(step for step in made.steps if step.kind is kind)


# Two primaries that read from each other: p is dead, o is the other.


def pair(other_facts: dict[str, Any] | None = None) -> tuple[Instance, Instance]:
    other = replica("o", **{"read_only": False, "super_read_only": False, "co_primary": True, **(other_facts or {})})
    back = replica("p", source=key("o")).channels
    return primary(channels=back, co_primary=True), other


def co(*instances: Instance, **facts: Any) -> FailoverPlan:
    return planned(*instances, kind=RecoveryKind.DEAD_CO_PRIMARY, **facts)


def test_other_primary_takes_over_even_from_who_has_more() -> None:
    dead, other = pair({"received": 90})
    made = co(dead, other, replica("a", 100))
    assert (made.chosen, made.interim) == (key("o"), key("a"))
    assert hosts(made, StepKind.REPOINT) == ["a"]
    assert first(made, StepKind.PROMOTE).statements == ("SET GLOBAL read_only = OFF", "START REPLICA IO_THREAD")


def test_other_primary_that_cannot_be_promoted_leaves_nobody() -> None:
    dead, other = pair({"received": 90, "promotion_rule": PromotionRule.MUST_NOT})
    made = co(dead, other, replica("a"))
    assert (made.chosen, made.refusal) == (None, PlanRefusal.OTHER_CO_PRIMARY_NOT_PROMOTED)
    dead, other = pair({"reading": UNREADABLE})
    assert co(dead, other, replica("a")).refusal is PlanRefusal.OTHER_CO_PRIMARY_NOT_PROMOTED


def test_best_replica_is_promoted_beside_a_read_only_primary_where_policy_allows_it() -> None:
    free = PlanningPolicy(co_primary_must_promote_other=False)
    dead, other = pair({"received": 90, "read_only": True})
    made = co(dead, other, replica("a", 100), policy=free)
    assert made.chosen == key("a")
    assert "RESET REPLICA ALL" in " ".join(first(made, StepKind.PROMOTE).statements), "the ring is broken"
    dead, other = pair({"received": 90, "read_only": None})
    assert co(dead, other, replica("a", 100), policy=free).chosen == key("o"), "unknown counts as writable"


def test_place_vetoes_no_co_primary() -> None:
    dead, other = pair({"data_center": "west"})
    assert co(dead, other, policy=PlanningPolicy(prevent_cross_data_center=True)).chosen == key("o")
    assert co(primary(), replica("a")).refusal is PlanRefusal.PRIMARY_NOT_FOUND


KINDS = [
    pytest.param(pair(), RecoveryKind.DEAD_CO_PRIMARY, id="one of two"),
    pytest.param((primary(), replica("a")), RecoveryKind.DEAD_PRIMARY, id="primary"),
    pytest.param(
        (replica("p", source=key("top")), replica("a")), RecoveryKind.DEAD_INTERMEDIATE, id="replica with replicas"
    ),
]


@pytest.mark.parametrize(("instances", "kind"), KINDS)
def test_place_in_the_topology_says_what_its_death_is(instances: tuple[Instance, ...], kind: RecoveryKind) -> None:
    assert kind_if_dead(Situation(snapshot(*instances), P, NOW)) is kind


# Semi-synchronous replication.

LOCKED, TOO_MANY = RecoveryKind.LOCKED_SEMI_SYNC, RecoveryKind.TOO_MANY_SEMI_SYNC_REPLICAS
ENOUGH = PlanningPolicy(recover_locked_semi_sync=True)
EXACT = PlanningPolicy(enforce_exact_semi_sync_replicas=True)


def waiting(count: int, clients: int) -> Instance:
    semi_sync = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=count, clients=clients)
    return primary(reading=READ, semi_sync=semi_sync)


def acker(name: str, enabled: bool | None, priority: int | None = None, **facts: Any) -> Instance:
    semi_sync = SemiSync(replica_enabled=enabled, priority=priority, source_enabled=facts.pop("source_enabled", None))
    return replica(name, io_state=ThreadState.ON, semi_sync=semi_sync, **facts)


def switched(made: FailoverPlan) -> list[str]:
    return [
        f"{step.instance.host} {'on' if 'ON' in next(s for s in step.statements if 'replica_' in s) else 'off'}"
        for step in made.steps
        if step.kind is StepKind.SEMI_SYNC and step.instance is not None
    ]


SWITCHES = [
    pytest.param(waiting(1, 0), [acker("a", False), acker("b", False)], ENOUGH, ["a on"], id="enough: as many as lack"),
    pytest.param(
        waiting(2, 1), [acker("a", True), acker("b", False), acker("c", False)], ENOUGH, ["b on"], id="one more"
    ),
    pytest.param(waiting(1, 2), [acker("a", False)], ENOUGH, [], id="enough already: nobody is switched on"),
    pytest.param(waiting(1, 0), [acker("a", False, 2), acker("b", False, 1)], ENOUGH, ["b on"], id="by priority"),
    pytest.param(waiting(1, 0), [acker("a", False, 0), acker("b", False, 3)], ENOUGH, ["b on"], id="0 is never"),
    pytest.param(
        waiting(1, 0),
        [acker("a", False), acker("b", False, promotion_rule=PromotionRule.PREFER)],
        ENOUGH,
        ["b on"],
        id="then by promotion rule",
    ),
    pytest.param(waiting(1, 0), [acker("a", None), acker("b", False)], ENOUGH, ["b on"], id="no plugin"),
    pytest.param(
        waiting(1, 0), [acker("a", False, reading=UNREADABLE), acker("b", False)], ENOUGH, ["b on"], id="unreachable"
    ),
    pytest.param(
        waiting(1, 2), [acker("a", True), acker("b", True)], EXACT, ["b off"], id="exact: the surplus is switched off"
    ),
    pytest.param(
        waiting(1, 1), [acker("a", True, 2), acker("b", False, 1)], EXACT, ["b on", "a off"], id="exact: on before off"
    ),
    pytest.param(waiting(1, 1), [acker("a", True, 0), acker("b", True, 1)], EXACT, ["a off"], id="exact: never is off"),
]


@pytest.mark.parametrize(("source", "replicas", "policy", "expected"), SWITCHES)
def test_which_replicas_acknowledge(
    source: Instance, replicas: list[Instance], policy: PlanningPolicy, expected: list[str]
) -> None:
    for kind in (LOCKED, TOO_MANY) if policy is EXACT else (LOCKED,):
        made = planned(source, *replicas, kind=kind, policy=policy)
        assert switched(made) == expected
        assert (made.chosen == P) is bool(expected)


def test_semi_sync_options_that_are_off_are_named() -> None:
    servers = (waiting(1, 0), acker("a", False))
    for kind, policy in ((LOCKED, PlanningPolicy()), (TOO_MANY, ENOUGH)):
        made = planned(*servers, kind=kind, policy=policy)
        assert made.refusal is PlanRefusal.NOT_ENABLED
        assert "enforce_exact_semi_sync_replicas" in made.refusal_reason


def test_replica_that_acknowledges_does_not_wait_itself() -> None:
    made = planned(waiting(1, 0), acker("a", False, source_enabled=True), kind=LOCKED, policy=ENOUGH)
    assert made.steps[0].statements == (
        "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
        "SET GLOBAL rpl_semi_sync_replica_enabled = ON",
        "STOP REPLICA IO_THREAD",
        "START REPLICA IO_THREAD",
    )


# A read-only primary.

WRITABLE = PlanningPolicy(recover_read_only_primary=True)
READ_ONLY = [
    pytest.param({}, WRITABLE, None, id="made writable"),
    pytest.param({}, PlanningPolicy(), PlanRefusal.NOT_ENABLED, id="off"),
    pytest.param({"read_only": False}, WRITABLE, PlanRefusal.NOTHING_TO_DO, id="takes writes"),
    pytest.param({"reading": UNREADABLE}, WRITABLE, PlanRefusal.PRIMARY_NOT_HEALTHY, id="does not answer"),
    pytest.param({"channels": replica("x").channels}, WRITABLE, PlanRefusal.PRIMARY_NOT_FOUND, id="a replica"),
]


@pytest.mark.parametrize(("facts", "policy", "refusal"), READ_ONLY)
def test_read_only_primary(facts: dict[str, Any], policy: PlanningPolicy, refusal: PlanRefusal | None) -> None:
    server = primary(**{"read_only": True, "reading": READ, **facts})
    made = planned(server, kind=RecoveryKind.READ_ONLY_PRIMARY, policy=policy)
    assert made.refusal is refusal
    assert [step.statements for step in made.steps][:1] == ([] if refusal else [("SET GLOBAL read_only = OFF",)])


# Switchover.


def healthy(name: str, received: int = 100, **facts: Any) -> Instance:
    return replica(name, received, **{"io_state": ThreadState.ON, "lag": timedelta(), **facts})


def switchover(*instances: Instance, **facts: Any) -> FailoverPlan:
    live = facts.pop("primary", primary(reading=READ))
    return planned(live, *instances, kind=RecoveryKind.SWITCHOVER, **facts)


def test_switchover_blocks_catches_up_promotes_and_re_points_everybody() -> None:
    made = switchover(healthy("a"), healthy("b"), target=key("b"))
    assert (made.chosen, made.refusal, made.loss.state) == (key("b"), None, LossState.PROVEN_NONE)
    assert [step.kind.value for step in made.steps] == [
        "preflight", "block", "catch_up", "promote", "publish", "repoint", "repoint", "verify",
    ]  # fmt: skip
    assert hosts(made, StepKind.BLOCK) == ["p"]
    assert hosts(made, StepKind.REPOINT) == ["a", "p"]
    assert entry(made, "b").verdict is Verdict.CHOSEN
    assert made.estimated_time is not None


TARGETS = [
    pytest.param([healthy("a")], {}, "a", None, id="the only replica"),
    pytest.param([], {}, None, PlanRefusal.NO_REPLICAS, id="no replicas"),
    pytest.param([healthy("a"), healthy("b")], {}, None, PlanRefusal.TARGET_NOT_INDICATED, id="which one?"),
    pytest.param([healthy("a", 90), healthy("b")], {"any_target": True}, "b", None, id="the best"),
    pytest.param(
        [healthy("a", log_bin=False), healthy("b", log_bin=False)],
        {"any_target": True},
        None,
        PlanRefusal.TARGET_NOT_DEDUCIBLE,
        id="no last resort for a healthy primary",
    ),
    pytest.param(
        [healthy("a")], {"target": key("z")}, None, PlanRefusal.TARGET_NOT_DIRECT_REPLICA, id="not a direct replica"
    ),
    pytest.param(
        [healthy("a", promotion_rule=PromotionRule.MUST_NOT)], {}, None, PlanRefusal.TARGET_BANNED, id="banned"
    ),
    pytest.param([healthy("a", lag=timedelta(seconds=21))], {}, None, PlanRefusal.TARGET_LAGGING, id="lags"),
    pytest.param([healthy("a", lag=timedelta(seconds=20))], {}, "a", None, id="lags as much as it may"),
    pytest.param(
        [healthy("a", lag=timedelta(seconds=65), sql_delay=timedelta(seconds=60))], {}, "a", None, id="delay is no lag"
    ),
    pytest.param([healthy("a", lag=None)], {}, "a", None, id="unknown lag, nothing to apply"),
    pytest.param([healthy("a", lag=None, executed=9)], {}, None, PlanRefusal.TARGET_LAGGING, id="unknown lag, backlog"),
    pytest.param(
        [healthy("a", sql_state=ThreadState.OFF)], {}, None, PlanRefusal.TARGET_NOT_PROMOTABLE, id="does not replicate"
    ),
    pytest.param(
        [healthy("a"), healthy("b", version="8.0.40")],
        {"target": key("a")},
        None,
        PlanRefusal.SIBLINGS_NOT_RELOCATED,
        id="a sibling cannot follow",
    ),
    pytest.param(
        [healthy("a"), healthy("b", version="8.0.40", downtime=Downtime("me", "old", NOW))],
        {"target": key("a")},
        "a",
        None,
        id="unless it is in downtime",
    ),
    pytest.param([healthy("a", 90), healthy("b", 95)], {"target": key("a")}, "a", None, id="siblings may be ahead"),
    pytest.param(
        [healthy("a", region="us")],
        {"policy": PlanningPolicy(prevent_cross_region=True)},
        None,
        PlanRefusal.VETO,
        id="place",
    ),
    pytest.param(
        [healthy("a")], {"primary": primary()}, None, PlanRefusal.PRIMARY_NOT_HEALTHY, id="the primary is dead"
    ),
    pytest.param(
        [healthy("a")],
        {"primary": primary(reading=READ, read_only=True)},
        None,
        PlanRefusal.PRIMARY_READ_ONLY,
        id="the primary is read-only",
    ),
]


@pytest.mark.parametrize(("replicas", "facts", "chosen", "refusal"), TARGETS)
def test_target_of_a_switchover(
    replicas: list[Instance], facts: dict[str, Any], chosen: str | None, refusal: PlanRefusal | None
) -> None:
    made = switchover(*replicas, **facts)
    assert made.refusal is refusal
    assert made.chosen == (key(chosen) if chosen else None)
    assert bool(made.steps) is (refusal is None)


def test_former_primary_that_cannot_follow_is_lost() -> None:
    old = replace(primary(reading=READ), version="8.0.40", executed_gtid_set=gtids(100))
    made = switchover(healthy("a"), primary=old)
    assert made.chosen == key("a")
    assert names(made.lost_replicas) == ["p"]
