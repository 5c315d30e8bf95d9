"""State as rows: what the state machine keeps in memory and the store keeps in tables, column for column (10).

A row is a flat value; a change puts one row or deletes it. Changes are the whole effect of an entry, on disk and in
the digest, so two members with equal digests have equal tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Value = int | str | bytes | None
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns of a table, the primary key's first."""

    key: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in the order of a row."""
        return self.key + self.values


LEASES: Final = "state_lease"
RECOVERIES: Final = "state_recovery"
STEPS: Final = "state_step"
PRIMARIES: Final = "state_primary"
REQUESTS: Final = "state_request"

SHAPES: Final[dict[str, TableShape]] = {
    LEASES: TableShape(("name",), ("member_id", "session_id", "fencing_token", "grant_term", "live")),
    RECOVERIES: TableShape(
        ("recovery_id",),
        (
            "cluster_id",
            "failed_instance",
            "fencing_token",
            "is_open",
            "successful",
            "register_ms",
            "close_ms",
            "successor",
            "data",
            "log_index",
        ),
    ),
    STEPS: TableShape(
        ("recovery_id", "number"),
        ("phase", "fencing_token", "hold_ms", "data", "intent_ms", "end_ms", "log_index"),
    ),
    PRIMARIES: TableShape(
        ("cluster_id",),
        ("alias", "host", "port", "server_uuid", "epoch", "publish_ms", "recovery_id", "former", "log_index"),
    ),
    REQUESTS: TableShape(("request_id",), ("fingerprint", "log_index", "stamp_ms", "result")),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One row that is new, different or gone.

    Attributes:
        table: Key of `SHAPES`.
        key: Primary key.
        row: All columns, the key's first; None = deleted.
    """

    table: str
    key: Row
    row: Row | None


def put(table: str, row: Row) -> Change:
    """Return the change that writes a row."""
    return Change(table, row[: len(SHAPES[table].key)], row)


def delete(table: str, key: Row) -> Change:
    """Return the change that deletes a row."""
    return Change(table, key, None)


def canonical(changes: Iterable[Change]) -> bytes:
    """Return changes in the one form that goes into the digest (A4)."""
    document = [(change.table, change.key, change.row) for change in changes]
    return json.dumps(document, default=_hexadecimal, separators=(",", ":")).encode("ascii")


def _hexadecimal(value: bytes) -> str:
    return value.hex()
