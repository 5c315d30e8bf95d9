"""Makes a store the only member of a new group, when a majority of the old one is lost for good (18.3).

What the store holds becomes the state of the new group, what it lacks is lost. Nobody of the old group can come back by
accident: the new one has another id, this member another incarnation, and the term is far above all that were.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from services.consensus.ports import StoreRefused
from services.consensus.raft.configuration import (
    DEFAULT_PREFERENCE,
    NO_MEMBERS,
    GroupMember,
    MemberKind,
    configuration_of,
    encode_configuration,
)
from services.consensus.raft.model import MILLISECOND, NOBODY, Entry, EntryKind, HardState
from services.consensus.store import tables
from services.consensus.store.acknowledged_file import Acknowledged, AcknowledgedFile
from services.consensus.store.birth import Identity, prepare_schema
from services.consensus.store.database import Database
from services.consensus.store.reading import Reading, read_store
from services.consensus.store.report import newest_configuration
from services.consensus.store.standing import StoredMember
from services.consensus.store.statements import Statements, entry_row, member_checksum, vote_row
from services.consensus.store.store import StoreOptions, make_backend

TERMS: Final = 1_000
"""How far the new group's first term is above the last one this store knows."""


@dataclass(frozen=True, slots=True)
class NewGroup:
    """What comes of a recovery.

    Attributes:
        member: The row of its only member.
        entry: The configuration that begins it.
        mark_index: Index the state is at.
    """

    member: StoredMember
    entry: Entry
    mark_index: int


def only_member(reading: Reading) -> GroupMember:
    """Return what the group knows of the member whose store this is, as the only voter of a new one.

    Raises:
        StoreRefused: The store does not know of itself.
    """
    configuration, _ = newest_configuration(reading)
    found = configuration.find(reading.standing.member.member_id)
    if found is None:
        why = "is in no group yet" if configuration == NO_MEMBERS else "was removed from its group"
        raise StoreRefused(f"member {reading.standing.member.member_id} {why}: recover from the store of another one")
    # One that never leads would be a group that never has a leader.
    return replace(found, kind=MemberKind.VOTER, preference=found.preference or DEFAULT_PREFERENCE)


def recover(url: str, member_id: int, acknowledged: Path | None) -> NewGroup:
    """Rewrite a store as that of a group of one. Everything happens in one transaction, or nothing.

    Args:
        url: As in `store_url`; no process has it.
        member_id: Whose store it is, as the settings know it.
        acknowledged: File of 14.6; None = where it is by default.

    Raises:
        StoreRefused: It is in use, damaged beyond what can be told apart, or of no member of a group.
        StoreError: It cannot be used; nothing was written.
    """
    backend = make_backend(url, member_id, StoreOptions(allow_volatile=True))
    database = Database(backend)
    try:
        damage = database.act(backend.check)
        if damage:
            raise StoreRefused(f"{damage}: copy what can be read (`sqlite3 FILE .recover`) and recover from the copy")
        statements = Statements(database.dialect)
        prepare_schema(database, statements, Identity("", member_id), NO_MEMBERS)
        reading = database.transaction(lambda cursor: read_store(cursor, statements, backend.translate))
        group = _new_group(reading)
        with database.core_transaction() as connection:
            _rewrite(connection, statements, reading, group)
        file = AcknowledgedFile(acknowledged or backend.acknowledged_path)
        present = Acknowledged(group.member.member_id, group.member.incarnation, group.entry.term, group.entry.index)
        file.forgotten(present)  # Finds the newest record, which the new one follows.
        file.begin(present)
        file.close()
        return group
    finally:
        database.close()


def _new_group(reading: Reading) -> NewGroup:
    standing = reading.standing
    _, configuration_index = newest_configuration(reading)
    incarnation = str(uuid.uuid4())
    member = replace(standing.member, group_id=str(uuid.uuid4()), incarnation=incarnation, quarantine="")
    configuration = configuration_of([replace(only_member(reading), incarnation=incarnation)], configuration_index)
    entry = Entry(
        standing.last_index + 1,
        standing.hard_state.current_term + TERMS,
        EntryKind.CONFIG,
        time.time_ns() // MILLISECOND,
        encode_configuration(configuration),
    )
    return NewGroup(member, entry, standing.mark.applied_index)


def _rewrite(connection: sa.Connection, statements: Statements, reading: Reading, group: NewGroup) -> None:
    standing, log = reading.standing, tables.raft_log
    connection.execute(log.delete().where(log.c.log_index > standing.last_index))
    connection.execute(log.delete().where(log.c.log_index <= standing.log_mark.index))
    _insert(connection, log, entry_row(group.entry))
    vote = HardState(group.entry.term, NOBODY, standing.hard_state.promise_max_ns)
    for table, row in (
        (tables.raft_vote, vote_row(vote)),
        (tables.raft_mark, statements.mark_row(standing.mark, standing.log_mark)),
    ):
        connection.execute(table.delete())
        _insert(connection, table, (1, *row))
    member = group.member
    connection.execute(
        tables.raft_member.update().values(
            group_id=member.group_id,
            incarnation=member.incarnation,
            quarantine=member.quarantine,
            crc32c=member_checksum(member),
        )
    )
    number = 1 + (connection.scalar(sa.select(sa.func.max(tables.raft_audit.c.number))) or 0)
    detail = json.dumps(_facts(reading, group), sort_keys=True)
    _insert(connection, tables.raft_audit, (number, group.entry.stamp_ms, "recover", detail))


def _facts(reading: Reading, group: NewGroup) -> dict[str, Any]:
    standing = reading.standing
    return {
        "group_id": group.member.group_id,
        "incarnation": group.member.incarnation,
        "term": group.entry.term,
        "former_group_id": standing.member.group_id,
        "former_incarnation": standing.member.incarnation,
        "former_term": standing.hard_state.current_term,
        "former_members": list(newest_configuration(reading)[0].ids),
        "last_index": standing.last_index,
        "applied_index": standing.mark.applied_index,
        "problems": list(reading.problems),
    }


def _insert(connection: sa.Connection, table: sa.Table, row: tuple[object, ...]) -> None:
    names = (column.name for column in table.columns)
    connection.execute(table.insert().values(dict(zip(names, row, strict=True))))
