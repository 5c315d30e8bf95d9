"""The registry: downtimes, maintenances, promotion rules, tags, pools, names, policies, settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.ctl.text import Cell, Line, bad, columns, dim, line, strong, warn
from services.ctl.words import duration_text, endpoint_text, enum_word, time_text


def downtime_lines(downtimes: Sequence[pb.Downtime]) -> list[Line]:
    """Return one line per downtime."""
    return _table(
        [
            (
                strong(_target(each.target)),
                f"from {time_text(each.begin_time)}",
                f"until {time_text(each.end_time)}",
                *_written(each.written),
            )
            for each in downtimes
        ],
        "nothing is in downtime",
    )


def maintenance_lines(maintenances: Sequence[pb.Maintenance]) -> list[Line]:
    """Return one line per maintenance."""
    return _table(
        [
            (
                strong(_target(each.target)),
                f"maintenance {each.maintenance_id}",
                f"until {time_text(each.end_time)}",
                *_written(each.written),
            )
            for each in maintenances
        ],
        "nothing is in maintenance",
    )


def rule_lines(rules: Sequence[pb.InstancePromotionRule]) -> list[Line]:
    """Return one line per promotion rule."""
    return _table(
        [
            (
                strong(endpoint_text(each.instance)),
                enum_word(topology_pb2.PromotionRule, each.rule, "PROMOTION_RULE_"),
                _expiry(each),
                *_written(each.written),
            )
            for each in rules
        ],
        "no instance has a promotion rule: all are neutral",
    )


def tag_lines(tags: Sequence[pb.Tag]) -> list[Line]:
    """Return one line per tag."""
    rows = [
        (
            strong(endpoint_text(each.instance)),
            f"{each.name}={each.value}" if each.value else each.name,
            *_written(each.written),
        )
        for each in tags
    ]
    return _table(rows, "there are no tags")


def pool_lines(pools: Sequence[pb.Pool]) -> list[Line]:
    """Return one line per pool."""
    rows = [
        (
            strong(each.name),
            ", ".join(endpoint_text(instance) for instance in each.instances) or "empty",
            _expiry(each),
            *_written(each.written),
        )
        for each in pools
    ]
    return _table(rows, "there are no pools")


def name_lines(names: Sequence[pb.ClusterName]) -> list[Line]:
    """Return one line per name of a cluster."""
    rows = [(strong(each.alias), each.cluster_id, each.domain or "-", *_written(each.written)) for each in names]
    return _table(rows, "no cluster was given a name")


def setting_lines(settings: Sequence[pb.Setting]) -> list[Line]:
    """Return one line per setting; the global switch stands out while it is off."""
    rows = [
        (
            strong(each.name),
            bad(each.value) if (each.name, each.value) == ("recoveries", "off") else each.value,
            *_written(each.written),
        )
        for each in settings
    ]
    return _table(rows, "nothing is set: defaults hold")


def policy_lines(policies: Sequence[pb.Policy]) -> list[Line]:
    """Return one line per policy."""
    rows = [(strong(_scope(each)), ", ".join(_said(each)), _expiry(each), *_written(each.written)) for each in policies]
    return _table(rows, "there are no policies: each node's own settings hold")


def _said(policy: pb.Policy) -> Iterator[str]:
    if policy.mode:
        yield enum_word(pb.Policy.Mode, policy.mode, "MODE_")
    if policy.loss_rule:
        bound = f" {policy.max_lost_transactions}" if policy.HasField("max_lost_transactions") else ""
        yield enum_word(pb.Policy.LossRule, policy.loss_rule, "LOSS_RULE_") + bound
    if policy.HasField("fence_required"):
        yield "fence first" if policy.fence_required else "fence where possible"
    if policy.HasField("min_observers"):
        without = enum_word(pb.Policy.WithoutObservers, policy.without_observers, "WITHOUT_OBSERVERS_")
        yield f"{policy.min_observers} observers or {without}"
    if policy.HasField("block_period"):
        yield f"block {duration_text(policy.block_period)}"


def _scope(policy: pb.Policy) -> str:
    match policy.WhichOneof("scope"):
        case "cluster_id":
            return f"cluster {policy.cluster_id}"
        case "instance":
            return endpoint_text(policy.instance)
        case _:
            return "fleet"


def _target(target: pb.Target) -> str:
    if target.WhichOneof("target") == "cluster_id":
        return f"cluster {target.cluster_id}"
    return endpoint_text(target.instance)


def _expiry(item: pb.InstancePromotionRule | pb.Pool | pb.Policy) -> Cell:
    stamp: Timestamp = item.expire_time
    return warn(f"until {time_text(stamp)}") if item.HasField("expire_time") else "for good"


def _written(written: pb.Written) -> tuple[Cell, Cell]:
    return written.owner, dim(written.reason or "-")


def _table(rows: Sequence[Sequence[Cell]], nothing: str) -> list[Line]:
    return columns(rows) if rows else [line(nothing)]
