"""Downtimes: spans in which automatic recovery leaves an instance or a cluster alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from services.consensus.state.registry.commands import BeginDowntime
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry_errors import Contradiction
from services.consensus.state.rows import Row

MAX_SPAN_MS: Final = 366 * 24 * 3_600 * 1_000
"""A year and a day: what is left alone for longer is forgotten."""


@dataclass(frozen=True, slots=True)
class Downtime:
    """A downtime, from `begin_ms` until before `end_ms`; Unix milliseconds of machine time."""

    scope: str
    begin_ms: int
    end_ms: int
    written: Written

    def active_at(self, now_ms: int) -> bool:
        """Return whether it holds at a machine time."""
        return self.begin_ms <= now_ms < self.end_ms

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.scope,)

    def to_row(self) -> Row:
        """Return the row of `state_downtime`."""
        return (self.scope, self.begin_ms, self.end_ms, *self.written.to_row())

    @classmethod
    def from_row(cls, scope: str, begin_ms: int, end_ms: int, *written: Any) -> Downtime:
        """Return the downtime of a row."""
        return cls(scope, begin_ms, end_ms, Written(*written))


def begin_downtime(table: ItemTable[Downtime], command: BeginDowntime, written: Written) -> Outcome[Downtime]:
    """Begin a downtime in the place of the one its scope has."""
    begin_ms = written.write_ms if command.begin_ms is None else command.begin_ms
    end_ms = begin_ms + command.span_ms if command.end_ms is None else command.end_ms
    if end_ms <= max(begin_ms, written.write_ms):
        return (), Contradiction("end_time", "is not after the begin, or has passed")
    if end_ms - begin_ms > MAX_SPAN_MS:
        return (), Contradiction("end_time", "is more than a year and a day after the begin")
    return table.write(Downtime(command.scope, begin_ms, end_ms, written))
