"""What operators say of instances <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.times import time_from_proto, time_to_proto
from services.shared.topology.operators import Downtime, Maintenance, PromotionRule

_RULES: Final = {
    pb.PROMOTION_RULE_UNSPECIFIED: PromotionRule.NEUTRAL,
    pb.PROMOTION_RULE_MUST: PromotionRule.MUST,
    pb.PROMOTION_RULE_PREFER: PromotionRule.PREFER,
    pb.PROMOTION_RULE_NEUTRAL: PromotionRule.NEUTRAL,
    pb.PROMOTION_RULE_PREFER_NOT: PromotionRule.PREFER_NOT,
    pb.PROMOTION_RULE_MUST_NOT: PromotionRule.MUST_NOT,
}
_RULES_OUT: Final = {value: name for name, value in _RULES.items()}


def rule_to_proto(rule: PromotionRule) -> pb.PromotionRule.ValueType:
    """Return the rule as message."""
    return _RULES_OUT[rule]


def rule_from_proto(rule: pb.PromotionRule.ValueType) -> PromotionRule:
    """Return the rule; neutral for one that is not set, or that we do not know."""
    return _RULES.get(rule, PromotionRule.NEUTRAL)


def downtime_to_proto(downtime: Downtime | None) -> pb.Downtime | None:
    """Return the downtime; None stays None (an absent field)."""
    if downtime is None:
        return None
    return pb.Downtime(owner=downtime.owner, reason=downtime.reason, end_time=time_to_proto(downtime.end_time))


def downtime_from_proto(message: pb.Downtime) -> Downtime:
    """Return the downtime; ask `HasField` first."""
    return Downtime(message.owner, message.reason, time_from_proto(message.end_time))


def maintenance_to_proto(maintenance: Maintenance | None) -> pb.Maintenance | None:
    """Return the maintenance; None stays None (an absent field)."""
    if maintenance is None:
        return None
    end_time = time_to_proto(maintenance.end_time)
    return pb.Maintenance(owner=maintenance.owner, reason=maintenance.reason, end_time=end_time)


def maintenance_from_proto(message: pb.Maintenance) -> Maintenance:
    """Return the maintenance; ask `HasField` first."""
    end_time = time_from_proto(message.end_time) if message.HasField("end_time") else None
    return Maintenance(message.owner, message.reason, end_time)
