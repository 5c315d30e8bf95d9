"""Items of the registry as proto messages, pure."""

from __future__ import annotations

from typing import Final

from google.protobuf import timestamp_pb2
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.consensus.api.convert import (
    milliseconds_to_time,
    nanoseconds_to_proto,
)
from services.consensus.state.registry.cluster_name import ClusterName
from services.consensus.state.registry.downtime import Downtime
from services.consensus.state.registry.maintenance import Maintenance
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry.policy import LossRule, Mode, Policy, WithoutObservers
from services.consensus.state.registry.pool import Pool
from services.consensus.state.registry.promotion_rule import PromotionRule, Rule
from services.consensus.state.registry.registry import RegistryItem
from services.consensus.state.registry.scope import cluster_of, instance_of
from services.consensus.state.registry.setting import Setting
from services.consensus.state.registry.tag import Tag
from services.shared.topology.key import InstanceKey

RULES: Final = {
    topology_pb2.PROMOTION_RULE_PREFER: Rule.PREFER,
    topology_pb2.PROMOTION_RULE_NEUTRAL: Rule.NEUTRAL,
    topology_pb2.PROMOTION_RULE_PREFER_NOT: Rule.PREFER_NOT,
    topology_pb2.PROMOTION_RULE_MUST_NOT: Rule.MUST_NOT,
}
_RULES_OUT: Final = {rule: value for value, rule in RULES.items()}
MODES: Final = {
    pb.Policy.MODE_OBSERVE: Mode.OBSERVE,
    pb.Policy.MODE_ADVISE: Mode.ADVISE,
    pb.Policy.MODE_ACT: Mode.ACT,
}
_MODES_OUT: Final = {mode: value for value, mode in MODES.items()}
LOSS_RULES: Final = {
    pb.Policy.LOSS_RULE_LOSSLESS: LossRule.LOSSLESS,
    pb.Policy.LOSS_RULE_BOUNDED: LossRule.BOUNDED,
    pb.Policy.LOSS_RULE_AVAILABILITY_FIRST: LossRule.AVAILABILITY_FIRST,
}
_LOSS_RULES_OUT: Final = {rule: value for value, rule in LOSS_RULES.items()}
WITHOUT_OBSERVERS: Final = {
    pb.Policy.WITHOUT_OBSERVERS_WAIT: WithoutObservers.WAIT,
    pb.Policy.WITHOUT_OBSERVERS_ACT: WithoutObservers.ACT,
}
_WITHOUT_OUT: Final = {rule: value for value, rule in WITHOUT_OBSERVERS.items()}


def _written(written: Written) -> pb.Written:
    return pb.Written(
        owner=written.owner,
        reason=written.reason,
        log_index=written.log_index,
        write_time=milliseconds_to_time(written.write_ms),
    )


def _endpoint(instance: str) -> topology_pb2.Endpoint:
    key = InstanceKey.parse(instance)
    return topology_pb2.Endpoint(host=key.host, port=key.port)


def _target(scope: str) -> pb.Target:
    instance = instance_of(scope)
    if instance is not None:
        return pb.Target(instance=_endpoint(instance))
    return pb.Target(cluster_id=cluster_of(scope) or "")


def _end(end_ms: int | None) -> timestamp_pb2.Timestamp | None:
    return None if end_ms is None else milliseconds_to_time(end_ms)


def downtime_to_proto(downtime: Downtime) -> pb.Downtime:
    """Return a downtime."""
    return pb.Downtime(
        target=_target(downtime.scope),
        begin_time=milliseconds_to_time(downtime.begin_ms),
        end_time=milliseconds_to_time(downtime.end_ms),
        written=_written(downtime.written),
    )


def maintenance_to_proto(maintenance: Maintenance) -> pb.Maintenance:
    """Return a maintenance."""
    return pb.Maintenance(
        target=_target(maintenance.scope),
        maintenance_id=maintenance.maintenance_id,
        begin_time=milliseconds_to_time(maintenance.begin_ms),
        end_time=milliseconds_to_time(maintenance.end_ms),
        written=_written(maintenance.written),
    )


def promotion_rule_to_proto(rule: PromotionRule) -> pb.InstancePromotionRule:
    """Return a promotion rule."""
    return pb.InstancePromotionRule(
        instance=_endpoint(rule.instance),
        rule=_RULES_OUT[rule.rule],
        expire_time=_end(rule.end_ms),
        written=_written(rule.written),
    )


def tag_to_proto(tag: Tag) -> pb.Tag:
    """Return a tag."""
    return pb.Tag(instance=_endpoint(tag.instance), name=tag.name, value=tag.value, written=_written(tag.written))


def pool_to_proto(pool: Pool) -> pb.Pool:
    """Return a pool."""
    return pb.Pool(
        name=pool.name,
        instances=[_endpoint(member) for member in pool.members],
        expire_time=_end(pool.end_ms),
        written=_written(pool.written),
    )


def cluster_name_to_proto(name: ClusterName) -> pb.ClusterName:
    """Return a cluster's name."""
    return pb.ClusterName(
        cluster_id=name.cluster_id, alias=name.alias, domain=name.domain, written=_written(name.written)
    )


def policy_to_proto(policy: Policy) -> pb.Policy:
    """Return a policy."""
    block_ms = policy.block_period_ms
    message = pb.Policy(
        mode=_MODES_OUT[policy.mode] if policy.mode is not None else pb.Policy.MODE_UNSPECIFIED,
        loss_rule=_LOSS_RULES_OUT[policy.loss] if policy.loss is not None else pb.Policy.LOSS_RULE_UNSPECIFIED,
        max_lost_transactions=policy.max_lost_transactions,
        fence_required=policy.fence_required,
        min_observers=policy.min_observers,
        without_observers=(
            _WITHOUT_OUT[policy.without_observers]
            if policy.without_observers is not None
            else pb.Policy.WITHOUT_OBSERVERS_UNSPECIFIED
        ),
        block_period=None if block_ms is None else nanoseconds_to_proto(block_ms * 1_000_000),
        expire_time=_end(policy.end_ms),
        written=_written(policy.written),
    )
    cluster_id, instance = cluster_of(policy.scope), instance_of(policy.scope)
    if cluster_id is not None:
        message.cluster_id = cluster_id
    elif instance is not None:
        message.instance.CopyFrom(_endpoint(instance))
    else:
        message.fleet = True
    return message


def setting_to_proto(setting: Setting) -> pb.Setting:
    """Return a setting."""
    return pb.Setting(name=setting.name, value=setting.value, written=_written(setting.written))


def item_to_proto(item: RegistryItem) -> pb.RegistryItem:
    """Return anything the registry holds."""
    match item:
        case Downtime():
            return pb.RegistryItem(downtime=downtime_to_proto(item))
        case Maintenance():
            return pb.RegistryItem(maintenance=maintenance_to_proto(item))
        case PromotionRule():
            return pb.RegistryItem(promotion_rule=promotion_rule_to_proto(item))
        case Tag():
            return pb.RegistryItem(tag=tag_to_proto(item))
        case Pool():
            return pb.RegistryItem(pool=pool_to_proto(item))
        case ClusterName():
            return pb.RegistryItem(cluster_name=cluster_name_to_proto(item))
        case Policy():
            return pb.RegistryItem(policy=policy_to_proto(item))
        case Setting():
            return pb.RegistryItem(setting=setting_to_proto(item))
