"""What a failover says about lost transactions: proven, bounded, or unknown, and never more than is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.recovery.model import LossState
from services.recovery.planner import plan_failover
from services.recovery.situation import Situation
from services.shared.mysql.gtid import MysqlGtidSet
from services.shared.topology.instance import Instance
from services.shared.topology.server import SemiSync
from tests.support.recovery.topologies import (
    ACKER,
    NOW,
    SEMI_SYNC,
    UNREADABLE,
    P,
    gtids,
    mariadb_primary,
    mariadb_replica,
    primary,
    replica,
    snapshot,
    uuid,
)


def loss(failed: Instance, *replicas: Instance, fenced: str | None = None) -> Any:
    read = None if fenced is None else MysqlGtidSet.parse(fenced)
    return plan_failover(Situation(snapshot(failed, *replicas), P, NOW, fenced=read)).loss


def test_asynchronous_replication_leaves_the_loss_unknown_even_when_nothing_seems_missing() -> None:
    found = loss(primary(), replica("a"), replica("b"))
    assert (found.state, found.gtid_set) == (LossState.UNKNOWN, "")
    assert "asynchronous" in found.proof


def test_unknown_loss_names_what_is_known_to_be_missing() -> None:
    found = loss(primary(executed_gtid_set=gtids(120)), replica("a", 110))
    assert (found.state, found.gtid_set) == (LossState.UNKNOWN, f"{uuid(1)}:111-120")


def test_semi_sync_with_all_ackers_read_proves_that_nothing_is_lost() -> None:
    found = loss(primary(semi_sync=SEMI_SYNC), replica("a", 105, semi_sync=ACKER), replica("b", 103, semi_sync=ACKER))
    assert (found.state, found.gtid_set) == (LossState.PROVEN_NONE, "")


def test_semi_sync_with_too_few_unread_ackers_to_matter_is_a_proof() -> None:
    two = replace(SEMI_SYNC, wait_for_replica_count=2)
    found = loss(
        primary(semi_sync=two), replica("a", semi_sync=ACKER), replica("b", reading=UNREADABLE, semi_sync=ACKER)
    )
    assert found.state is LossState.PROVEN_NONE


NOT_PROVEN = [
    pytest.param({"source_status": False}, {}, id="fell back before it was last seen"),
    pytest.param({"source_status": None}, {}, id="status not read"),
    pytest.param({"wait_for_replica_count": 0}, {}, id="waits for nobody"),
    pytest.param({"timeout": timedelta(milliseconds=900)}, {}, id="may have fallen back since"),
    pytest.param({"timeout": None}, {}, id="timeout not read"),
    pytest.param({"clients": None}, {}, id="clients not read"),
    pytest.param({"clients": 3}, {}, id="an acker nobody knows"),
    pytest.param({}, {"reading": UNREADABLE}, id="an acker cannot be read"),
    pytest.param({}, {"uptime": timedelta(milliseconds=500)}, id="an acker restarted since"),
    pytest.param({}, {"uptime": None}, id="an acker may have restarted since"),
]


@pytest.mark.parametrize(("source", "acker"), NOT_PROVEN)
def test_semi_sync_is_no_proof_when(source: dict[str, Any], acker: dict[str, Any]) -> None:
    failed = primary(semi_sync=replace(SEMI_SYNC, **source))
    second = replica("b", semi_sync=ACKER, **acker)
    assert loss(failed, replica("a", semi_sync=ACKER), second).state is LossState.UNKNOWN


def test_asynchronous_replica_proves_nothing() -> None:
    found = loss(primary(semi_sync=SEMI_SYNC), replica("a"), replica("b", semi_sync=SemiSync(replica_enabled=False)))
    assert found.state is LossState.UNKNOWN


def test_acknowledged_transactions_that_the_successor_lacks_are_a_bound() -> None:
    ahead = replica("z", 120, semi_sync=ACKER, log_bin=False)
    found = loss(primary(semi_sync=SEMI_SYNC), replica("a", 110, semi_sync=ACKER), ahead)
    assert (found.state, found.gtid_set) == (LossState.BOUNDED, f"{uuid(1)}:111-120")


def test_what_was_committed_before_semi_sync_began_to_work_is_not_forgotten() -> None:
    failed = primary(semi_sync=SEMI_SYNC, executed_gtid_set=gtids(130))
    found = loss(failed, replica("a", 110, semi_sync=ACKER), replica("b", 110, semi_sync=ACKER))
    assert (found.state, found.gtid_set) == (LossState.BOUNDED, f"{uuid(1)}:111-130")


def test_fenced_primary_bounds_the_loss() -> None:
    found = loss(primary(), replica("a", 110), fenced=gtids(112))
    assert (found.state, found.gtid_set) == (LossState.BOUNDED, f"{uuid(1)}:111-112")


def test_fenced_primary_without_more_than_the_successor_proves_that_nothing_is_lost() -> None:
    assert loss(primary(), replica("a", 110), fenced=gtids(110)).state is LossState.PROVEN_NONE


def test_mariadb_waits_for_one_acknowledgement() -> None:
    semi_sync = replace(SEMI_SYNC, wait_for_replica_count=None)
    found = loss(
        mariadb_primary(semi_sync=semi_sync),
        mariadb_replica("a", 105, semi_sync=ACKER),
        mariadb_replica("b", 103, semi_sync=ACKER),
    )
    assert found.state is LossState.PROVEN_NONE


def test_nobody_to_promote_is_not_called_no_loss() -> None:
    assert loss(primary(semi_sync=SEMI_SYNC), replica("a", log_bin=False)).state is LossState.UNKNOWN
