"""Makes a blank database the store of one member, and recognises it again (18.1, S7)."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from services.consensus.ports import StoreBroken, StoreRefused
from services.consensus.raft.configuration import NO_MEMBERS, Configuration
from services.consensus.raft.model import MILLISECOND, START, HardState, LogMark
from services.consensus.state.machine import Mark
from services.consensus.store import migrations, tables
from services.consensus.store.database import Database
from services.consensus.store.migrations import SETTINGS_CONFIGURATION
from services.consensus.store.standing import StoredMember
from services.consensus.store.statements import Statements, member_checksum, vote_row

BOOTSTRAP: Final = LogMark(1, 1)
"""Where the store of a listed member begins: as if a snapshot stood there."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a store belongs to.

    Attributes:
        group_id: Of a group that begins; a store that exists keeps its own. Empty = the member joins a group.
        member_id: The member's, as the settings know it.
        group_name: Of the settings; another one is another group. Empty = any.
    """

    group_id: str
    member_id: int
    group_name: str = ""


def prepare_schema(database: Database, statements: Statements, identity: Identity, bootstrap: Configuration) -> None:
    """Bring the schema up to date and see to it that the store is this member's.

    Args:
        database: To look at, or to begin.
        statements: For it.
        identity: Whose it must be.
        bootstrap: Configuration a blank store begins with; `NO_MEMBERS` = the member joins a group.

    Raises:
        StoreRefused: It is another member's, or of a newer version.
        StoreBroken: It does not say whose it is.
        StoreError: The database did not do it.
    """
    try:
        with database.core_transaction() as connection:
            migrations.upgrade(connection)
            _recognise(connection, statements, identity, bootstrap)
    except migrations.NewerSchema as error:
        raise StoreRefused(str(error)) from error


def _recognise(connection: sa.Connection, statements: Statements, identity: Identity, bootstrap: Configuration) -> None:
    found = connection.execute(sa.select(tables.raft_member)).one_or_none()
    if found is None:
        member = StoredMember(identity.group_id, identity.member_id, str(uuid.uuid4()), identity.group_name)
        begin_store(connection, statements, member, bootstrap)
        return
    if identity.member_id not in (found.member_id, found.listed_id) or (
        identity.group_name and found.group_name not in ("", identity.group_name)
    ):
        raise StoreRefused(
            f"the store belongs to member {found.member_id} of group {found.group_name or found.group_id}, not to "
            f"member {identity.member_id} of group {identity.group_name or identity.group_id}: is store_url that of "
            "another member?"
        )
    if identity.group_id and not found.group_id and not found.listed_id:
        raise StoreRefused("the store was made to join a group: set `join`, or begin with a new store")
    _adopt_settings(connection, statements, bootstrap)


def begin_store(
    connection: sa.Connection, statements: Statements, member: StoredMember, bootstrap: Configuration
) -> None:
    """Write the first rows of a blank store.

    Args:
        connection: In a transaction.
        statements: For the database.
        member: Whose store it becomes.
        bootstrap: Configuration it begins with; `NO_MEMBERS` = the member joins a group.

    Raises:
        StoreBroken: It is not blank.
    """
    for table in (tables.raft_vote, tables.raft_mark, tables.raft_log):
        if connection.scalar(sa.select(sa.func.count()).select_from(table)):
            raise StoreBroken("raft_member is empty, but the store is not: whose it is was lost")
    connection.execute(
        tables.raft_member.insert().values(
            id=1,
            group_id=member.group_id,
            member_id=member.member_id,
            incarnation=member.incarnation,
            create_ms=time.time_ns() // MILLISECOND,
            probe_count=0,
            group_name=member.group_name,
            quarantine="",
            listed_id=member.listed_id,
            crc32c=member_checksum(member),
        )
    )
    joins = bootstrap == NO_MEMBERS
    log_mark = START if joins else BOOTSTRAP
    mark = Mark() if joins else Mark(BOOTSTRAP.index, BOOTSTRAP.term, configuration=bootstrap, configuration_index=1)
    _insert(connection, tables.raft_vote, (1, *vote_row(HardState(log_mark.term))))
    _insert(connection, tables.raft_mark, (1, *statements.mark_row(mark, log_mark)))


def _adopt_settings(connection: sa.Connection, statements: Statements, bootstrap: Configuration) -> None:
    """Give a store from before configurations were kept the one that was in force then: that of the settings."""
    row = connection.execute(sa.select(tables.raft_mark)).one_or_none()
    if row is None or row.configuration_index != SETTINGS_CONFIGURATION or bootstrap == NO_MEMBERS:
        return
    mark = Mark(row.applied_index, row.applied_term, row.machine_time_ms, bytes(row.state_digest), bootstrap)
    connection.execute(tables.raft_mark.delete())
    _insert(connection, tables.raft_mark, (1, *statements.mark_row(mark, LogMark(row.log_index, row.log_term))))


def _insert(connection: sa.Connection, table: sa.Table, row: tuple[object, ...]) -> None:
    names = (column.name for column in table.columns)
    connection.execute(table.insert().values(dict(zip(names, row, strict=True))))
