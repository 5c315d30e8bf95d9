"""State as rows: what the state machine keeps in memory and the store keeps in tables, column for column (10).

A row is a flat value; a change puts one row or deletes it. Changes are the whole effect of an entry, on disk and in
the digest, so two members with equal digests have equal tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

import msgspec
from msgspec import Struct

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
STOPS: Final = "state_stop"
PRIMARIES: Final = "state_primary"
REQUESTS: Final = "state_request"
DOWNTIMES: Final = "state_downtime"
MAINTENANCES: Final = "state_maintenance"
PROMOTION_RULES: Final = "state_promotion_rule"
TAGS: Final = "state_tag"
POOLS: Final = "state_pool"
CLUSTER_NAMES: Final = "state_cluster_name"
POLICIES: Final = "state_policy"
SETTINGS: Final = "state_setting"
REVISIONS: Final = "state_revision"
SESSIONS: Final = "state_session"
SESSION_ANSWERS: Final = "state_session_answer"
GROUP_SETTINGS: Final = "state_group_settings"
GROUP_VERSIONS: Final = "state_group_version"
REPLACEMENTS: Final = "state_replacement"

_WRITTEN: Final = ("owner", "reason", "log_index", "write_ms")
"""Last columns of every item of the registry."""

SCHEMA_REVISION: Final = 1
"""Grows with every release that changes `SHAPES`; a snapshot of a newer one is refused (N6)."""
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
        ("phase", "fencing_token", "hold_ms", "data", "intent_ms", "end_ms", "log_index", "instance"),
    ),
    STOPS: TableShape(("recovery_id", "fencing_token", "step"), ("statement", "outcome_known", "stop_ms", "log_index")),
    PRIMARIES: TableShape(
        ("cluster_id",),
        ("alias", "host", "port", "server_uuid", "epoch", "publish_ms", "recovery_id", "former", "log_index"),
    ),
    REQUESTS: TableShape(("request_id",), ("fingerprint", "log_index", "stamp_ms", "result")),
    DOWNTIMES: TableShape(("scope",), ("begin_ms", "end_ms", *_WRITTEN)),
    MAINTENANCES: TableShape(("scope",), ("maintenance_id", "begin_ms", "end_ms", *_WRITTEN)),
    PROMOTION_RULES: TableShape(("instance",), ("rule", "end_ms", *_WRITTEN)),
    TAGS: TableShape(("instance", "name"), ("value", *_WRITTEN)),
    POOLS: TableShape(("name",), ("members", "end_ms", *_WRITTEN)),
    CLUSTER_NAMES: TableShape(("cluster_id",), ("alias", "domain", *_WRITTEN)),
    POLICIES: TableShape(
        ("scope",),
        (
            "mode",
            "loss",
            "max_lost_transactions",
            "fence_required",
            "min_observers",
            "without_observers",
            "block_period_ms",
            "end_ms",
            *_WRITTEN,
        ),
    ),
    SETTINGS: TableShape(("name",), ("value", *_WRITTEN)),
    REVISIONS: TableShape(("name",), ("log_index",)),
    SESSIONS: TableShape(("session_id",), ("owner", "acked_below", "last_index", "touch_ms")),
    SESSION_ANSWERS: TableShape(("session_id", "sequence"), ("fingerprint", "result")),
    GROUP_SETTINGS: TableShape(
        ("id",), ("heartbeat_ns", "election_min_ns", "election_max_ns", "clock_drift_ppm", "log_index")
    ),
    GROUP_VERSIONS: TableShape(("id",), ("version", "log_index")),
    REPLACEMENTS: TableShape(("replacement_id",), ("old_member_id", "new_member", "state", "log_index", "begin_index")),
}


class Change(Struct, frozen=True):
    """One row that is new, different or gone.

    Attributes:
        table: Key of `SHAPES`.
        key: Primary key.
        row: All columns, the key's first; None = deleted.
    """

    table: str
    key: Row
    row: Row | None


class RowsOf(Sequence[Row]):
    """Rows of records that may live elsewhere, made only when they are looked at: a snapshot copies nothing twice."""

    def __init__(self, records: Sequence[Any], to_row: Callable[[Any], Row]) -> None:
        """Take records that never change, and how a row is made of one."""
        self._records = records
        self._to_row = to_row

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Row]:
        return map(self._to_row, self._records)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Row]: ...

    def __getitem__(self, place: int | slice) -> Row | Sequence[Row]:
        if isinstance(place, slice):
            return RowsOf(self._records[place], self._to_row)
        return self._to_row(self._records[place])


def put(table: str, row: Row) -> Change:
    """Return the change that writes a row."""
    return Change(table, row[: len(SHAPES[table].key)], row)


def delete(table: str, key: Row) -> Change:
    """Return the change that deletes a row."""
    return Change(table, key, None)


def canonical(changes: Iterable[Change]) -> bytes:
    """Return changes in the one form that goes into the digest (A4)."""
    return _CANONICAL.encode([(change.table, change.key, change.row) for change in changes])


_CANONICAL: Final = msgspec.json.Encoder()
