"""Promotion rules: how an operator wants instances treated when a successor is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.consensus.state.registry.commands import SetPromotionRule
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.rows import Row


class Rule(StrEnum):
    """What an operator may ask for."""

    PREFER = "prefer"
    NEUTRAL = "neutral"
    PREFER_NOT = "prefer_not"
    MUST_NOT = "must_not"


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """The rule of one instance, `host:port`; `end_ms` None = until deleted."""

    instance: str
    rule: Rule
    end_ms: int | None
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.instance,)

    def to_row(self) -> Row:
        """Return the row of `state_promotion_rule`."""
        return (self.instance, self.rule.value, self.end_ms, *self.written.to_row())

    @classmethod
    def from_row(cls, instance: str, rule: str, end_ms: int | None, *written: Any) -> PromotionRule:
        """Return the rule of a row."""
        return cls(instance, Rule(rule), end_ms, Written(*written))


def set_promotion_rule(
    table: ItemTable[PromotionRule], command: SetPromotionRule, written: Written
) -> Outcome[PromotionRule]:
    """Write the rule of an instance."""
    return table.write(PromotionRule(command.instance, Rule(command.rule), written.end_ms(command.span_ms), written))
