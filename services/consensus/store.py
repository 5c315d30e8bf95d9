"""One member's database: identity, vote, log, mark and state tables, in one transaction per batch (14).

SQLAlchemy Core makes schema, statements and connections; the hot statements go to the driver's connection, where Core
would cost a fifth of the time.
"""

from __future__ import annotations

import contextlib
import time
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from services.consensus import migrations, tables
from services.consensus.backend_sqlite import SqliteBackend
from services.consensus.machine import Mark
from services.consensus.model import MILLISECOND, Entry, EntryKind, HardState
from services.consensus.ports import StoreBroken, StoredState, StoreError, StoreRefused
from services.consensus.rows import SHAPES, Change
from services.consensus.store_write import StoreWrite

EXIT_STORE: Final = 74
"""Exit code of a process whose store cannot be used (sysexits.h, EX_IOERR)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a store belongs to."""

    group_id: str
    member_id: int


def open_store(url: str, identity: Identity, *, allow_volatile: bool = False) -> SqlStore:
    """Open a member's store, making or migrating it where needed.

    Args:
        url: `sqlite:///file` or `mysql://user:password@host:port/schema`.
        identity: Whose it must be.
        allow_volatile: Accept a file system that forgets.

    Raises:
        StoreRefused: It may not be used.
        StoreError: It cannot be used.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqlStore(SqliteBackend(parsed, allow_volatile=allow_volatile), identity)
    if parsed.get_backend_name() in ("mysql", "mariadb"):
        from services.consensus.backend_mysql import MySqlBackend

        return SqlStore(MySqlBackend(parsed, identity.member_id), identity)
    raise StoreRefused(f"store_url: {parsed.get_backend_name()} is not supported, use sqlite or mysql")


class SqlStore:
    """A store on one connection, used by one thread at a time."""

    def __init__(self, backend: Any, identity: Identity) -> None:
        """Open it; see `open_store`."""
        self._backend = backend
        self._identity = identity
        self._backend.claim()
        with contextlib.ExitStack() as undo:
            undo.callback(self._backend.release)
            self._engine = sa.create_engine(backend.url, poolclass=sa.NullPool, **backend.engine_options)
            undo.callback(self._engine.dispose)
            sa.event.listen(self._engine, "begin", lambda opened: opened.exec_driver_sql(backend.begin_statement))
            self._connection = self._connect()
            undo.callback(self._connection.close)
            self._raw: Any = self._connection.connection.driver_connection
            self._statements = _Statements(self._engine.dialect)
            self._migrate()
            undo.pop_all()

    def load(self) -> StoredState:
        """Check everything and return it (S7); see the port."""
        try:
            self._backend.check(self._raw)
            with self._connection.begin():
                return self._read()
        except sa.exc.DBAPIError as error:
            raise self._backend.translate(_cause(error)) from error

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        """Write in one durable transaction; see the port."""
        truncate_from = write.truncate_from
        if again and write.entries:
            truncate_from = min(truncate_from or write.entries[0].index, write.entries[0].index)
        self._transaction(lambda cursor: self._statements.write(cursor, write, truncate_from))

    def probe(self) -> None:
        """Write durably without meaning; see the port."""
        self._transaction(lambda cursor: cursor.execute(self._statements.probe))

    def reconnect(self) -> None:
        """Connect anew; see the port."""
        self._connection.invalidate()
        self._connection.close()
        self._connection = self._connect()
        self._raw = self._connection.connection.driver_connection

    def tidy(self) -> None:
        """Keep the database small and fast; see the port."""
        try:
            self._backend.tidy(self._raw)
        except Exception as error:
            raise self._backend.translate(error) from error

    def close(self) -> None:
        """Let the database go."""
        self._connection.close()
        self._engine.dispose()
        self._backend.release()

    def _connect(self) -> sa.Connection:
        try:
            connection = self._engine.connect()
        except sa.exc.DBAPIError as error:
            raise self._backend.translate(_cause(error)) from error
        try:
            self._backend.prepare(connection.connection.driver_connection)
        except StoreError:
            connection.close()
            raise
        except Exception as error:
            connection.close()
            raise self._backend.translate(error) from error
        return connection

    def _migrate(self) -> None:
        try:
            with self._connection.begin():
                migrations.upgrade(self._connection)
                self._check_identity()
        except migrations.NewerSchema as error:
            raise StoreRefused(str(error)) from error
        except sa.exc.DBAPIError as error:
            raise self._backend.translate(_cause(error)) from error

    def _check_identity(self) -> None:
        found = self._connection.execute(sa.select(tables.raft_member)).one_or_none()
        if found is None:
            self._connection.execute(
                tables.raft_member.insert().values(
                    id=1,
                    group_id=self._identity.group_id,
                    member_id=self._identity.member_id,
                    incarnation=str(uuid.uuid4()),
                    create_ms=time.time_ns() // MILLISECOND,
                    probe_count=0,
                )
            )
        elif (found.group_id, found.member_id) != (self._identity.group_id, self._identity.member_id):
            raise StoreRefused(
                f"the store belongs to member {found.member_id} of group {found.group_id}, not to member "
                f"{self._identity.member_id} of group {self._identity.group_id}: is store_url that of another member, "
                "or did `members` change?"
            )

    def _read(self) -> StoredState:
        member = self._connection.execute(sa.select(tables.raft_member)).one()
        entries = tuple(_checked_entries(self._connection.execute(_all_rows(tables.raft_log))))
        mark = self._read_mark()
        last_index = entries[-1].index if entries else 0
        if mark.applied_index > last_index:
            raise StoreBroken(f"applied_index {mark.applied_index} is above the last log index {last_index}")
        rows = {
            name: [tuple(row) for row in self._connection.execute(_all_rows(table))]
            for name, table in tables.STATE_TABLES.items()
        }
        return StoredState(member.incarnation, self._read_vote(), entries, mark, rows)

    def _read_vote(self) -> HardState:
        vote = self._connection.execute(sa.select(tables.raft_vote)).one_or_none()
        if vote is None:
            return HardState()
        return HardState(vote.current_term, vote.voted_for, vote.promise_max_ms * MILLISECOND)

    def _read_mark(self) -> Mark:
        mark = self._connection.execute(sa.select(tables.raft_mark)).one_or_none()
        if mark is None:
            return Mark()
        return Mark(mark.applied_index, mark.applied_term, mark.machine_time_ms, bytes(mark.state_digest))

    def _transaction(self, work: Any) -> None:
        try:
            cursor = self._raw.cursor()
            cursor.execute(self._backend.begin_statement)
            work(cursor)
            self._raw.commit()
        except Exception as error:
            self._roll_back()
            raise self._backend.translate(error) from error

    def _roll_back(self) -> None:
        # A connection that cannot roll back has lost the transaction anyway.
        with contextlib.suppress(Exception):
            self._raw.rollback()


class _Statements:
    """The hot statements, in the driver's own words."""

    def __init__(self, dialect: sa.Dialect) -> None:
        def text(statement: Any) -> str:
            return str(statement.compile(dialect=dialect))

        def replace(table: sa.Table) -> str:
            # Both databases know REPLACE: these rows have no children and no counters.
            return text(table.insert()).replace("INSERT INTO", "REPLACE INTO", 1)

        log_index = tables.raft_log.c.log_index
        self._insert = text(tables.raft_log.insert())
        self._truncate = text(tables.raft_log.delete().where(log_index >= sa.bindparam("start")))
        self._vote = replace(tables.raft_vote)
        self._mark = replace(tables.raft_mark)
        self._put = {name: replace(table) for name, table in tables.STATE_TABLES.items()}
        self._delete = {
            name: text(table.delete().where(*(table.c[key] == sa.bindparam(f"key_{key}") for key in SHAPES[name].key)))
            for name, table in tables.STATE_TABLES.items()
        }
        count = tables.raft_member.c.probe_count
        self.probe = text(tables.raft_member.update().values(probe_count=count + sa.literal_column("1")))

    def write(self, cursor: Any, write: StoreWrite, truncate_from: int | None) -> None:
        """Carry out a write, in the order of 14.1."""
        if write.hard_state is not None:
            cursor.execute(self._vote, _vote_row(write.hard_state))
        if truncate_from is not None:
            cursor.execute(self._truncate, (truncate_from,))
        if write.entries:
            cursor.executemany(self._insert, [_entry_row(entry) for entry in write.entries])
        for change in write.changes:
            self._change(cursor, change)
        if write.mark is not None:
            mark = write.mark
            cursor.execute(self._mark, (1, mark.applied_index, mark.applied_term, mark.time_ms, mark.digest))

    def _change(self, cursor: Any, change: Change) -> None:
        if change.row is None:
            cursor.execute(self._delete[change.table], change.key)
        else:
            cursor.execute(self._put[change.table], change.row)


def _all_rows(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).order_by(*table.primary_key.columns)


def _vote_row(state: HardState) -> tuple[int, ...]:
    # Rounded up: a promise is never remembered as shorter than it was.
    return (1, state.current_term, state.voted_for, -(-state.promise_max_ns // MILLISECOND))


def _entry_row(entry: Entry) -> tuple[object, ...]:
    return (entry.index, entry.term, entry.kind.value, entry.stamp_ms, _checksum(entry), entry.data)


def _checksum(entry: Entry) -> int:
    head = f"{entry.index},{entry.term},{entry.kind.value},{entry.stamp_ms},".encode("ascii")
    return zlib.crc32(entry.data, zlib.crc32(head))


def _checked_entries(rows: Iterable[Sequence[Any]]) -> Iterable[Entry]:
    for expected, (log_index, term, kind, stamp_ms, crc32, data) in enumerate(rows, start=1):
        if log_index != expected:
            raise StoreBroken(f"the log has a gap: entry {expected} is missing")
        try:
            entry = Entry(log_index, term, EntryKind(kind), stamp_ms, bytes(data))
        except (TypeError, ValueError) as error:
            raise StoreBroken(f"log entry {log_index} is damaged: {error}") from error
        if _checksum(entry) != crc32:
            raise StoreBroken(f"log entry {log_index} is damaged: its checksum is wrong")
        yield entry


def _cause(error: sa.exc.DBAPIError) -> Exception:
    return error.orig if isinstance(error.orig, Exception) else error
