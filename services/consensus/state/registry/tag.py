"""Tags: names with a value that people put on instances; nothing is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.consensus.state.registry.commands import SetTag
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.rows import Row


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of one instance, `host:port`; the value may be empty."""

    instance: str
    name: str
    value: str
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.instance, self.name)

    def to_row(self) -> Row:
        """Return the row of `state_tag`."""
        return (self.instance, self.name, self.value, *self.written.to_row())

    @classmethod
    def from_row(cls, instance: str, name: str, value: str, *written: Any) -> Tag:
        """Return the tag of a row."""
        return cls(instance, name, value, Written(*written))


def set_tag(table: ItemTable[Tag], command: SetTag, written: Written) -> Outcome[Tag]:
    """Write a tag."""
    return table.write(Tag(command.instance, command.name, command.value, written))
