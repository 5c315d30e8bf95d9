"""Settings of the fleet: names with a value; the values of those known here are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.consensus.state.registry.commands import SetSetting
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry_errors import Contradiction
from services.consensus.state.rows import Row

RECOVERIES: Final = "recoveries"
"""The global switch: `off` refuses every automatic recovery in the whole fleet (F7); absent = `on`."""
OFF: Final = "off"
KNOWN: Final[Mapping[str, tuple[str, ...]]] = {RECOVERIES: ("on", OFF)}
"""Values that settings with a meaning may have."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    value: str
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.name,)

    def to_row(self) -> Row:
        """Return the row of `state_setting`."""
        return (self.name, self.value, *self.written.to_row())

    @classmethod
    def from_row(cls, name: str, value: str, *written: Any) -> Setting:
        """Return the setting of a row."""
        return cls(name, value, Written(*written))


def set_setting(table: ItemTable[Setting], command: SetSetting, written: Written) -> Outcome[Setting]:
    """Write a setting, unless it has a meaning and the value has none."""
    values = KNOWN.get(command.name)
    if values is not None and command.value not in values:
        return (), Contradiction("value", f"{command.name} is one of {', '.join(values)}")
    return table.write(Setting(command.name, command.value, written))
