"""The tables of the registry, sessions and the group on every database: what the machine writes comes back equal."""

from __future__ import annotations

from services.consensus.state.machine import Machine
from services.consensus.state.rows import SHAPES, Row
from services.consensus.store_write import StoreWrite
from tests.contract.store.conftest import Database, entries
from tests.support.machine_history import HISTORY, UNTOUCHED


def test_every_table_comes_back_as_it_was_written(database: Database) -> None:
    store, state = database.load()
    machine = Machine(state.mark, state.tables, max_group_version=2)
    for index, command in enumerate(HISTORY, start=state.mark.applied_index + 1):
        applied = machine.apply(index, 1, 1_700_000_000_000, command)
        assert not isinstance(applied.result, Exception)
        store.write(StoreWrite(index, None, None, entries(index), applied.changes, machine.mark))
    found = store.load()
    assert {name: _by_key(name, rows) for name, rows in found.tables.items()} == {
        name: _by_key(name, rows) for name, rows in machine.tables().items()
    }
    assert {name for name, rows in machine.tables().items() if not rows} == UNTOUCHED, "all other tables are tried"
    assert Machine(found.mark, found.tables).registry.policies.all() == machine.registry.policies.all()


def _by_key(name: str, rows: object) -> dict[Row, Row]:
    return {row[: len(SHAPES[name].key)]: tuple(row) for row in rows}  # type: ignore[attr-defined]  # Rows of a table.
