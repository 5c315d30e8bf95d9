"""Policies: what contradicts itself is refused when it is set, with what holds together with it in view."""

from __future__ import annotations

from typing import Any

import pytest

from services.consensus.state.registry.commands import DeletePolicy, EndDue, SetPolicy
from services.consensus.state.registry.policy import LossRule, Mode, Policy, WithoutObservers
from services.consensus.state.registry_errors import Contradiction
from tests.support.machine_script import Script, origin

FLEET, SHOP, DB1 = "fleet", "cluster:c1", "instance:db1:3306"
_SILENT: dict[str, Any] = {
    "mode": "",
    "loss": "",
    "max_lost_transactions": None,
    "fence_required": None,
    "min_observers": None,
    "without_observers": "",
    "block_period_ms": None,
    "span_ms": None,
}


@pytest.fixture
def script() -> Script:
    """A blank machine."""
    return Script()


def policy(scope: str, **said: Any) -> SetPolicy:
    """Return a command with a request id of its own."""
    request_id = f"{scope}{sorted(said.items())}"
    return SetPolicy(origin=origin(request_id), scope=scope, **{**_SILENT, **said})


@pytest.mark.parametrize(
    ("command", "field"),
    [
        pytest.param(policy(SHOP, loss="bounded"), "max_lost_transactions", id="bounded-without-a-bound"),
        pytest.param(
            policy(SHOP, loss="lossless", max_lost_transactions=1), "max_lost_transactions", id="lossless-with-a-bound"
        ),
        pytest.param(policy(SHOP, max_lost_transactions=1), "max_lost_transactions", id="bound-without-a-rule"),
        pytest.param(policy(SHOP, loss="lossless", fence_required=0), "fence_required", id="lossless-unfenced"),
        pytest.param(
            policy(SHOP, loss="availability_first", fence_required=1), "fence_required", id="availability-but-fenced"
        ),
        pytest.param(policy(SHOP, min_observers=2), "without_observers", id="observers-without-a-consequence"),
        pytest.param(policy(SHOP, without_observers="act"), "without_observers", id="consequence-without-observers"),
        pytest.param(policy(DB1, mode="act", fence_required=1), "scope", id="instance-decides-for-its-cluster"),
    ],
)
def test_policy_that_contradicts_itself_is_refused(script: Script, command: SetPolicy, field: str) -> None:
    refusal = script.apply(command)
    assert isinstance(refusal, Contradiction)
    assert refusal.field == field
    assert script.machine.registry.policy_revision == 0


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(policy(SHOP, mode="observe"), id="mode-alone"),
        pytest.param(policy(SHOP, loss="bounded", max_lost_transactions=0), id="bound-of-nothing"),
        pytest.param(policy(SHOP, loss="lossless", fence_required=1), id="lossless-fenced"),
        pytest.param(policy(SHOP, loss="availability_first", fence_required=0), id="availability-unfenced"),
        pytest.param(policy(SHOP, min_observers=2, without_observers="wait"), id="observers"),
        pytest.param(policy(DB1, mode="advise"), id="mode-of-an-instance"),
    ],
)
def test_policy_that_holds_together_is_kept(script: Script, command: SetPolicy) -> None:
    kept = script.apply(command)
    assert isinstance(kept, Policy)
    assert script.machine.registry.policies.get(command.scope) == kept
    assert script.machine.registry.policy_revision == script.index


def test_cluster_policy_that_contradicts_the_fleets_is_refused(script: Script) -> None:
    script.apply(policy(FLEET, fence_required=1))
    refusal = script.apply(policy(SHOP, loss="availability_first"))
    assert refusal == Contradiction(
        "fence_required", f"a primary nobody can fence would block what `availability_first` asks for ({SHOP})"
    )


def test_fleet_policy_that_contradicts_a_clusters_is_refused(script: Script) -> None:
    script.apply(policy(SHOP, loss="lossless"))
    refusal = script.apply(policy(FLEET, fence_required=0))
    assert isinstance(refusal, Contradiction)
    assert SHOP in refusal.problem


def test_fleet_policy_does_not_make_an_instance_policy_contradictory(script: Script) -> None:
    script.apply(policy(DB1, mode="observe"))
    assert isinstance(script.apply(policy(FLEET, loss="lossless", fence_required=1)), Policy)


def test_narrower_policy_says_what_differs(script: Script) -> None:
    fleet = script.apply(
        policy(
            FLEET,
            mode="advise",
            loss="bounded",
            max_lost_transactions=5,
            fence_required=1,
            min_observers=2,
            without_observers="wait",
            block_period_ms=60,
        )
    )
    shop = script.apply(policy(SHOP, mode="act", loss="lossless"))
    assert isinstance(fleet, Policy)
    assert isinstance(shop, Policy)
    merged = shop.over(fleet)
    assert (merged.scope, merged.mode, merged.loss, merged.max_lost_transactions) == (
        SHOP,
        Mode.ACT,
        LossRule.LOSSLESS,
        None,
    )
    assert (merged.fence_required, merged.min_observers, merged.without_observers, merged.block_period_ms) == (
        True,
        2,
        WithoutObservers.WAIT,
        60,
    )
    assert shop.over(None) == shop


def test_bound_comes_with_the_loss_rule_it_belongs_to(script: Script) -> None:
    script.apply(policy(FLEET, loss="bounded", max_lost_transactions=5))
    assert isinstance(script.apply(policy(SHOP, mode="act")), Policy)
    assert isinstance(script.apply(policy("cluster:c2", loss="lossless")), Policy)


def test_end_of_a_policy_changes_the_revision_and_survives_a_restart(script: Script) -> None:
    script.apply(policy(FLEET, mode="act", span_ms=500), stamp_ms=1_000)
    script.apply(EndDue(), stamp_ms=1_500)
    assert script.machine.registry.policies.all() == ()
    assert script.machine.registry.policy_revision == script.index
    assert script.restarted().machine.registry.policy_revision == script.index


def test_deletion_of_a_policy_changes_the_revision(script: Script) -> None:
    script.apply(policy(FLEET, mode="act"))
    script.apply(DeletePolicy(origin("gone"), FLEET))
    assert script.machine.registry.policy_revision == script.index
