"""Pools: named sets of instances that other programs hand in and ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from services.consensus.state.registry.commands import SetPool
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.rows import Row


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool.

    Attributes:
        members: Instances, `host:port`, sorted, each once.
        end_ms: When it ends; None = when deleted.
    """

    name: str
    members: tuple[str, ...]
    end_ms: int | None
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.name,)

    def to_row(self) -> Row:
        """Return the row of `state_pool`."""
        return (self.name, json.dumps(self.members, separators=(",", ":")), self.end_ms, *self.written.to_row())

    @classmethod
    def from_row(cls, name: str, members: str, end_ms: int | None, *written: Any) -> Pool:
        """Return the pool of a row."""
        return cls(name, tuple(json.loads(members)), end_ms, Written(*written))


def set_pool(table: ItemTable[Pool], command: SetPool, written: Written) -> Outcome[Pool]:
    """Write the members of a pool."""
    members = tuple(sorted(set(command.members)))
    return table.write(Pool(command.name, members, written.end_ms(command.span_ms), written))
