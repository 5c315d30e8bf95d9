"""Policies: what may be done in the fleet, a cluster, or for one instance, and at what price.

A narrower policy says what differs; where it is silent, the wider one's word holds. Two groups of values are said
together or not at all: the loss rule with its bound, and the number of observers with what happens without them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from services.consensus.state.registry.commands import SetPolicy
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry.scope import FLEET, instance_of
from services.consensus.state.registry_errors import Contradiction
from services.consensus.state.rows import Row


class Mode(StrEnum):
    """What automation may do."""

    OBSERVE = "observe"
    """Look only."""
    ADVISE = "advise"
    """Say what it would do."""
    ACT = "act"
    """Do it."""


class LossRule(StrEnum):
    """Which candidates may be promoted."""

    LOSSLESS = "lossless"
    """Only one that has everything the primary acknowledged."""
    BOUNDED = "bounded"
    """One that lacks at most so many transactions."""
    AVAILABILITY_FIRST = "availability_first"
    """The best there is."""


class WithoutObservers(StrEnum):
    """What happens while fewer observers than asked for agree that a primary is dead."""

    WAIT = "wait"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one scope. None = as the wider scope says.

    Attributes:
        mode: What automation may do.
        loss: Which candidates may be promoted.
        max_lost_transactions: Bound of a `bounded` loss, else None.
        fence_required: Whether the former primary must be known to take no writes before another is promoted.
        min_observers: How many nodes must see a primary as dead.
        without_observers: What happens while fewer do.
        block_period_ms: Span after a recovery in which the cluster gets no other.
        end_ms: When the policy ends; None = when deleted.
    """

    scope: str
    mode: Mode | None
    loss: LossRule | None
    max_lost_transactions: int | None
    fence_required: bool | None
    min_observers: int | None
    without_observers: WithoutObservers | None
    block_period_ms: int | None
    end_ms: int | None
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.scope,)

    def to_row(self) -> Row:
        """Return the row of `state_policy`."""
        return (
            self.scope,
            _text(self.mode),
            _text(self.loss),
            self.max_lost_transactions,
            None if self.fence_required is None else int(self.fence_required),
            self.min_observers,
            _text(self.without_observers),
            self.block_period_ms,
            self.end_ms,
            *self.written.to_row(),
        )

    @classmethod
    def from_row(
        cls,
        scope: str,
        mode: str | None,
        loss: str | None,
        max_lost: int | None,
        fence: int | None,
        min_observers: int | None,
        without_observers: str | None,
        block_period_ms: int | None,
        end_ms: int | None,
        *written: Any,
    ) -> Policy:
        """Return the policy of a row."""
        return cls(
            scope,
            Mode(mode) if mode else None,
            LossRule(loss) if loss else None,
            max_lost,
            None if fence is None else bool(fence),
            min_observers,
            WithoutObservers(without_observers) if without_observers else None,
            block_period_ms,
            end_ms,
            Written(*written),
        )

    @property
    def decides_for_cluster(self) -> bool:
        """Whether it says anything beside the mode."""
        said = (self.loss, self.max_lost_transactions, self.fence_required, self.min_observers, self.block_period_ms)
        return any(value is not None for value in said)

    def over(self, wider: Policy | None) -> Policy:
        """Return what holds in this scope: this policy, and the wider one's where this is silent."""
        if wider is None:
            return self
        loss = self if self.loss is not None else wider
        observers = self if self.min_observers is not None else wider
        return replace(
            self,
            mode=self.mode or wider.mode,
            loss=loss.loss,
            max_lost_transactions=loss.max_lost_transactions,
            fence_required=wider.fence_required if self.fence_required is None else self.fence_required,
            min_observers=observers.min_observers,
            without_observers=observers.without_observers,
            block_period_ms=wider.block_period_ms if self.block_period_ms is None else self.block_period_ms,
        )


def set_policy(table: ItemTable[Policy], command: SetPolicy, written: Written) -> Outcome[Policy]:
    """Write the policy of a scope, unless it contradicts itself or what holds together with it."""
    policy = Policy.from_row(
        command.scope,
        command.mode,
        command.loss,
        command.max_lost_transactions,
        command.fence_required,
        command.min_observers,
        command.without_observers,
        command.block_period_ms,
        written.end_ms(command.span_ms),
        *written.to_row(),
    )
    if instance_of(policy.scope) is not None and policy.decides_for_cluster:
        return (), Contradiction("scope", "an instance has a mode only; the rest is decided for its cluster")
    fleet = policy if policy.scope == FLEET else table.get(FLEET)
    narrower = (each for each in table.all() if each.scope != FLEET) if policy is fleet else (policy,)
    refusal = _first_problem((policy, *(each.over(fleet) for each in narrower)))
    return ((), refusal) if refusal is not None else table.write(policy)


def _first_problem(policies: Iterable[Policy]) -> Contradiction | None:
    for policy in policies:
        for field, problem in _problems(policy):
            return Contradiction(field, f"{problem} ({policy.scope})")
    return None


def _problems(policy: Policy) -> Iterable[tuple[str, str]]:
    """Yield what contradicts itself: the field and why."""
    bounded, has_bound = policy.loss is LossRule.BOUNDED, policy.max_lost_transactions is not None
    if bounded != has_bound:
        yield "max_lost_transactions", "belongs to the loss rule `bounded`, and that rule needs it"
    if (policy.min_observers is None) != (policy.without_observers is None):
        yield "without_observers", "is said together with `min_observers`, or not at all"
    if policy.loss is LossRule.LOSSLESS and policy.fence_required is False:
        yield "fence_required", "an unfenced primary may acknowledge what `lossless` promises to keep"
    if policy.loss is LossRule.AVAILABILITY_FIRST and policy.fence_required:
        yield "fence_required", "a primary nobody can fence would block what `availability_first` asks for"


def _text(value: StrEnum | None) -> str | None:
    return None if value is None else str(value)
