"""Answers of the state machine as text: what a repeated request is told (P1)."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final

from services.consensus import errors
from services.consensus.state import group_errors, registry_errors
from services.consensus.state.directory import Primary
from services.consensus.state.group_settings import GroupSettings
from services.consensus.state.registry.cluster_name import ClusterName
from services.consensus.state.registry.downtime import Downtime
from services.consensus.state.registry.maintenance import Maintenance
from services.consensus.state.registry.policy import Policy
from services.consensus.state.registry.pool import Pool
from services.consensus.state.registry.promotion_rule import PromotionRule
from services.consensus.state.registry.registry import RegistryItem
from services.consensus.state.registry.setting import Setting
from services.consensus.state.registry.tag import Tag
from services.consensus.state.sessions import Session
from services.shared.runtime.errors import DomainError

StoredAnswer = RegistryItem | Primary | Session | GroupSettings | DomainError
"""What a request may have been answered with."""

_ROWS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (Primary, Downtime, Maintenance, PromotionRule, Tag, Pool, ClusterName, Policy, Setting)
}
_VALUES: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        Session,
        GroupSettings,
        errors.RequestIdReused,
        group_errors.InvalidSettings,
        registry_errors.AliasTaken,
        registry_errors.Contradiction,
        registry_errors.ItemUnknown,
        registry_errors.MaintenanceHeld,
        registry_errors.RegistryFull,
        registry_errors.SessionFull,
    )
}


def encode_answer(answer: StoredAnswer) -> str:
    """Return an answer as text, equal for equal answers."""
    name = type(answer).__name__
    values = _ROWS[name].to_row(answer) if name in _ROWS else _values(answer)
    return json.dumps([name, *values], separators=(",", ":"))


def decode_answer(text: str) -> StoredAnswer:
    """Return the answer of a text."""
    kind, *values = json.loads(text)
    answer: StoredAnswer = _ROWS[kind].from_row(*values) if kind in _ROWS else _VALUES[kind](*values)
    return answer


def _values(answer: Any) -> tuple[Any, ...]:
    return tuple(getattr(answer, field.name) for field in fields(answer))
