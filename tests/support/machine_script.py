"""Applies commands to a state machine one after another, and keeps the tables that its changes make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.consensus.raft.configuration import Configuration
from services.consensus.state.commands import Command, GrantLease
from services.consensus.state.machine import Machine, Result
from services.consensus.state.registry.origin import Origin
from services.consensus.state.rows import Change, Row

GRANT = GrantLease("recovery", 1, "s1")


def origin(request_id: str, owner: str = "ops", reason: str = "because") -> Origin:
    """Return where a write comes from."""
    return Origin(request_id, owner, reason)


class Script:
    """A machine, and its tables folded from changes.

    Attributes:
        machine: What commands are applied to.
        term: Term of the next entry.
        tables: Rows by table and key, from the changes alone.
        changes: Of the last entry.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        self.term = 1
        self.tables: dict[str, dict[Row, Row]] = defaultdict(dict)
        self.changes: tuple[Change, ...] = ()

    @property
    def index(self) -> int:
        """Index of the last entry."""
        return self.machine.mark.applied_index

    def apply(self, command: Command | Configuration | None, *, stamp_ms: int = 0) -> Result:
        """Apply the next entry and return its result."""
        applied = self.machine.apply(self.index + 1, self.term, stamp_ms, command)
        self.changes = applied.changes
        for change in applied.changes:
            if change.row is None:
                del self.tables[change.table][change.key]
            else:
                self.tables[change.table][change.key] = change.row
        return applied.result

    def rows(self) -> Mapping[str, Sequence[Row]]:
        """Return the folded tables as a store gives them back."""
        return {name: list(rows.values()) for name, rows in self.tables.items()}

    def restarted(self) -> Script:
        """Return the same state as after a restart."""
        script = Script(Machine(self.machine.mark, self.rows()))
        script.term = self.term
        script.tables.update({name: dict(rows) for name, rows in self.tables.items()})
        return script
