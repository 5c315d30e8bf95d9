"""Each check of a cluster's weaknesses: what raises it, what does not, and that it is the only one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.analysis.advice import CHECKS, AdviceKind, advise
from services.shared.topology.channel import ChannelSettings, ReplicationChannel
from services.shared.topology.group import GroupMemberRole, GroupState
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor, SemiSync
from tests.unit.analysis.builders import CLUSTER, PRIMARY, State, a_primary, a_replica, with_channel

A = AdviceKind
P = a_primary()
R1, R2 = a_replica(1), a_replica(2)
FORMER = replace(a_primary(), key=InstanceKey("db9", 3306), server_uuid="uuid-9")
MINE, THEIRS = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
ERRANT = replace(R1, flavor=Flavor.MYSQL, errant_gtid_set=f"{THEIRS}:1-3")
EXACT = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=1)
MULTI = GroupState("g", single_primary=False, role=GroupMemberRole.PRIMARY)


def advice(*instances: Instance, epoch: int = 1) -> dict[AdviceKind, list[str]]:
    """Return what is advised, hosts by kind."""
    found: dict[AdviceKind, list[str]] = {}
    for each in advise(replace(CLUSTER, epoch=epoch), instances):
        assert each.seen
        assert each.remedy
        assert each.cluster_id == "c1"
        found.setdefault(each.kind, []).append(each.instance.host)
    return found


def executed(instance: Instance, text: str) -> Instance:
    """Return an instance with an executed set."""
    return replace(instance, flavor=Flavor.MYSQL, executed_gtid_set=text)


def waits(**changes: Any) -> Instance:
    """Return a primary whose commits wait."""
    return a_primary(semi_sync=replace(EXACT, **changes))


CASES = [
    pytest.param((P, R1, R2), {}, id="healthy"),
    pytest.param((P, replace(R1, read_only=False), R2), {A.SEVERAL_WRITABLE: ["db1"]}, id="two-writable"),
    pytest.param((P, replace(R1, read_only=None), R2), {}, id="not-known-to-be-writable"),
    pytest.param((replace(P, group=MULTI), replace(FORMER, group=MULTI)), {}, id="several-primaries-of-a-group"),
    pytest.param(
        (P, R1, R2, FORMER),
        {A.SEVERAL_WRITABLE: ["db9"], A.FORMER_PRIMARY_WRITABLE: ["db9"]},
        id="former-primary-came-back",
    ),
    pytest.param((P, R1, R2, replace(FORMER, read_only=True)), {}, id="former-primary-is-read-only"),
    pytest.param(
        (P, replace(ERRANT, errant_gtid_set=f"{THEIRS}:1-3"), R2),
        {A.ERRANT_TRANSACTIONS: ["db1"], A.REPLICA_UNFIT: ["db1"]},
        id="errant",
    ),
    pytest.param((executed(P, f"{THEIRS}:1-3"), ERRANT, R2), {A.REPLICA_UNFIT: ["db1"]}, id="errant-no-more"),
    pytest.param(
        (executed(P, f"{THEIRS}:1-2"), ERRANT, R2),
        {A.ERRANT_TRANSACTIONS: ["db1"], A.REPLICA_UNFIT: ["db1"]},
        id="errant-in-part",
    ),
    pytest.param(
        (replace(P, server_uuid=THEIRS), ERRANT, R2), {A.REPLICA_UNFIT: ["db1"]}, id="an-ancestors-own-are-on-the-way"
    ),
    pytest.param((P, replace(R1, server_uuid="uuid-2"), R2), {A.SEEN_TWICE: ["db2"]}, id="one-server-twice"),
    pytest.param((P, replace(R1, server_uuid=""), replace(R2, server_uuid="")), {}, id="unknown-uuids-are-not-equal"),
    pytest.param(
        (P, replace(R1, log_bin=False)), {A.NO_FIT_REPLICA: ["db0"], A.REPLICA_UNFIT: ["db1"]}, id="none-is-fit"
    ),
    pytest.param((waits(), R1, R2), {A.SEMI_SYNC_WITHOUT_SPARE: ["db0"]}, id="no-spare"),
    pytest.param((waits(clients=2), R1, R2), {}, id="a-spare"),
    pytest.param((waits(source_status=None), R1, R2), {}, id="semi-sync-not-known"),
    pytest.param((waits(wait_for_replica_count=0, clients=0), R1, R2), {}, id="waits-for-nobody"),
    pytest.param(
        (P, with_channel(R1, heartbeat_period=timedelta(seconds=30)), R2), {A.SLOW_TIMERS: ["db1"]}, id="slow-heartbeat"
    ),
    pytest.param((P, with_channel(R1, heartbeat_period=timedelta()), R2), {A.SLOW_TIMERS: ["db1"]}, id="no-heartbeat"),
    pytest.param((P, with_channel(R1, heartbeat_period=timedelta(seconds=5)), R2), {}, id="quick-enough"),
    pytest.param(
        (P, with_channel(R1, settings=ChannelSettings(connect_retry=timedelta(seconds=60))), R2),
        {A.SLOW_TIMERS: ["db1"]},
        id="slow-retry",
    ),
    *(
        pytest.param((replace(P, problems=(problem,)), R1, R2), {A.GREY_FAILURE: ["db0"]}, id=problem.value)
        for problem in (
            Problem.WRITE_BLOCKED,
            Problem.DISK_FULL,
            Problem.CONNECTIONS_EXHAUSTED,
            Problem.LATENCY_RISING,
        )
    ),
    pytest.param((a_primary(answers=False), R1, R2), {A.PARTIAL_PARTITION: ["db0"]}, id="only-replicas-hear-it"),
    pytest.param((a_primary(answers=False), a_replica(1, State.FAILING), a_replica(2, State.STOPPED)), {}, id="dead"),
]


@pytest.mark.parametrize(("instances", "wanted"), CASES)
def test_a_cluster_is_advised(instances: tuple[Instance, ...], wanted: dict[AdviceKind, list[str]]) -> None:
    assert advice(*instances) == wanted
    assert advice(*reversed(instances)) == wanted


def test_every_kind_has_a_check_and_a_case() -> None:
    assert {kind for kind, _ in CHECKS} == set(A)
    raised = {kind for case in CASES for kind in case.values[1]}  # type: ignore[union-attr]
    assert raised == set(A)


@pytest.mark.parametrize("place", range(len(CHECKS)))
def test_a_table_without_the_check_advises_otherwise(place: int) -> None:
    rest = [*CHECKS[:place], *CHECKS[place + 1 :]]
    cluster = replace(CLUSTER, epoch=1)
    topologies = [case.values[0] for case in CASES]
    assert any(advise(cluster, each, rest) != advise(cluster, each) for each in topologies)  # type: ignore[arg-type]


def test_nobody_is_a_former_primary_before_one_was_published() -> None:
    assert advice(P, R1, R2, FORMER, epoch=0) == {A.SEVERAL_WRITABLE: ["db9"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"reading": Reading()},
        {"log_bin": None},
        {"log_replica_updates": False},
        {"promotion_rule": PromotionRule.MUST_NOT},
        {"errant_gtid_set": f"{MINE}:1"},
        {"channels": (replace(R1.channels[0], gtid_positioning=False),)},
        {"channels": (replace(R1.channels[0], sql_errno=1062),)},
        {"channels": (*R1.channels, ReplicationChannel(R2.key, gtid_positioning=True))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_replica_is_unfit_for_each_reason(changes: dict[str, Any]) -> None:
    assert advice(P, replace(R1, **changes), R2).get(A.REPLICA_UNFIT) == ["db1"]


def test_an_unknown_ancestor_proves_nothing_errant() -> None:
    below = replace(ERRANT, channels=(ReplicationChannel(InstanceKey("nowhere", 3306)),))
    assert A.ERRANT_TRANSACTIONS not in advice(P, below)
    ring = replace(P, channels=(ReplicationChannel(ERRANT.key),))
    assert advice(ring, ERRANT)[A.ERRANT_TRANSACTIONS] == ["db1"]


def test_the_primary_itself_is_not_told_of_other_writers() -> None:
    assert PRIMARY.host not in advice(P, replace(R1, read_only=False)).get(A.SEVERAL_WRITABLE, [])
