"""Maintenances: an instance or a cluster taken for exclusive work, by one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.consensus.state.registry.commands import BeginMaintenance, EndMaintenance
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry_errors import ItemUnknown, MaintenanceHeld
from services.consensus.state.rows import Row


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A maintenance, until before `end_ms`; Unix milliseconds of machine time.

    Attributes:
        maintenance_id: Log index of its begin; who has it prolongs or ends it with this.
    """

    scope: str
    maintenance_id: int
    begin_ms: int
    end_ms: int
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.scope,)

    def to_row(self) -> Row:
        """Return the row of `state_maintenance`."""
        return (self.scope, self.maintenance_id, self.begin_ms, self.end_ms, *self.written.to_row())

    @classmethod
    def from_row(cls, scope: str, maintenance_id: int, begin_ms: int, end_ms: int, *written: Any) -> Maintenance:
        """Return the maintenance of a row."""
        return cls(scope, maintenance_id, begin_ms, end_ms, Written(*written))


def begin_maintenance(
    table: ItemTable[Maintenance], command: BeginMaintenance, written: Written
) -> Outcome[Maintenance]:
    """Begin a maintenance where there is none, or prolong one's own."""
    held = _held(table, command.scope, written.write_ms)
    if held is not None and held.maintenance_id != command.maintenance_id:
        return (), MaintenanceHeld(held.scope, held.maintenance_id, held.written.owner, held.end_ms)
    if held is None and command.maintenance_id != 0:
        return (), ItemUnknown("maintenance", str(command.maintenance_id))
    begun = (written.log_index, written.write_ms) if held is None else (held.maintenance_id, held.begin_ms)
    return table.write(Maintenance(command.scope, *begun, written.write_ms + command.span_ms, written))


def end_maintenance(table: ItemTable[Maintenance], command: EndMaintenance, now_ms: int) -> Outcome[Maintenance]:
    """End a maintenance, only this one when its id is given."""
    held = _held(table, command.scope, now_ms)
    if held is not None and command.maintenance_id not in (0, held.maintenance_id):
        return (), MaintenanceHeld(held.scope, held.maintenance_id, held.written.owner, held.end_ms)
    return table.remove(command.scope)


def _held(table: ItemTable[Maintenance], scope: str, now_ms: int) -> Maintenance | None:
    held = table.get(scope)
    return None if held is None or held.end_ms <= now_ms else held
