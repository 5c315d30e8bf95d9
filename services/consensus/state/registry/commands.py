"""Commands of the registry. Times are Unix milliseconds, spans milliseconds; None where there is no limit.

A span counts from the machine time of the entry (T4), so that a repeated request is the same request.
"""

from __future__ import annotations

from services.consensus.state.log_command import LogCommand
from services.consensus.state.registry.origin import Origin


class BeginDowntime(LogCommand, frozen=True):
    """Leave an instance or a cluster alone for a time; replaces the downtime it has.

    Attributes:
        scope: Instance or cluster.
        begin_ms: None = at once.
        end_ms: None = `span_ms` after the begin.
        span_ms: Ignored when `end_ms` is given.
    """

    origin: Origin
    scope: str
    begin_ms: int | None
    end_ms: int | None
    span_ms: int


class EndDowntime(LogCommand, frozen=True):
    """End a downtime before its time."""

    origin: Origin
    scope: str


class BeginMaintenance(LogCommand, frozen=True):
    """Take an instance or a cluster for exclusive work.

    Attributes:
        maintenance_id: Of the maintenance to prolong; 0 = a new one.
    """

    origin: Origin
    scope: str
    span_ms: int
    maintenance_id: int


class EndMaintenance(LogCommand, frozen=True):
    """Let an instance or a cluster go. `maintenance_id` 0 = whoever has it."""

    origin: Origin
    scope: str
    maintenance_id: int


class SetPromotionRule(LogCommand, frozen=True):
    """Say how an instance is to be treated when a successor is chosen. `span_ms` None = until deleted."""

    origin: Origin
    instance: str
    rule: str
    span_ms: int | None


class DeletePromotionRule(LogCommand, frozen=True):
    """Forget an instance's rule."""

    origin: Origin
    instance: str


class SetTag(LogCommand, frozen=True):
    """Put a tag on an instance."""

    origin: Origin
    instance: str
    name: str
    value: str


class DeleteTag(LogCommand, frozen=True):
    """Take a tag off an instance."""

    origin: Origin
    instance: str
    name: str


class SetPool(LogCommand, frozen=True):
    """Say which instances a pool has; replaces what it had. `span_ms` None = until deleted."""

    origin: Origin
    name: str
    members: tuple[str, ...]
    span_ms: int | None


class DeletePool(LogCommand, frozen=True):
    """Forget a pool."""

    origin: Origin
    name: str


class SetClusterName(LogCommand, frozen=True):
    """Name a cluster. Empty `domain` = it has none."""

    origin: Origin
    cluster_id: str
    alias: str
    domain: str


class DeleteClusterName(LogCommand, frozen=True):
    """Forget a cluster's name."""

    origin: Origin
    cluster_id: str


class SetPolicy(LogCommand, frozen=True):
    """Say what may be done in a scope; replaces the scope's policy. Empty and None = as the wider scope says.

    Attributes:
        mode / loss / without_observers: Values of the enums of `policy`.
        max_lost_transactions: Bound of a `bounded` loss.
        fence_required: 1 or 0.
        span_ms: None = until deleted.
    """

    origin: Origin
    scope: str
    mode: str
    loss: str
    max_lost_transactions: int | None
    fence_required: int | None
    min_observers: int | None
    without_observers: str
    block_period_ms: int | None
    span_ms: int | None


class DeletePolicy(LogCommand, frozen=True):
    """Forget a scope's policy: the wider scope's holds."""

    origin: Origin
    scope: str


class SetSetting(LogCommand, frozen=True):
    """Write a setting."""

    origin: Origin
    name: str
    value: str


class DeleteSetting(LogCommand, frozen=True):
    """Forget a setting: its default holds."""

    origin: Origin
    name: str


class EndDue(LogCommand, frozen=True):
    """End what has reached its end. Every entry does; the leader proposes this one when no other comes."""


RegistryCommand = (
    BeginDowntime
    | EndDowntime
    | BeginMaintenance
    | EndMaintenance
    | SetPromotionRule
    | DeletePromotionRule
    | SetTag
    | DeleteTag
    | SetPool
    | DeletePool
    | SetClusterName
    | DeleteClusterName
    | SetPolicy
    | DeletePolicy
    | SetSetting
    | DeleteSetting
)
