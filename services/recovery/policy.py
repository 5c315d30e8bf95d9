"""What steers the choice of a successor: what people want, as far as it is not written on the instances. Pure.

Defaults are the reference's (recovery specification, section 21), names say what they do; the reference's name of each
is in brackets.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule


class Durability(enum.Enum):
    """How much a failover may lose."""

    AVAILABILITY_FIRST = "availability_first"
    """Promote the best replica there is, and state what may be lost."""
    BOUNDED = "bounded"
    """Promote only when what may be lost is known."""
    LOSSLESS = "lossless"
    """Promote only when it is proven that nothing acknowledged is lost."""


@dataclass(frozen=True, slots=True)
class PlanningPolicy:
    """What steers the choice.

    Attributes:
        prevent_cross_data_center: Nobody is promoted in another data centre than the failed instance's
            [PreventCrossDataCenterMasterFailover].
        prevent_cross_region: The same for regions [PreventCrossRegionMasterFailover].
        fail_promotion_on_lag: Nobody is promoted who lags so much or more; None = no limit
            [FailMasterPromotionOnLagMinutes].
        fail_promotion_if_applier_behind: Nobody is promoted who has not applied everything it received
            [FailMasterPromotionIfSQLThreadNotUpToDate].
        delay_promotion_if_applier_behind: The promotion waits for the applier, as it always does
            [DelayMasterPromotionIfSQLThreadNotUpToDate].
        promotion_ignore_hosts: Hosts that are never promoted: an address, or a pattern that is searched in `host:port`
            [PromotionIgnoreHostnameFilters].
        lower_replica_version_allowed: A replica may read from a higher major version [LowerReplicaVersionAllowed].
        verify_replication_filters: A replica without filters may not read from one that has some
            [VerifyReplicationFilters].
        co_primary_must_promote_other: Of two primaries the other one is promoted or nobody
            [CoMasterRecoveryMustPromoteOtherCoMaster].
        enforce_exact_semi_sync_replicas: As many replicas acknowledge as the primary waits for
            [EnforceExactSemiSyncReplicas].
        recover_locked_semi_sync: Replicas are made semi-synchronous when commits wait for nobody
            [RecoverLockedSemiSyncMaster].
        recover_read_only_primary: A read-only primary is made writable [RecoverNonWriteableMaster].
        reasonable_maintenance_lag: Largest lag of a switchover's target; a source that is delayed more may not feed a
            replica that is delayed less [ReasonableMaintenanceReplicationLagSeconds].
        durability: How much may be lost.
    """

    prevent_cross_data_center: bool = False
    prevent_cross_region: bool = False
    fail_promotion_on_lag: timedelta | None = None
    fail_promotion_if_applier_behind: bool = False
    delay_promotion_if_applier_behind: bool = False
    promotion_ignore_hosts: tuple[str, ...] = ()
    lower_replica_version_allowed: bool = False
    verify_replication_filters: bool = False
    co_primary_must_promote_other: bool = True
    enforce_exact_semi_sync_replicas: bool = False
    recover_locked_semi_sync: bool = False
    recover_read_only_primary: bool = False
    reasonable_maintenance_lag: timedelta = timedelta(seconds=20)
    durability: Durability = Durability.AVAILABILITY_FIRST

    def ignores(self, key: InstanceKey) -> str:
        """Return the item of `promotion_ignore_hosts` that matches an instance; empty when none does."""
        return next((item for item in self.promotion_ignore_hosts if _matches(item, key)), "")

    def banned(self, instance: Instance) -> str:
        """Return why an instance is never promoted, in half a sentence; empty when it may be (section 7.4)."""
        if instance.promotion_rule is PromotionRule.MUST_NOT:
            return "its promotion rule is MUST_NOT"
        item = self.ignores(instance.key)
        return f"promotion_ignore_hosts excludes it by {item!r}" if item else ""


DEFAULT_POLICY = PlanningPolicy()


def _matches(item: str, key: InstanceKey) -> bool:
    try:
        ipaddress.ip_address(item)
    except ValueError:
        return re.search(item, str(key)) is not None
    return item == key.host


def contradictions(policy: PlanningPolicy) -> Iterator[tuple[str, str]]:
    """Yield the field, and what is wrong with it, of what a policy cannot mean: refuse it when it is set.

    A pattern that is none is told too, as are times that are not above zero.
    """
    if policy.fail_promotion_if_applier_behind and policy.delay_promotion_if_applier_behind:
        yield (
            "delay_promotion_if_applier_behind",
            "contradicts fail_promotion_if_applier_behind: a promotion either waits for the applier or fails",
        )
    for item in policy.promotion_ignore_hosts:
        try:
            re.compile(item)
        except re.error as error:
            yield "promotion_ignore_hosts", f"{item!r} is neither an address nor a regular expression: {error}"
        if not item:
            yield "promotion_ignore_hosts", "an empty pattern excludes every host"
    if policy.fail_promotion_on_lag is not None and policy.fail_promotion_on_lag <= timedelta():
        yield "fail_promotion_on_lag", "must be longer than nothing; leave it out for no limit"
    if policy.reasonable_maintenance_lag <= timedelta():
        yield "reasonable_maintenance_lag", "must be longer than nothing"
