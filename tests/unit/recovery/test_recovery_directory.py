"""Which primaries are published as found, and which former ones are fenced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.recovery.directory import found_primaries, returned_primaries
from services.recovery.model import FormerPrimary, Primary
from services.shared.topology.instance import Instance, ThreadState
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
