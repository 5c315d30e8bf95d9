"""Commands of the registry. Times are Unix milliseconds, spans milliseconds; None where there is no limit.

A span counts from the machine time of the entry (T4), so that a repeated request is the same request.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.consensus.state.registry.origin import Origin


@dataclass(frozen=True, slots=True)
class BeginDowntime:
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


@dataclass(frozen=True, slots=True)
class EndDowntime:
    """End a downtime before its time."""

    origin: Origin
    scope: str


@dataclass(frozen=True, slots=True)
class BeginMaintenance:
    """Take an instance or a cluster for exclusive work.

    Attributes:
        maintenance_id: Of the maintenance to prolong; 0 = a new one.
    """

    origin: Origin
    scope: str
    span_ms: int
    maintenance_id: int


@dataclass(frozen=True, slots=True)
class EndMaintenance:
    """Let an instance or a cluster go. `maintenance_id` 0 = whoever has it."""

    origin: Origin
    scope: str
    maintenance_id: int


@dataclass(frozen=True, slots=True)
class SetPromotionRule:
    """Say how an instance is to be treated when a successor is chosen. `span_ms` None = until deleted."""

    origin: Origin
    instance: str
    rule: str
    span_ms: int | None


@dataclass(frozen=True, slots=True)
class DeletePromotionRule:
    """Forget an instance's rule."""

    origin: Origin
    instance: str


@dataclass(frozen=True, slots=True)
class SetTag:
    """Put a tag on an instance."""

    origin: Origin
    instance: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DeleteTag:
    """Take a tag off an instance."""

    origin: Origin
    instance: str
    name: str


@dataclass(frozen=True, slots=True)
class SetPool:
    """Say which instances a pool has; replaces what it had. `span_ms` None = until deleted."""

    origin: Origin
    name: str
    members: tuple[str, ...]
    span_ms: int | None


@dataclass(frozen=True, slots=True)
class DeletePool:
    """Forget a pool."""

    origin: Origin
    name: str


@dataclass(frozen=True, slots=True)
class SetClusterName:
    """Name a cluster. Empty `domain` = it has none."""

    origin: Origin
    cluster_id: str
    alias: str
    domain: str


@dataclass(frozen=True, slots=True)
class DeleteClusterName:
    """Forget a cluster's name."""

    origin: Origin
    cluster_id: str


@dataclass(frozen=True, slots=True)
class SetPolicy:
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


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Forget a scope's policy: the wider scope's holds."""

    origin: Origin
    scope: str


@dataclass(frozen=True, slots=True)
class SetSetting:
    """Write a setting."""

    origin: Origin
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class DeleteSetting:
    """Forget a setting: its default holds."""

    origin: Origin
    name: str


@dataclass(frozen=True, slots=True)
class EndDue:
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
