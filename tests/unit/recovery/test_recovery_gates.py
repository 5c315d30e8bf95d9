"""What stands between a finding and an automatic recovery, in which order, and what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from services.recovery.gates import Circumstances, first_blocker
from services.recovery.model import (
    Blocker,
    Finding,
    Leadership,
    Policy,
    Record,
    Recovery,
    RecoveryKind,
    RecoveryState,
)
from tests.support.recovery.topologies import CLUSTER, NOW, P, key

FINDING: Final = Finding(
    CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", actionable=True, detect_time=NOW - timedelta(seconds=1)
)
LEADS: Final = Leadership("node1", "n1:50053", local=True)
FOLLOWS: Final = Leadership("node2", "n2:50053")
HOUR: Final = timedelta(hours=1)


def record(
    state: RecoveryState, closed_ago: timedelta | None = timedelta(minutes=5), log_index: int = 1, **facts: Any
) -> Record:
    recovery = Recovery(
        "r-1", RecoveryKind.DEAD_PRIMARY, CLUSTER, P, orchestrator_code="DeadMaster", state=state, successor=key("a")
    )
    closed = None if closed_ago is None else NOW - closed_ago
    return Record(replace(recovery, **facts), closed is None, 7, log_index, close_time=closed)


def ask(finding: Finding = FINDING, **facts: Any) -> Blocker | None:
    blocked = first_blocker(finding, seen(**facts))
    assert blocked is None or blocked.reason
    return blocked.blocker if blocked else None


def seen(**facts: Any) -> Circumstances:
    open_gates = Circumstances(LEADS, True, Policy.ACT, (), HOUR, NOW)
    return replace(open_gates, **facts)


def test_nothing_blocks_a_dead_primary_for_the_leader() -> None:
    assert ask() is None


RUNNING: Final = record(RecoveryState.RUNNING, None)
PROMOTED: Final = record(RecoveryState.SUCCEEDED)
FAILED: Final = record(RecoveryState.FAILED, timedelta(milliseconds=500), log_index=2)

BLOCKED = [
    pytest.param({}, {"leadership": FOLLOWS}, Blocker.NOT_LEADER, id="follower"),
    pytest.param({}, {"lease_live": False}, Blocker.NOT_LEADER, id="leader without lease"),
    pytest.param({}, {"leadership": Leadership()}, Blocker.NO_QUORUM, id="nobody leads"),
    pytest.param({}, {"policy": Policy.OBSERVE}, Blocker.POLICY, id="policy"),
    pytest.param({"downtimed": True}, {}, Blocker.DOWNTIME, id="downtime"),
    pytest.param({"actionable": False}, {}, Blocker.NOT_ACTIONABLE, id="not actionable"),
    pytest.param({"kind": "READ_ONLY_PRIMARY"}, {}, Blocker.NOT_ACTIONABLE, id="actionable without a recovery here"),
    pytest.param({}, {"records": (RUNNING,)}, Blocker.RECOVERY_OPEN, id="open recovery"),
    pytest.param({}, {"records": (PROMOTED,)}, Blocker.ANTI_FLAPPING, id="promoted a moment ago"),
    pytest.param({}, {"records": (FAILED,)}, Blocker.LAST_ATTEMPT_FAILED, id="last attempt failed"),
]


@pytest.mark.parametrize(("finding", "facts", "blocker"), BLOCKED)
def test_closed_gate_is_named(finding: dict[str, Any], facts: dict[str, Any], blocker: Blocker) -> None:
    assert ask(replace(FINDING, **finding), **facts) is blocker


def test_first_closed_gate_in_order_is_told() -> None:
    closed: list[tuple[str, Any, Blocker]] = [
        ("leadership", FOLLOWS, Blocker.NOT_LEADER),
        ("policy", Policy.OBSERVE, Blocker.POLICY),
    ]
    finding = replace(FINDING, downtimed=True, actionable=False)
    facts: dict[str, Any] = {"records": (RUNNING, PROMOTED, FAILED)}
    told = []
    for name, value, blocker in closed:
        told.append(ask(finding, **facts, **{n: v for n, v, _ in closed[closed.index((name, value, blocker)) :]}))
    told += [ask(finding, **facts), ask(replace(finding, downtimed=False), **facts), ask(**facts)]
    facts["records"] = (PROMOTED, FAILED)
    told.append(ask(**facts))
    assert told == [
        Blocker.NOT_LEADER,
        Blocker.POLICY,
        Blocker.DOWNTIME,
        Blocker.NOT_ACTIONABLE,
        Blocker.RECOVERY_OPEN,
        Blocker.ANTI_FLAPPING,
    ]


NOT_FLAPPING = [
    pytest.param(record(RecoveryState.SUCCEEDED, HOUR), id="the block period is over"),
    pytest.param(record(RecoveryState.SUCCEEDED, cluster_id="other", successor=key("z")), id="another cluster"),
    pytest.param(
        record(RecoveryState.SUCCEEDED, kind=RecoveryKind.FORMER_PRIMARY), id="a fenced former primary is no promotion"
    ),
    pytest.param(
        record(RecoveryState.FAILED, timedelta(minutes=5), failed=key("q")), id="a failed attempt is no promotion"
    ),
]


@pytest.mark.parametrize("earlier", NOT_FLAPPING)
def test_anti_flapping_counts_completed_promotions_only(earlier: Record) -> None:
    assert ask(records=(earlier,)) is None


def test_instance_that_was_promoted_a_moment_ago_is_protected_in_any_cluster() -> None:
    assert ask(records=(record(RecoveryState.SUCCEEDED, cluster_id="other", successor=P),)) is Blocker.ANTI_FLAPPING


def test_failed_attempt_is_repeated_when_the_finding_changed() -> None:
    assert ask(replace(FINDING, orchestrator_code="DeadMasterAndSomeReplicas"), records=(FAILED,)) is None
    assert ask(replace(FINDING, detect_time=NOW), records=(FAILED,)) is None


def test_newest_attempt_decides() -> None:
    later = record(RecoveryState.FAILED, timedelta(milliseconds=100), log_index=9, orchestrator_code="Other")
    assert ask(records=(FAILED, later)) is None


def test_follower_is_told_whom_to_ask() -> None:
    blocked = first_blocker(FINDING, seen(leadership=FOLLOWS))
    assert blocked is not None
    assert "node2 leads at n2:50053" in blocked.reason
