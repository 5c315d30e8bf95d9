"""What cancels a promotion, and what a policy may not say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.recovery.case import read_policy
from services.recovery.model import LossState, PlanRefusal, Refusal, Verdict
from services.recovery.policy import Durability, PlanningPolicy, contradictions
from services.shared.topology.operators import PromotionRule
from services.shared.topology.snapshot_file import SnapshotFileError
from tests.support.recovery.topologies import ACKER, SEMI_SYNC, entry, key, planned, primary, replica

MINUTE = timedelta(minutes=1)
VETOES = [
    pytest.param({"data_center": "west"}, {"prevent_cross_data_center": True}, Refusal.OTHER_DATA_CENTER, id="centre"),
    pytest.param({"data_center": ""}, {"prevent_cross_data_center": True}, Refusal.OTHER_DATA_CENTER, id="unknown"),
    pytest.param({"data_center": "east"}, {"prevent_cross_data_center": True}, None, id="same centre"),
    pytest.param({"region": "us"}, {"prevent_cross_region": True}, Refusal.OTHER_REGION, id="region"),
    pytest.param({"region": ""}, {"prevent_cross_region": True}, None, id="region of neither known"),
    pytest.param({"lag": MINUTE}, {"fail_promotion_on_lag": MINUTE}, Refusal.LAGGING, id="the limit itself"),
    pytest.param({"lag": MINUTE}, {"fail_promotion_on_lag": 2 * MINUTE}, None, id="lag below the limit"),
    pytest.param({"executed": 9}, {"fail_promotion_on_lag": MINUTE}, Refusal.LAGGING, id="unknown lag, and a backlog"),
    pytest.param({}, {"fail_promotion_on_lag": MINUTE}, None, id="unknown lag, nothing to apply"),
    pytest.param(
        {"lag": timedelta(), "query_lag": MINUTE}, {"fail_promotion_on_lag": MINUTE}, Refusal.LAGGING, id="query lag"
    ),
    pytest.param(
        {"executed": 99}, {"fail_promotion_if_applier_behind": True}, Refusal.APPLIER_BEHIND, id="applier behind"
    ),
    pytest.param({}, {"fail_promotion_if_applier_behind": True}, None, id="applier up to date"),
    pytest.param({}, {"durability": Durability.LOSSLESS}, Refusal.LOSS, id="lossless, and asynchronous"),
    pytest.param({}, {"durability": Durability.BOUNDED}, Refusal.LOSS, id="bounded, and asynchronous"),
]


@pytest.mark.parametrize(("facts", "policy", "refusal"), VETOES)
def test_what_cancels_a_promotion(facts: dict[str, Any], policy: dict[str, Any], refusal: Refusal | None) -> None:
    made = planned(primary(), replica("a", **facts), policy=PlanningPolicy(**policy))
    if refusal is None:
        assert (made.chosen, made.refusal) == (key("a"), None)
        return
    assert (made.chosen, made.refusal, made.steps) == (None, PlanRefusal.VETO, ())
    weighed = entry(made, "a")
    assert (weighed.verdict, weighed.refusal, weighed.rank) == (Verdict.REFUSED, refusal, 0)
    assert next(iter(policy)).split("_")[0] in made.refusal_reason, "names the setting"


def test_proven_loss_of_nothing_satisfies_every_durability() -> None:
    servers = (primary(semi_sync=SEMI_SYNC), replica("a", 110, semi_sync=ACKER), replica("b", 100, semi_sync=ACKER))
    for durability in Durability:
        made = planned(*servers, policy=PlanningPolicy(durability=durability))
        assert (made.chosen, made.loss.state) == (key("a"), LossState.PROVEN_NONE)


def test_hosts_are_ignored_by_address_or_by_pattern() -> None:
    policy = PlanningPolicy(promotion_ignore_hosts=("10.0.0.1", "backup"))
    assert policy.ignores(replica("10.0.0.1").key) == "10.0.0.1"
    assert policy.ignores(replica("10.0.0.11").key) == "", "an address is no pattern"
    assert policy.ignores(replica("db-backup-7").key) == "backup"
    assert policy.ignores(replica("db-7").key) == ""


def test_higher_version_may_feed_when_policy_allows_it() -> None:
    servers = (primary(), replica("a", 100, version="8.4.3"), replica("b", 90, version="8.0.40"))
    facts: dict[str, Any] = {"promotion_rule": PromotionRule.MUST_NOT}
    lower = replica("c", 80, version="8.4.3", **facts)
    assert planned(*servers, lower).lost_replicas == (key("b"),)
    assert planned(*servers, lower, policy=PlanningPolicy(lower_replica_version_allowed=True)).lost_replicas == ()


CONTRADICTIONS = [
    pytest.param(PlanningPolicy(), [], id="defaults"),
    pytest.param(
        PlanningPolicy(fail_promotion_if_applier_behind=True, delay_promotion_if_applier_behind=True),
        ["delay_promotion_if_applier_behind"],
        id="both fail and wait",
    ),
    pytest.param(PlanningPolicy(promotion_ignore_hosts=("[",)), ["promotion_ignore_hosts"], id="no pattern"),
    pytest.param(PlanningPolicy(promotion_ignore_hosts=("",)), ["promotion_ignore_hosts"], id="empty pattern"),
    pytest.param(PlanningPolicy(fail_promotion_on_lag=timedelta()), ["fail_promotion_on_lag"], id="no lag at all"),
    pytest.param(
        PlanningPolicy(reasonable_maintenance_lag=-MINUTE), ["reasonable_maintenance_lag"], id="less than nothing"
    ),
]


@pytest.mark.parametrize(("policy", "fields"), CONTRADICTIONS)
def test_contradictory_policy_is_named(policy: PlanningPolicy, fields: list[str]) -> None:
    assert [field for field, _ in contradictions(policy)] == fields


def test_policy_file_is_read_or_named_by_field_and_line() -> None:
    policy = read_policy('{"prevent_cross_region": true, "fail_promotion_on_lag": "90s"}')
    assert policy == PlanningPolicy(prevent_cross_region=True, fail_promotion_on_lag=timedelta(seconds=90))
    assert read_policy("{}") == PlanningPolicy()
    with pytest.raises(SnapshotFileError, match="line 2: promotion_ignore_hosts"):
        read_policy('{"prevent_cross_region": true,\n"promotion_ignore_hosts": ["["]}')
    with pytest.raises(SnapshotFileError, match="line 1: nonsense"):
        read_policy('{"nonsense": 1}')
