"""What cancels a promotion although somebody could be promoted: place, lag, unapplied changes, loss (section 11.3)."""

from __future__ import annotations

from services.recovery.model import Loss, LossState, Refusal
from services.recovery.policy import Durability, PlanningPolicy
from services.recovery.positions import applied_all, channel_from
from services.recovery.replacement import why_too_far
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

Veto = tuple[Refusal, str]
"""What forbids it, and why with the name of the setting, in half a sentence."""


def veto(successor: Instance, failed: Instance, source: InstanceKey, loss: Loss, policy: PlanningPolicy) -> Veto | None:
    """Return what forbids to promote a successor; None when nothing does.

    Args:
        successor: Who would be promoted, as read.
        failed: The failed primary as last seen.
        source: Whom the successor reads from.
        loss: What would be lost.
        policy: What people allow.
    """
    return (
        _place(successor, failed, policy)
        or _lag(successor, source, policy)
        or applier_veto(successor, source, policy)
        or loss_veto(loss, policy)
    )


def _place(successor: Instance, failed: Instance, policy: PlanningPolicy) -> Veto | None:
    reason = why_too_far(successor, failed, policy)
    if not reason:
        return None
    other_center = policy.prevent_cross_data_center and successor.data_center != failed.data_center
    return Refusal.OTHER_DATA_CENTER if other_center else Refusal.OTHER_REGION, reason


def _lag(successor: Instance, source: InstanceKey, policy: PlanningPolicy) -> Veto | None:
    """Return the veto of a lag at the limit or above; one that is unknown counts as fine only with nothing to apply."""
    limit = policy.fail_promotion_on_lag
    if limit is None:
        return None
    channel = channel_from(successor, source)
    lag = None if channel is None else channel.query_lag if channel.query_lag is not None else channel.lag
    said = f"fail_promotion_on_lag is {limit.total_seconds():g} s"
    if lag is not None and lag >= limit:
        return Refusal.LAGGING, f"it lags {lag.total_seconds():g} s, and {said}"
    if lag is None and not applied_all(successor, source):
        return Refusal.LAGGING, f"its lag is unknown and it has changes to apply, and {said}"
    return None


def applier_veto(successor: Instance, source: InstanceKey, policy: PlanningPolicy) -> Veto | None:
    """Return the veto of changes that were received and are not applied."""
    if not policy.fail_promotion_if_applier_behind or applied_all(successor, source):
        return None
    reason = "it has not applied everything it received, and fail_promotion_if_applier_behind is set"
    return Refusal.APPLIER_BEHIND, reason


def loss_veto(loss: Loss, policy: PlanningPolicy) -> Veto | None:
    """Return the veto of a loss that is larger, or less known, than the durability of the cluster allows."""
    match policy.durability:
        case Durability.LOSSLESS if loss.state is not LossState.PROVEN_NONE:
            return Refusal.LOSS, f"it is not proven that nothing is lost ({loss.proof}), and durability is lossless"
        case Durability.BOUNDED if loss.state is LossState.UNKNOWN:
            return Refusal.LOSS, f"what is lost is not known ({loss.proof}), and durability is bounded"
        case _:
            return None
