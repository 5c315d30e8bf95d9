"""The state tables of one member as rows, with a hash of the whole content that costs nothing to keep up (I13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.consensus.state.rows import SHAPES, Change, Row

Tables = dict[str, tuple[Row, ...]]


class StateRows:
    """Rows by table and key. `content` is equal for equal rows, however they came about."""

    def __init__(self, tables: Mapping[str, Iterable[Row]] | None = None) -> None:
        """Start empty, or from the rows of a store or snapshot."""
        self._tables: dict[str, dict[Row, Row]] = {table: {} for table in SHAPES}
        self.content = 0
        self.replace({} if tables is None else tables)

    def apply(self, changes: Iterable[Change]) -> None:
        """Carry out the changes of an entry."""
        for change in changes:
            rows = self._tables[change.table]
            before = rows.pop(change.key, None)
            if before is not None:
                self.content ^= hash((change.table, before))
            if change.row is not None:
                rows[change.key] = change.row
                self.content ^= hash((change.table, change.row))

    def replace(self, tables: Mapping[str, Iterable[Row]], *, keep_others: bool = False) -> None:
        """Put these rows in place of all; `keep_others` is the mistake of forgetting to delete the old ones (N4)."""
        for table, shape in SHAPES.items():
            rows = self._tables[table] if keep_others else {}
            rows.update((row[: len(shape.key)], row) for row in tables.get(table, ()))
            self._tables[table] = rows
        self.content = 0
        for table, kept in self._tables.items():
            for row in kept.values():
                self.content ^= hash((table, row))

    def tables(self) -> Tables:
        """Return a copy of all rows, in the order of their keys."""
        return {table: tuple(rows[key] for key in sorted(rows)) for table, rows in self._tables.items()}


def content_of(tables: Mapping[str, Sequence[Row]]) -> int:
    """Return the `content` of rows that are not in use."""
    return StateRows(tables).content
