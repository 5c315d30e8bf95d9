"""Gives a member whose store may not be trusted a blank one, under a new id (14.6).

The old database is kept beside the new one where it is a file, because what is left of its log may be what somebody
looks for; on a database server its rows are deleted in the transaction that begins the new store.

A power cut leaves the old store, the new one, or none. None is a blank store under the old id, which the group refuses
(14.6): the member finds itself where it began, and starts again.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.consensus.ports import StoreBroken
from services.consensus.raft.configuration import NO_MEMBERS
from services.consensus.raft.model import MILLISECOND
from services.consensus.store import migrations, tables
from services.consensus.store.birth import Identity, begin_store
from services.consensus.store.database import Database
from services.consensus.store.standing import StoredMember
from services.consensus.store.statements import Statements
from services.consensus.store.store import StoreOptions, make_backend

_DELETE_S: Final = 60.0
"""Longest wait for a database server that deletes the rows of a store."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What is begun anew, and why.

    Attributes:
        former_id: Id of the member until now.
        former_incarnation: Of the old store.
        member_id: Id from now on; never used before.
        why: Why the old store may not be trusted.
    """

    former_id: int
    former_incarnation: str
    member_id: int
    why: str


def renew_store(url: str, identity: Identity, options: StoreOptions, renewal: Renewal) -> Path | None:
    """Put a blank store in the place of one that no process has; return where the old one is kept, None = nowhere.

    Args:
        url: As in `store_url`.
        identity: The group's, and the id the settings know the member by.
        options: As `open_store` takes them.
        renewal: What is begun anew.

    Raises:
        StoreRefused: Another process has it, or it may not be used.
        StoreError: It cannot be used.
    """
    backend = make_backend(url, identity.member_id, replace(options, timeout_s=max(options.timeout_s, _DELETE_S)))
    suffix = f".quarantined-{renewal.former_incarnation}"
    try:
        kept = backend.set_aside(suffix)
        database = Database(backend)
        try:
            _begin(database, identity, renewal, kept)
        finally:
            database.close()
        acknowledged = options.acknowledged_file or backend.acknowledged_path
        if acknowledged.exists():
            acknowledged.rename(acknowledged.with_name(acknowledged.name + suffix))
    except OSError as error:
        raise StoreBroken(f"the old store cannot be set aside: {error}") from error
    return kept


def _begin(database: Database, identity: Identity, renewal: Renewal, kept: Path | None) -> None:
    member = StoredMember(
        identity.group_id,
        renewal.member_id,
        str(uuid.uuid4()),
        identity.group_name,
        listed_id=identity.member_id,
    )
    detail = {
        "former_incarnation": renewal.former_incarnation,
        "former_member_id": renewal.former_id,
        "kept": str(kept or ""),
        "member_id": renewal.member_id,
        "why": renewal.why,
    }
    statements = Statements(database.dialect)
    with database.core_transaction() as connection:
        migrations.upgrade(connection)
        for table in tables.metadata.tables.values():
            connection.execute(table.delete())
        begin_store(connection, statements, member, NO_MEMBERS)
        connection.execute(
            tables.raft_audit.insert().values(
                number=1, time_ms=time.time_ns() // MILLISECOND, action="rejoin", detail=json.dumps(detail)
            )
        )
