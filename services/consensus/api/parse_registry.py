"""Requests of the registry, parsed into commands, pure. What goes on from here fits every column of the store."""

from __future__ import annotations

import re
from typing import Final, Protocol

from google.protobuf import duration_pb2, timestamp_pb2
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.consensus.api.convert import text_from_request, uuid_from_request
from services.consensus.api.convert_registry import LOSS_RULES, MODES, RULES, WITHOUT_OBSERVERS
from services.consensus.state.registry import commands
from services.consensus.state.registry.downtime import MAX_SPAN_MS
from services.consensus.state.registry.origin import Origin
from services.consensus.state.registry.scope import FLEET, cluster_scope, instance_scope
from services.shared.runtime.errors import InvalidField
from services.shared.topology.convert.key import key_from_request

MAX_REASON: Final = 1_000
MAX_POOL: Final = 1_000
MAX_OBSERVERS: Final = 7
DEFAULT_SPAN_MS: Final = 10 * 60 * 1_000
"""Of a downtime or a maintenance that says nothing: forgotten ones end soon."""
DAY_MS: Final = 24 * 3_600 * 1_000
MAX_MAINTENANCE_MS: Final = 30 * DAY_MS
MAX_EXPIRY_MS: Final = 10 * MAX_SPAN_MS
_MAX_NUMBER: Final = 2**63 - 1
_MAX_TIME_MS: Final = 253_402_300_799_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]*")


class _Write(Protocol):
    """What all requests that write have in common."""

    @property
    def request_id(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def session_call(self) -> pb.SessionCall: ...


def _origin(request: _Write, *, reason_required: bool = False) -> Origin:
    owner = text_from_request(request.owner, "owner")
    reason = text_from_request(request.reason, "reason", required=reason_required, longest=MAX_REASON)
    call = request.session_call
    if call == pb.SessionCall():
        return Origin(uuid_from_request(request.request_id, "request_id"), owner, reason)
    for name, number in (("session_id", call.session_id), ("sequence", call.sequence)):
        if not 0 < number <= _MAX_NUMBER:
            raise InvalidField(f"session_call.{name}", "is required")
    if call.acked_below > call.sequence:
        raise InvalidField("session_call.acked_below", "is above `sequence`")
    return Origin("", owner, reason, call.session_id, call.sequence, call.acked_below)


def _instance(endpoint: topology_pb2.Endpoint, field: str) -> str:
    return str(key_from_request(endpoint, field))


def _target(target: pb.Target) -> str:
    """Return the scope a target names."""
    match target.WhichOneof("target"):
        case "instance":
            return instance_scope(_instance(target.instance, "target.instance"))
        case "cluster_id":
            return cluster_scope(uuid_from_request(target.cluster_id, "target.cluster_id"))
        case _:
            raise InvalidField("target", "is required: an instance or a cluster")


def scope_from_request(request: pb.ListDowntimesRequest | pb.ListMaintenancesRequest) -> str:
    """Return the scope a list is asked for; empty = all.

    Raises:
        InvalidField: It names no scope.
    """
    return _target(request.target) if request.HasField("target") else ""


def instance_from_request(request: pb.ListPromotionRulesRequest | pb.ListTagsRequest | pb.ListPoolsRequest) -> str:
    """Return the instance a list is asked for; empty = all."""
    return _instance(request.instance, "instance") if request.HasField("instance") else ""


def _scope(policy: pb.Policy) -> str:
    match policy.WhichOneof("scope"):
        case "fleet":
            return FLEET
        case "cluster_id":
            return cluster_scope(uuid_from_request(policy.cluster_id, "policy.cluster_id"))
        case "instance":
            return instance_scope(_instance(policy.instance, "policy.instance"))
        case _:
            raise InvalidField("policy", "is required: with the fleet, a cluster or an instance as its scope")


def _span_ms(duration: duration_pb2.Duration, field: str, *, longest: int = MAX_EXPIRY_MS) -> int:
    span = duration.seconds * 1_000 + duration.nanos // 1_000_000
    if not 0 < span <= longest:
        raise InvalidField(field, f"is not between 1 ms and {longest // DAY_MS} days")
    return span


def _time_ms(stamp: timestamp_pb2.Timestamp, field: str) -> int:
    unix_ms = stamp.seconds * 1_000 + stamp.nanos // 1_000_000
    if not 0 < unix_ms <= _MAX_TIME_MS:
        raise InvalidField(field, "is not between 1970 and 9999")
    return unix_ms


def name_from_request(text: str, field: str = "name") -> str:
    """Return the name of a tag, a pool or a setting.

    Raises:
        InvalidField: It is none.
    """
    name = text_from_request(text, field)
    if _NAME.fullmatch(name) is None:
        raise InvalidField(field, "has other than small letters, digits, `_`, `-` and `.`, or begins with no letter")
    return name


def begin_downtime_from_proto(request: pb.BeginDowntimeRequest) -> commands.BeginDowntime:
    """Return the command of a request."""
    begin_ms = _time_ms(request.begin_time, "begin_time") if request.HasField("begin_time") else None
    end_ms = _time_ms(request.end_time, "end_time") if request.HasField("end_time") else None
    if end_ms is not None and request.HasField("duration"):
        raise InvalidField("duration", "is given beside `end_time`: say one of them")
    span_ms = DEFAULT_SPAN_MS
    if request.HasField("duration"):
        span_ms = _span_ms(request.duration, "duration", longest=MAX_SPAN_MS)
    origin = _origin(request, reason_required=True)
    return commands.BeginDowntime(origin, _target(request.target), begin_ms, end_ms, span_ms)


def end_downtime_from_proto(request: pb.EndDowntimeRequest) -> commands.EndDowntime:
    """Return the command of a request."""
    return commands.EndDowntime(_origin(request), _target(request.target))


def begin_maintenance_from_proto(request: pb.BeginMaintenanceRequest) -> commands.BeginMaintenance:
    """Return the command of a request."""
    span_ms = DEFAULT_SPAN_MS
    if request.HasField("duration"):
        span_ms = _span_ms(request.duration, "duration", longest=MAX_MAINTENANCE_MS)
    origin = _origin(request, reason_required=True)
    return commands.BeginMaintenance(
        origin, _target(request.target), span_ms, _number(request.maintenance_id, "maintenance_id")
    )


def end_maintenance_from_proto(request: pb.EndMaintenanceRequest) -> commands.EndMaintenance:
    """Return the command of a request."""
    maintenance_id = _number(request.maintenance_id, "maintenance_id")
    return commands.EndMaintenance(_origin(request), _target(request.target), maintenance_id)


def set_promotion_rule_from_proto(request: pb.SetPromotionRuleRequest) -> commands.SetPromotionRule:
    """Return the command of a request."""
    rule = RULES.get(request.rule)
    if rule is None:
        raise InvalidField("rule", "is not one of prefer, neutral, prefer not, must not")
    return commands.SetPromotionRule(
        _origin(request), _instance(request.instance, "instance"), str(rule), _expire_after(request)
    )


def delete_promotion_rule_from_proto(request: pb.DeletePromotionRuleRequest) -> commands.DeletePromotionRule:
    """Return the command of a request."""
    return commands.DeletePromotionRule(_origin(request), _instance(request.instance, "instance"))


def set_tag_from_proto(request: pb.SetTagRequest) -> commands.SetTag:
    """Return the command of a request."""
    value = text_from_request(request.value, "value", required=False)
    return commands.SetTag(
        _origin(request), _instance(request.instance, "instance"), name_from_request(request.name), value
    )


def delete_tag_from_proto(request: pb.DeleteTagRequest) -> commands.DeleteTag:
    """Return the command of a request."""
    return commands.DeleteTag(
        _origin(request), _instance(request.instance, "instance"), name_from_request(request.name)
    )


def set_pool_from_proto(request: pb.SetPoolRequest) -> commands.SetPool:
    """Return the command of a request."""
    if len(request.instances) > MAX_POOL:
        raise InvalidField("instances", f"are more than {MAX_POOL}")
    members = tuple(_instance(endpoint, "instances") for endpoint in request.instances)
    return commands.SetPool(_origin(request), name_from_request(request.name), members, _expire_after(request))


def delete_pool_from_proto(request: pb.DeletePoolRequest) -> commands.DeletePool:
    """Return the command of a request."""
    return commands.DeletePool(_origin(request), name_from_request(request.name))


def set_cluster_name_from_proto(request: pb.SetClusterNameRequest) -> commands.SetClusterName:
    """Return the command of a request."""
    return commands.SetClusterName(
        _origin(request),
        uuid_from_request(request.cluster_id, "cluster_id"),
        text_from_request(request.alias, "alias"),
        text_from_request(request.domain, "domain", required=False),
    )


def delete_cluster_name_from_proto(request: pb.DeleteClusterNameRequest) -> commands.DeleteClusterName:
    """Return the command of a request."""
    return commands.DeleteClusterName(_origin(request), uuid_from_request(request.cluster_id, "cluster_id"))


def set_policy_from_proto(request: pb.SetPolicyRequest) -> commands.SetPolicy:
    """Return the command of a request."""
    policy = request.policy
    mode, loss = MODES.get(policy.mode), LOSS_RULES.get(policy.loss_rule)
    without = WITHOUT_OBSERVERS.get(policy.without_observers)
    block_ms = _span_ms(policy.block_period, "policy.block_period") if policy.HasField("block_period") else None
    max_lost = policy.max_lost_transactions if policy.HasField("max_lost_transactions") else None
    if max_lost is not None and max_lost > _MAX_NUMBER:
        raise InvalidField("policy.max_lost_transactions", "is not a number of transactions")
    observers = policy.min_observers if policy.HasField("min_observers") else None
    if observers is not None and not 1 <= observers <= MAX_OBSERVERS:
        raise InvalidField("policy.min_observers", f"is not between 1 and {MAX_OBSERVERS}")
    fence = int(policy.fence_required) if policy.HasField("fence_required") else None
    if all(value is None for value in (mode, loss, max_lost, without, block_ms, observers, fence)):
        raise InvalidField("policy", "says nothing; delete it instead")
    return commands.SetPolicy(
        origin=_origin(request, reason_required=True),
        scope=_scope(policy),
        mode=mode or "",
        loss=loss or "",
        max_lost_transactions=max_lost,
        fence_required=fence,
        min_observers=observers,
        without_observers=without or "",
        block_period_ms=block_ms,
        span_ms=_expire_after(request),
    )


def delete_policy_from_proto(request: pb.DeletePolicyRequest) -> commands.DeletePolicy:
    """Return the command of a request."""
    return commands.DeletePolicy(_origin(request), _scope(request.policy))


def set_setting_from_proto(request: pb.SetSettingRequest) -> commands.SetSetting:
    """Return the command of a request."""
    value = text_from_request(request.value, "value", longest=MAX_REASON)
    return commands.SetSetting(_origin(request, reason_required=True), name_from_request(request.name), value)


def delete_setting_from_proto(request: pb.DeleteSettingRequest) -> commands.DeleteSetting:
    """Return the command of a request."""
    return commands.DeleteSetting(_origin(request), name_from_request(request.name))


def _expire_after(request: pb.SetPromotionRuleRequest | pb.SetPoolRequest | pb.SetPolicyRequest) -> int | None:
    return _span_ms(request.expire_after, "expire_after") if request.HasField("expire_after") else None


def _number(number: int, field: str) -> int:
    if number > _MAX_NUMBER:
        raise InvalidField(field, "is none that was ever given")
    return number
