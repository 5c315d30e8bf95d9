"""Compares what members have on their disks, once their processes are dead (23.5)."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.consensus.ports import StoreError
from services.consensus.store.report import read_only

_STATE_TABLES: Final = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name GLOB 'state_*'"
_MARK: Final = (
    "SELECT applied_index, applied_term, machine_time_ms, hex(state_digest), configuration_index, configuration "
    "FROM raft_mark"
)
_LOG: Final = "SELECT log_index, term, kind, stamp_ms, data FROM raft_log"


@dataclass(frozen=True)
class StoreContent:
    """What has to be the same on all members.

    Attributes:
        mark: Where the state stands: applied index first, with its digest and the configuration.
        tables: Definition and rows of each state table; every row with the types of its values, in order.
        log: Entries by index; members keep logs of different lengths, but what two have is the same.
    """

    mark: tuple[Any, ...]
    tables: Mapping[str, tuple[str, tuple[str, ...]]]
    log: Mapping[int, tuple[Any, ...]]

    @property
    def row_count(self) -> int:
        """Rows of all state tables."""
        return sum(len(rows) for _, rows in self.tables.values())


def read_mark(database: Path) -> tuple[Any, ...]:
    """Return where a store stands, whose member may run; applied index first."""
    with _opened(database) as connection:
        (mark,) = connection.execute(_MARK)
        return tuple(mark)


def read_content(database: Path) -> StoreContent:
    """Read a store with SQL alone, whatever the product makes of it."""
    with _opened(database) as connection:
        (mark,) = connection.execute(_MARK)
        definitions = connection.execute(_STATE_TABLES).fetchall()
        tables = {name: (sql, _rows(connection, name)) for name, sql in definitions}
        log = {row[0]: row[1:] for row in connection.execute(_LOG)}
        return StoreContent(tuple(mark), tables, log)


def compare_stores(databases: Mapping[str, Path]) -> tuple[int, list[str]]:
    """Compare stores of members that have applied the same; return how many rows each has, and what is wrong.

    Args:
        databases: Files by name of the member; nobody writes to them.
    """
    damaged = [text for name, database in databases.items() for text in _damage(name, database)]
    contents = {name: read_content(database) for name, database in databases.items()}
    (first, expected), *others = contents.items()
    differing = [text for name, content in others for text in _differences(first, expected, name, content)]
    return expected.row_count, [*damaged, *differing]


def _damage(name: str, database: Path) -> Iterator[str]:
    """Yield what the product itself finds wrong: checksums, gaps, a digest that is not there (S7)."""
    try:
        reading, beside = read_only(f"sqlite:///{database}")
    except StoreError as error:
        yield f"store of {name}: {error}"
    else:
        yield from (f"store of {name}: {problem}" for problem in (*beside, *reading.problems))


def _differences(first: str, expected: StoreContent, name: str, content: StoreContent) -> Iterator[str]:
    if content.mark != expected.mark:
        yield f"stores of {first} and {name} stand at {expected.mark} and {content.mark}"
    for table in sorted(expected.tables.keys() | content.tables.keys()):
        ours, theirs = expected.tables.get(table), content.tables.get(table)
        if ours == theirs:
            continue
        odd = sorted(set(ours[1] if ours else ()) ^ set(theirs[1] if theirs else ()))
        yield f"stores of {first} and {name} differ in {table}, {len(odd)} rows: {odd[:3]}"
    torn = sorted(
        index for index in expected.log.keys() & content.log.keys() if expected.log[index] != content.log[index]
    )
    if torn:
        yield f"logs of {first} and {name} differ in {len(torn)} entries, first at {torn[0]}"


def _rows(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(sorted(_exact(row) for row in connection.execute(f'SELECT * FROM "{table}"')))


def _exact(row: Sequence[Any]) -> str:
    return repr(tuple(row))  # Tells 1 from 1.0 and text from bytes.


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        yield connection


def stand_together(databases: Iterable[Path]) -> bool:
    """Tell whether running members have written the same state; it comes to disk a moment after it is applied."""
    return len({read_mark(database) for database in databases}) == 1
