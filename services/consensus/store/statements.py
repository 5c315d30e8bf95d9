"""The statements that write, in the driver's own words: Core would cost a fifth of the time there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from services.consensus.raft.configuration import NO_MEMBERS, Configuration, encode_configuration
from services.consensus.raft.model import MILLISECOND, Entry, HardState, LogMark
from services.consensus.state.machine import Mark
from services.consensus.state.rows import SHAPES, Change, Row
from services.consensus.store import tables
from services.consensus.store.checksums import checksum_of_entry, checksum_of_row
from services.consensus.store.standing import Standing, StoredMember
from services.consensus.store_write import Install, StoreWrite

_SLICE: Final = 1_000
"""Rows deleted or inserted by one statement, so that none takes long."""
_MARK_COLUMNS: Final = (
    "applied_index",
    "applied_term",
    "machine_time_ms",
    "state_digest",
    "log_index",
    "log_term",
    "configuration_index",
    "crc32c",
    "configuration",
)
_LAST: Final = "SELECT log_index, crc32c FROM raft_log WHERE log_index = (SELECT max(log_index) FROM raft_log)"


class Statements:
    """Carries out a `StoreWrite` on a cursor, within a transaction."""

    def __init__(self, dialect: sa.Dialect) -> None:
        """Compile them."""

        def text(statement: Any) -> str:
            return str(statement.compile(dialect=dialect))

        def replace_row(table: sa.Table) -> str:
            # Both databases know REPLACE: these rows have no children and no counters.
            return text(table.insert()).replace("INSERT INTO", "REPLACE INTO", 1)

        def update(table: sa.Table, *columns: str) -> str:
            return text(table.update().ordered_values(*((column, sa.bindparam(f"new_{column}")) for column in columns)))

        log_index = tables.raft_log.c.log_index
        self._insert = text(tables.raft_log.insert())
        self._truncate = text(tables.raft_log.delete().where(log_index >= sa.bindparam("start")))
        self._forget = text(tables.raft_log.delete().where(log_index <= sa.bindparam("end")))
        self._term = text(sa.select(tables.raft_log.c.term).where(log_index == sa.bindparam("place")))
        self._vote = update(tables.raft_vote, "current_term", "voted_for", "promise_max_ms", "crc32c")
        self._member = update(tables.raft_member, "group_id", "quarantine", "crc32c")
        self._mark = update(tables.raft_mark, *_MARK_COLUMNS)
        self._put = {name: replace_row(table) for name, table in tables.STATE_TABLES.items()}
        self._add = {name: text(table.insert()) for name, table in tables.STATE_TABLES.items()}
        self._delete = {
            name: text(table.delete().where(*(table.c[key] == sa.bindparam(f"key_{key}") for key in SHAPES[name].key)))
            for name, table in tables.STATE_TABLES.items()
        }
        self._empty = {name: text(table.delete()) for name, table in tables.STATE_TABLES.items()}
        # Statements on a server have to end before the connection's timeout.
        self._limit = "" if dialect.name == "sqlite" else f" LIMIT {_SLICE}"
        self.select: Final = {
            name: text(sa.select(table).order_by(*table.primary_key.columns))
            for name, table in tables.STATE_TABLES.items()
        }
        """Of each state table, all rows by key."""
        count = tables.raft_member.c.probe_count
        self.probe: Final = text(tables.raft_member.update().values(probe_count=count + sa.literal_column("1")))
        self._encoded: tuple[Configuration, str | None] = (NO_MEMBERS, None)

    def write(self, cursor: Any, write: StoreWrite, before: Standing, compact_to: LogMark) -> Standing:
        """Carry out a write in the order of 14.1 and return where the store stands then.

        Args:
            cursor: In a transaction.
            write: What to write.
            before: Where the store stands.
            compact_to: Forget the log up to here once the state rows are that far; never moves the mark back.
        """
        member = self._write_member(cursor, write, before.member)
        hard_state = self._write_vote(cursor, write.hard_state, before.hard_state)
        if write.truncate_from is not None:
            cursor.execute(self._truncate, (write.truncate_from,))
        mark, log_mark = write.mark or before.mark, before.log_mark
        if write.install is not None:
            log_mark = self._install(cursor, write.install)
            mark = write.mark or write.install.mark
        if write.entries:
            cursor.executemany(self._insert, [entry_row(entry) for entry in write.entries])
        self._change(cursor, write.changes)
        assert mark.applied_index >= before.mark.applied_index, "I16: what is applied only grows"
        # State rows may be behind what the member has applied: the log is the only place that has the rest (S4).
        if log_mark.index < compact_to.index <= mark.applied_index:
            log_mark = compact_to
        if (mark, log_mark) != (before.mark, before.log_mark):
            cursor.execute(self._mark, self.mark_row(mark, log_mark))
        last_index, last_checksum = self._last(cursor, write, before, log_mark)
        return Standing(member, hard_state, log_mark, mark, last_index, last_checksum)

    def forget(self, cursor: Any, up_to: int) -> None:
        """Delete log rows up to an index."""
        cursor.execute(self._forget, (up_to,))

    def mark_row(self, mark: Mark, log_mark: LogMark) -> tuple[int | str | bytes | None, ...]:
        """Return the row of `raft_mark`, without its id."""
        if mark.configuration is not self._encoded[0]:
            data = encode_configuration(mark.configuration)
            self._encoded = (mark.configuration, data.decode("ascii"))
        configuration = None if mark.configuration == NO_MEMBERS else self._encoded[1]
        head = (mark.applied_index, mark.applied_term, mark.time_ms, mark.digest, log_mark.index, log_mark.term)
        checksum = checksum_of_row((*head, mark.configuration_index, configuration))
        return (*head, mark.configuration_index, checksum, configuration)

    def _write_member(self, cursor: Any, write: StoreWrite, before: StoredMember) -> StoredMember:
        member = replace(
            before,
            group_id=before.group_id or write.group_id,
            quarantine=before.quarantine or write.quarantine[: tables.TEXT_CHARACTERS],
        )
        if member != before:
            cursor.execute(self._member, (member.group_id, member.quarantine, member_checksum(member)))
        return member

    def _write_vote(self, cursor: Any, hard_state: HardState | None, before: HardState) -> HardState:
        if hard_state is None:
            return before
        row = vote_row(hard_state)
        cursor.execute(self._vote, row)
        return HardState(row[0], row[1], row[2] * MILLISECOND)

    def _install(self, cursor: Any, install: Install) -> LogMark:
        for name in tables.STATE_TABLES:
            self._delete_many(cursor, self._empty[name], ())
            rows = install.tables.get(name, ())
            for start in range(0, len(rows), _SLICE):
                cursor.executemany(self._add[name], rows[start : start + _SLICE])
        log_mark = LogMark(install.mark.applied_index, install.mark.applied_term)
        cursor.execute(self._term, (log_mark.index,))
        found = cursor.fetchone()
        if found is not None and found[0] == log_mark.term:
            self._delete_many(cursor, self._forget, (log_mark.index,))
        else:
            self._delete_many(cursor, self._truncate, (0,))
        return log_mark

    def _delete_many(self, cursor: Any, statement: str, parameters: tuple[int, ...]) -> None:
        cursor.execute(statement + self._limit, parameters)
        while self._limit and cursor.rowcount >= _SLICE:
            cursor.execute(statement + self._limit, parameters)

    def _change(self, cursor: Any, changes: Iterable[Change]) -> None:
        newest: dict[str, dict[Row, Row | None]] = defaultdict(dict)
        for change in changes:
            newest[change.table][change.key] = change.row
        for name, rows in newest.items():
            gone = [key for key, row in rows.items() if row is None]
            if gone:
                cursor.executemany(self._delete[name], gone)
            kept = [row for row in rows.values() if row is not None]
            if kept:
                cursor.executemany(self._put[name], kept)

    def _last(self, cursor: Any, write: StoreWrite, before: Standing, log_mark: LogMark) -> tuple[int, int]:
        if write.entries:
            entry = write.entries[-1]
            found = (entry.index, entry_checksum(entry))
        elif write.truncate_from is None and write.install is None:
            found = (before.last_index, before.last_checksum)
        else:
            found = last_row(cursor)
        return found if found[0] > log_mark.index else (log_mark.index, 0)


def last_row(cursor: Any) -> tuple[int, int]:
    """Return index and checksum of the last log row; zeros when there is none."""
    cursor.execute(_LAST)
    found = cursor.fetchone()
    return (found[0], found[1]) if found else (0, 0)


def vote_row(state: HardState) -> tuple[int, int, int, int]:
    """Return the row of `raft_vote`, without its id."""
    # Rounded up: a promise is never remembered as shorter than it was.
    head = (state.current_term, state.voted_for, -(-state.promise_max_ns // MILLISECOND))
    return (*head, checksum_of_row(head))


def member_checksum(member: StoredMember) -> int:
    """Return the checksum of a row of `raft_member`."""
    came_back = (member.listed_id,) if member.listed_id else ()  # Without, the checksum is that of older revisions.
    return checksum_of_row(
        (member.group_id, member.member_id, member.incarnation, member.group_name, member.quarantine, *came_back)
    )


def entry_row(entry: Entry) -> tuple[object, ...]:
    """Return the row of `raft_log`."""
    kind = entry.kind.value
    checksum = checksum_of_entry(entry.index, entry.term, kind, entry.stamp_ms, entry.data)
    return (entry.index, entry.term, kind, entry.stamp_ms, checksum, entry.data)


def entry_checksum(entry: Entry) -> int:
    """Return the checksum of an entry."""
    return checksum_of_entry(entry.index, entry.term, entry.kind.value, entry.stamp_ms, entry.data)
