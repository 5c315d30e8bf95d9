"""One member's database: identity, vote, log, marks and state tables, in one transaction per batch (14).

Beside it is a small file that says what the member has acknowledged (14.6). A store that is found damaged, or behind
that file, is left as it was found: nothing that this member still receives may count, and what is left of its log may
be needed by a person.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoredState, StoreRefused
from services.consensus.raft.configuration import NO_MEMBERS, Configuration
from services.consensus.raft.model import START
from services.consensus.store.acknowledged_file import Acknowledged, AcknowledgedFile
from services.consensus.store.backend import Backend
from services.consensus.store.backend_sqlite import SqliteBackend
from services.consensus.store.birth import Identity, prepare_schema
from services.consensus.store.database import Database
from services.consensus.store.reading import Reading, oldest_row, read_standing, read_store
from services.consensus.store.standing import Standing
from services.consensus.store.statements import Statements
from services.consensus.store_figures import StoreFigures
from services.consensus.store_write import StoreWrite

FORGET_ROWS: Final = 1_000
"""Log rows that one transaction deletes (N1)."""
_SIZE_S: Final = 10.0
"""How often the size of a busy database is looked at."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How to open a store.

    Attributes:
        bootstrap: Configuration a blank store begins with; `NO_MEMBERS` = the member joins a group (18.1).
        allow_volatile: Accept a file system that forgets.
        acknowledged_file: Where the file of 14.6 is; None = beside the database.
        timeout_s: Longest wait for a database server, seconds.
        ballast: Bytes to keep in reserve against a full disk (14.5); 0 = none.
        room: Bytes that must be free to go on after it was full.
        figures: Takes what the store measures; None = nobody wants to know.
    """

    bootstrap: Configuration = NO_MEMBERS
    allow_volatile: bool = False
    acknowledged_file: Path | None = None
    timeout_s: float = 1.0
    ballast: int = 0
    room: int = 0
    figures: StoreFigures | None = None


def open_store(url: str, identity: Identity, options: StoreOptions = StoreOptions()) -> SqlStore:
    """Open a member's store, making or migrating it where needed.

    Args:
        url: `sqlite:///file` or `mysql://user:password@host:port/schema`.
        identity: Whose it must be.
        options: How to open it.

    Raises:
        StoreRefused: It may not be used.
        StoreError: It cannot be used.
    """
    backend = make_backend(url, identity.member_id, options)
    acknowledged = options.acknowledged_file or backend.acknowledged_path
    if not acknowledged.parent.is_dir():
        raise StoreRefused(f"acknowledged_file: there is no directory {acknowledged.parent}")
    database = Database(backend)
    try:
        statements = Statements(database.dialect)
        prepare_schema(database, statements, identity, options.bootstrap)
    except BaseException:
        database.close()
        raise
    return SqlStore(database, statements, AcknowledgedFile(acknowledged), options.figures or StoreFigures())


def make_backend(url: str, member_id: int, options: StoreOptions) -> Backend:
    """Return the adapter for a database, which is not touched yet.

    Raises:
        StoreRefused: There is none, or the place is not fit.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteBackend(parsed, allow_volatile=options.allow_volatile, ballast=options.ballast, room=options.room)
    if parsed.get_backend_name() in ("mysql", "mariadb"):
        from services.consensus.store.backend_mysql import MySqlBackend

        return MySqlBackend(parsed, member_id, options.timeout_s)
    raise StoreRefused(f"store_url: {parsed.get_backend_name()} is not supported, use sqlite or mysql")


class SqlStore:
    """A store on one connection, used by one thread at a time."""

    def __init__(
        self, database: Database, statements: Statements, acknowledged: AcknowledgedFile, figures: StoreFigures
    ) -> None:
        """Take what `open_store` has prepared."""
        self._figures = figures
        self._sized_at = 0.0
        self._database = database
        self._statements = statements
        self._acknowledged = acknowledged
        self._standing: Standing | None = None
        self._intended: Standing | None = None
        self._compact_to = START
        self._forgotten_to = 0
        self._quarantined = False

    def load(self) -> StoredState:
        """Check everything and return it (S7); see the port."""
        backend = self._database.backend
        damage = self._damage()
        reading = self._database.transaction(lambda cursor: read_store(cursor, self._statements, backend.translate))
        standing = reading.standing
        present = _acknowledged(standing)
        forgotten = self._database.act(lambda _: self._acknowledged.forgotten(present))
        problems = [problem for problem in (damage, *reading.problems, forgotten) if problem]
        self._standing, self._quarantined = standing, bool(problems)
        if not problems:
            oldest = self._database.transaction(oldest_row)
            self._forgotten_to = min(oldest - 1, standing.log_mark.index) if oldest else standing.log_mark.index
            self._database.act(lambda _: self._acknowledged.begin(present))
            self._database.act(lambda _: backend.begin_service())
        server_uuid = self._database.act(backend.server_uuid)
        self._measure()
        return _stored_state(reading, "; ".join(problems), server_uuid)

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        """Write in one durable transaction; see the port."""
        if self._quarantined:
            return
        if not again:
            self._intended = None
        if write.compact_to is not None and write.compact_to.index > self._compact_to.index:
            self._compact_to = write.compact_to
        after = self._database.transaction(lambda cursor: self._write(cursor, write, again=again))
        self._standing = after
        if write.install is not None:
            self._forgotten_to = after.log_mark.index
        self._database.act(lambda _: self._acknowledged.advance(after.hard_state.current_term, after.last_index))

    def probe(self) -> None:
        """Write durably without meaning; see the port."""
        if not self._quarantined:
            self._database.transaction(lambda cursor: cursor.execute(self._statements.probe))

    def reconnect(self) -> None:
        """Connect anew; see the port."""
        self._database.reconnect()

    def tidy(self, *, idle: bool) -> bool:
        """Keep the database small and fast; see the port."""
        if self._quarantined:
            return False
        more = self._forget()
        took_s = self._database.act(lambda raw: self._database.backend.tidy(raw, idle=idle and not more))
        if took_s is not None:
            self._figures.checkpointed(took_s)
        if idle or time.monotonic() - self._sized_at > _SIZE_S:
            self._measure()
        return more

    def relieve(self) -> None:
        """Free what can be freed; see the port."""
        self._database.act(self._database.backend.relieve)
        while self._forget():
            pass
        self._database.act(self._database.backend.relieve)

    def has_room(self) -> bool:
        """Tell whether there is space again; see the port."""
        return self._database.backend.has_room()

    def close(self) -> None:
        """Let the database go."""
        self._acknowledged.close()
        self._database.close()

    def _measure(self) -> None:
        self._sized_at = time.monotonic()
        self._figures.size_bytes = self._database.act(self._database.backend.size)

    def _damage(self) -> str:
        try:
            return self._database.act(self._database.backend.check)
        except StoreBroken as error:
            return str(error)

    def _write(self, cursor: Any, write: StoreWrite, *, again: bool) -> Standing:
        before = self._stands()
        if again:
            found = read_standing(cursor)
            if found == self._intended:
                return found
            if found != before:
                raise StoreBroken(f"the store is neither as before the lost commit nor as after it: {found}")
        after = self._statements.write(cursor, write, before, self._compact_to)
        # The file never says more than the database has, whenever the power goes.
        self._acknowledged.take_back(after.last_index)
        self._intended = after
        return after

    def _forget(self) -> bool:
        """Delete some of the rows that are not part of the log any more; return whether there are others."""
        end = self._stands().log_mark.index
        if self._forgotten_to >= end:
            return False
        up_to = min(end, self._forgotten_to + FORGET_ROWS)
        self._database.transaction(lambda cursor: self._statements.forget(cursor, up_to))
        self._forgotten_to = up_to
        return up_to < end

    def _stands(self) -> Standing:
        assert self._standing is not None, "load comes first"
        return self._standing


def _acknowledged(standing: Standing) -> Acknowledged:
    member = standing.member
    return Acknowledged(member.member_id, member.incarnation, standing.hard_state.current_term, standing.last_index)


def _stored_state(reading: Reading, quarantine: str, server_uuid: str) -> StoredState:
    standing = reading.standing
    return StoredState(
        standing.member.incarnation,
        standing.hard_state,
        reading.entries,
        standing.mark,
        reading.tables,
        standing.log_mark,
        quarantine,
        standing.member.group_id,
        server_uuid,
        reading.audit,
        standing.member.member_id,
        standing.member.listed_id,
    )
