"""What operators say of instances: how to treat them, when to leave them alone, what to call them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class PromotionRule(enum.Enum):
    """How an operator wants an instance treated when a successor is chosen; smaller values are better."""

    MUST = 0
    PREFER = 1
    NEUTRAL = 2
    PREFER_NOT = 3
    MUST_NOT = 4


@dataclass(frozen=True, slots=True)
class Downtime:
    """A span in which automatic recovery leaves an instance alone."""

    owner: str
    reason: str
    end_time: datetime


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A span in which somebody works on an instance and nobody else may; `end_time` None = until it is ended."""

    owner: str
    reason: str
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag on an instance; nothing is decided by it."""

    name: str
    value: str = ""
