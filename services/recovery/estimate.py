"""How long a plan may take until writes are accepted, from typical times and the backlog that is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from services.recovery.model import Step, StepKind
from services.recovery.positions import applied_all, channel_from
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

TYPICAL: Final = {
    StepKind.PREFLIGHT: timedelta(milliseconds=50),
    StepKind.FENCE: timedelta(milliseconds=20),
    StepKind.BLOCK: timedelta(milliseconds=30),
    StepKind.FREEZE: timedelta(milliseconds=20),
    StepKind.CHOOSE: timedelta(milliseconds=5),
    StepKind.CATCH_UP: timedelta(milliseconds=150),
    StepKind.DRAIN: timedelta(milliseconds=10),
    StepKind.PROMOTE: timedelta(milliseconds=30),
    StepKind.SEMI_SYNC: timedelta(milliseconds=30),
}
"""Measured on MySQL 9.7, one machine. Steps of one kind run at once; those after the promotion do not count."""


def time_until_writes(steps: Sequence[Step], first: Instance, source: InstanceKey) -> timedelta | None:
    """Return how long steps may take; None when a backlog of unknown size has to be applied.

    Args:
        steps: All of a plan.
        first: Who has to apply what it received before anybody is promoted.
        source: Whom that one reads from.
    """
    backlog = timedelta()
    if not applied_all(first, source):
        channel = channel_from(first, source)
        if channel is None or channel.lag is None:
            return None
        backlog = channel.lag
    kinds = {step.kind for step in steps}
    return sum((time for kind, time in TYPICAL.items() if kind in kinds), backlog)
