"""The log's mark, the committed configuration, checksums of single rows, quarantine, audit; CRC-32C for entries.

Databases that commit at each change of a table may be cut off between two of them: each is made only where it is
missing, and all rows are rewritten in one transaction at the end.

Revision ID: 0002
"""

from __future__ import annotations

import zlib
from typing import Any

import google_crc32c
import sqlalchemy as sa
from alembic import op

from services.consensus.store.migrations import SETTINGS_CONFIGURATION

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MEDIUM = 16 * 1024 * 1024 - 1
_TEXT = sa.String(300).with_variant(sa.String(300, collation="utf8mb4_bin"), "mysql", "mariadb")
_LONG = sa.Text(_MEDIUM).with_variant(sa.Text(_MEDIUM, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Add the columns and the table, then give every row its checksum."""
    _rename_checksum()
    for name in ("raft_member", "raft_vote", "raft_mark"):
        _add(name, _number("crc32c"))
    for text in ("group_name", "quarantine"):
        _add("raft_member", sa.Column(text, _TEXT, nullable=False, server_default=""))
    for number in ("log_index", "log_term", "configuration_index"):
        _add("raft_mark", _number(number))
    _add("raft_mark", sa.Column("configuration", _LONG, nullable=True))
    if not sa.inspect(op.get_bind()).has_table("raft_audit"):
        op.create_table(
            "raft_audit",
            sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("time_ms", sa.BigInteger(), nullable=False),
            sa.Column("action", _TEXT, nullable=False),
            sa.Column("detail", _LONG, nullable=False),
            mysql_engine="InnoDB",
        )
    connection = op.get_bind()
    _convert_log(connection)
    _convert_single_rows(connection)


def downgrade() -> None:
    """Refuse: the log's mark says what is no longer in the log, and the older schema has no place for it."""
    raise NotImplementedError("a store of revision 0002 cannot become one of revision 0001")


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _add(table: str, column: sa.Column[Any]) -> None:
    if column.name not in _columns(table):
        op.add_column(table, column)


def _rename_checksum() -> None:
    if "crc32" not in _columns("raft_log"):
        return
    if op.get_bind().dialect.name == "sqlite":
        op.execute("ALTER TABLE raft_log RENAME COLUMN crc32 TO crc32c")
    else:
        op.alter_column(
            "raft_log", "crc32", new_column_name="crc32c", existing_type=sa.BigInteger(), existing_nullable=False
        )


def _convert_log(connection: sa.Connection) -> None:
    update = sa.text("UPDATE raft_log SET crc32c = :new WHERE log_index = :log_index")
    found = connection.execute(sa.text("SELECT log_index, term, kind, stamp_ms, crc32c, data FROM raft_log"))
    new = []
    for log_index, term, kind, stamp_ms, crc32, data in found.all():
        head = f"{log_index},{term},{kind},{stamp_ms},".encode("ascii")
        # What was damaged before stays damaged: a fresh checksum would make it look well.
        if zlib.crc32(data, zlib.crc32(head)) == crc32:
            new.append({"new": google_crc32c.value(head + data), "log_index": log_index})
        else:
            new.append({"new": -1, "log_index": log_index})
    if new:
        connection.execute(update, new)


def _convert_single_rows(connection: sa.Connection) -> None:
    member = connection.execute(sa.text("SELECT group_id, member_id, incarnation FROM raft_member")).one_or_none()
    if member is None:
        return
    _set_checksum(connection, "raft_member", *member, "", "")
    vote = connection.execute(sa.text("SELECT current_term, voted_for, promise_max_ms FROM raft_vote")).one_or_none()
    if vote is None:
        connection.execute(
            sa.text("INSERT INTO raft_vote (id, current_term, voted_for, promise_max_ms) VALUES (1, 0, 0, 0)")
        )
    _set_checksum(connection, "raft_vote", *(vote or (0, 0, 0)))
    if connection.execute(sa.text("SELECT id FROM raft_mark")).one_or_none() is None:
        connection.execute(
            sa.text(
                "INSERT INTO raft_mark (id, applied_index, applied_term, machine_time_ms, state_digest) "
                "VALUES (1, 0, 0, 0, :digest)"
            ),
            {"digest": bytes(16)},
        )
    connection.execute(sa.text("UPDATE raft_mark SET configuration_index = :index"), {"index": SETTINGS_CONFIGURATION})
    mark = connection.execute(
        sa.text("SELECT applied_index, applied_term, machine_time_ms, state_digest FROM raft_mark")
    ).one()
    _set_checksum(connection, "raft_mark", *mark, 0, 0, SETTINGS_CONFIGURATION, None)


def _set_checksum(connection: sa.Connection, table: str, *values: Any) -> None:
    content = b"\0".join(value if isinstance(value, bytes) else str(value).encode("utf-8") for value in values)
    connection.execute(sa.table(table, sa.column("crc32c")).update().values(crc32c=google_crc32c.value(content)))
