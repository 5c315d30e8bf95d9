"""What a store holds, told without touching it: its member may run meanwhile (18.3)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.consensus.ports import StoreError, StoreRefused
from services.consensus.raft.configuration import Configuration, decode_configuration
from services.consensus.raft.model import EntryKind
from services.consensus.store import migrations
from services.consensus.store.acknowledged_file import Acknowledged, AcknowledgedFile
from services.consensus.store.backend import Backend
from services.consensus.store.reading import Reading, read_store
from services.consensus.store.statements import Statements
from services.consensus.store.store import StoreOptions, make_backend


def read_only(url: str, acknowledged: Path | None = None) -> tuple[Reading, tuple[str, ...]]:
    """Read a store without a lock, and return what is wrong with it beside it.

    Args:
        url: As in `store_url`.
        acknowledged: File of 14.6; None = where it is by default.

    Raises:
        StoreRefused: There is none of this version.
        StoreError: It cannot be read.
    """
    backend = make_backend(url, 0, StoreOptions(allow_volatile=True))
    with _connect(backend) as connection:
        raw: Any = connection.connection.driver_connection
        _check_revision(connection)
        try:
            damage = backend.check(raw)
            reading = read_store(raw.cursor(), Statements(connection.dialect), backend.translate)
        except StoreError:
            raise
        except Exception as error:
            raise backend.translate(error) from error
        member = reading.standing.member
        path = (
            acknowledged or make_backend(url, member.settings_id, StoreOptions(allow_volatile=True)).acknowledged_path
        )
    standing = reading.standing
    present = Acknowledged(member.member_id, member.incarnation, standing.hard_state.current_term, standing.last_index)
    return reading, tuple(text for text in (damage, AcknowledgedFile(path).forgotten(present)) if text)


def newest_configuration(reading: Reading) -> tuple[Configuration, int]:
    """Return the newest configuration of a store and its index, committed or not (M1)."""
    for entry in reversed(reading.entries):
        if entry.kind is EntryKind.CONFIG:
            return decode_configuration(entry.data), entry.index
    return reading.standing.mark.configuration, reading.standing.mark.configuration_index


def describe(reading: Reading, beside: tuple[str, ...]) -> dict[str, Any]:
    """Return what an operator wants to know of a store, fit for JSON."""
    standing = reading.standing
    configuration, configuration_index = newest_configuration(reading)
    last_term = reading.entries[-1].term if reading.entries else standing.log_mark.term
    return {
        "member_id": standing.member.member_id,
        "listed_id": standing.member.settings_id,
        "group_id": standing.member.group_id,
        "group_name": standing.member.group_name,
        "incarnation": standing.member.incarnation,
        "current_term": standing.hard_state.current_term,
        "voted_for": standing.hard_state.voted_for,
        "last_index": standing.last_index,
        "last_term": last_term,
        "applied_index": standing.mark.applied_index,
        "applied_term": standing.mark.applied_term,
        "mark_index": standing.log_mark.index,
        "mark_term": standing.log_mark.term,
        "state_digest": standing.mark.digest.hex(),
        "configuration_index": configuration_index,
        "members": [
            {
                "member_id": each.member_id,
                "name": each.name,
                "kind": each.kind.value,
                "raft_endpoint": each.raft_endpoint,
            }
            for each in configuration.members
        ],
        "rows": {name: len(rows) for name, rows in reading.tables.items() if rows},
        "quarantine": "; ".join((*beside, *reading.problems)),
        "audit": [{"time_ms": each.time_ms, "action": each.action, "detail": each.detail} for each in reading.audit],
    }


@contextlib.contextmanager
def _connect(backend: Backend) -> Iterator[sa.Connection]:
    url = backend.url
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        if not path.exists():
            raise StoreRefused(f"there is no store {path}")
        url = url.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    engine = sa.create_engine(url, poolclass=sa.NullPool, **backend.engine_options)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise backend.translate(error.orig if isinstance(error.orig, Exception) else error) from error
    finally:
        engine.dispose()


def _check_revision(connection: sa.Connection) -> None:
    found = migrations.revision_of(connection)
    if found != migrations.NEWEST:
        raise StoreRefused(
            f"the schema is of revision {found or 'none'}, this version reads {migrations.NEWEST}: "
            "is this the store of a member, and was the member of this version ever started on it?"
        )
