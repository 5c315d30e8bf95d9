"""Which primaries are published as found, and which former ones are fenced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.recovery.directory import found_primaries, returned_primaries, why_superseded
from services.recovery.model import Finding, FormerPrimary, Primary
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from tests.support.recovery.topologies import CLUSTER, READ, UNREADABLE, P, key, primary, replica, snapshot, uuid

HEALTHY = primary(reading=READ)
REPLICATING: dict[str, Any] = {"io_state": ThreadState.ON}


def found(*instances: Instance, known: tuple[str, ...] = (), busy: tuple[str, ...] = ()) -> list[str]:
    return [each.key.host for _, each in found_primaries(snapshot(*instances), known, busy)]


def test_only_writable_primary_with_a_replicating_replica_is_published() -> None:
    assert found(HEALTHY, replica("a", **REPLICATING)) == ["p"]


NOT_FOUND = [
    pytest.param((HEALTHY,), id="nobody replicates from it"),
    pytest.param((HEALTHY, replica("a")), id="its replica does not replicate"),
    pytest.param((replace(HEALTHY, read_only=True), replica("a", **REPLICATING)), id="it is read-only"),
    pytest.param((replace(HEALTHY, read_only=None), replica("a", **REPLICATING)), id="whether it is was not read"),
    pytest.param((replace(HEALTHY, reading=UNREADABLE), replica("a", **REPLICATING)), id="it does not answer"),
    pytest.param(
        (HEALTHY, replica("a", **REPLICATING), primary(key=key("q"), server_uuid=uuid(9), reading=READ)),
        id="there are two",
    ),
]


@pytest.mark.parametrize("instances", NOT_FOUND)
def test_primary_is_not_published_when(instances: tuple[Instance, ...]) -> None:
    assert found(*instances) == []


def test_known_and_busy_clusters_are_left_alone() -> None:
    healthy = (HEALTHY, replica("a", **REPLICATING))
    assert found(*healthy, known=(CLUSTER,)) == []
    assert found(*healthy, busy=(CLUSTER,)) == []


A = replica("a", channels=(), read_only=False)
ENTRY = Primary(CLUSTER, "shop", key("a"), A.server_uuid, 2, (FormerPrimary(P, uuid(1), 1),))


def returned(*instances: Instance, entry: Primary = ENTRY) -> list[str]:
    return [each.key.host for _, each in returned_primaries(snapshot(*instances), {CLUSTER: entry})]


def test_former_primary_that_takes_writes_beside_the_present_one_is_named() -> None:
    assert returned(HEALTHY, A) == ["p"]


LEFT_ALONE = [
    pytest.param(replace(HEALTHY, read_only=True), A, id="it is read-only already"),
    pytest.param(replace(HEALTHY, reading=UNREADABLE), A, id="it does not answer"),
    pytest.param(replace(HEALTHY, server_uuid=uuid(77)), A, id="another server answers at its endpoint"),
    pytest.param(HEALTHY, replace(A, read_only=True), id="the present primary takes no writes: the role was moved"),
    pytest.param(HEALTHY, replace(A, reading=UNREADABLE), id="the present primary does not answer"),
    pytest.param(replace(HEALTHY, channels=replica("x", source=key("a")).channels), A, id="it replicates"),
]


@pytest.mark.parametrize(("former", "present"), LEFT_ALONE)
def test_former_primary_is_left_alone_when(former: Instance, present: Instance) -> None:
    assert returned(former, present) == []


def test_present_primary_is_never_taken_for_a_former_one() -> None:
    again = replace(ENTRY, former=(FormerPrimary(key("a"), A.server_uuid, 1),))
    assert returned(HEALTHY, A, entry=again) == []


def superseded(instance: Instance, *others: Instance, entry: Primary = ENTRY) -> str:
    finding = Finding(CLUSTER, "shop", instance.key, "DEAD_PRIMARY", "DeadMaster", True, instance.server_uuid)
    return why_superseded(finding, snapshot(instance, *others), {CLUSTER: entry})


def test_dead_former_primary_with_lost_replicas_is_not_replaced_a_second_time() -> None:
    assert "is a former primary: a:3306 took over in epoch 2" in superseded(primary(), A)
    assert "former primary" in superseded(primary(), replace(A, reading=UNREADABLE))


def test_instance_beside_a_primary_that_takes_writes_is_not_replaced() -> None:
    assert "takes writes" in superseded(primary(key=key("q"), server_uuid=uuid(9)), A)


MAY_BE_REPLACED = [
    pytest.param(replace(A, reading=UNREADABLE), (), id="the directory names it"),
    pytest.param(
        primary(key=key("q"), server_uuid=uuid(9)), (replace(A, read_only=True),), id="the entry is out of date"
    ),
    pytest.param(primary(key=key("q"), server_uuid=uuid(9)), (), id="the entry names nobody we know"),
    pytest.param(primary(), (replica("a"),), id="the directory's primary replicates from it: moved back by hand"),
]


@pytest.mark.parametrize(("instance", "others"), MAY_BE_REPLACED)
def test_dead_primary_may_be_replaced_when(instance: Instance, others: tuple[Instance, ...]) -> None:
    assert superseded(instance, *others) == ""


def test_cluster_that_the_directory_does_not_know_has_no_former_primary() -> None:
    finding = Finding(CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", True, uuid(1))
    assert why_superseded(finding, snapshot(primary()), {}) == ""
