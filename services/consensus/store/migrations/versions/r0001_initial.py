"""Member, vote, log, mark and the tables of the state machine.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MEDIUM = 16 * 1024 * 1024 - 1
_TEXT = sa.String(300).with_variant(sa.String(300, collation="utf8mb4_bin"), "mysql", "mariadb")
_UUID = sa.String(64).with_variant(sa.String(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_LONG = sa.Text(_MEDIUM).with_variant(sa.Text(_MEDIUM, collation="utf8mb4_bin"), "mysql", "mariadb")
_DATA = sa.LargeBinary(_MEDIUM)


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "raft_member",
        _key("id", sa.Integer()),
        _column("group_id", _UUID),
        _column("member_id", sa.BigInteger()),
        _column("incarnation", _UUID),
        _column("create_ms", sa.BigInteger()),
        _column("probe_count", sa.BigInteger()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "raft_vote",
        _key("id", sa.Integer()),
        _column("current_term", sa.BigInteger()),
        _column("voted_for", sa.BigInteger()),
        _column("promise_max_ms", sa.BigInteger()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "raft_log",
        _key("log_index", sa.BigInteger()),
        _column("term", sa.BigInteger()),
        _column("kind", _UUID),
        _column("stamp_ms", sa.BigInteger()),
        _column("crc32", sa.BigInteger()),
        _column("data", _DATA),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "raft_mark",
        _key("id", sa.Integer()),
        _column("applied_index", sa.BigInteger()),
        _column("applied_term", sa.BigInteger()),
        _column("machine_time_ms", sa.BigInteger()),
        _column("state_digest", sa.LargeBinary(16)),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "state_lease",
        _key("name", _TEXT),
        _column("member_id", sa.BigInteger()),
        _column("session_id", _UUID),
        _column("fencing_token", sa.BigInteger()),
        _column("grant_term", sa.BigInteger()),
        _column("live", sa.Integer()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "state_recovery",
        _key("recovery_id", _UUID),
        _column("cluster_id", _UUID),
        _column("failed_instance", _TEXT),
        _column("fencing_token", sa.BigInteger()),
        _column("is_open", sa.Integer()),
        _column("successful", sa.Integer()),
        _column("register_ms", sa.BigInteger()),
        _column("close_ms", sa.BigInteger(), nullable=True),
        _column("successor", _TEXT),
        _column("data", _DATA),
        _column("log_index", sa.BigInteger()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "state_step",
        _key("recovery_id", _UUID),
        _key("number", sa.BigInteger()),
        _column("phase", sa.Integer()),
        _column("fencing_token", sa.BigInteger()),
        _column("hold_ms", sa.BigInteger(), nullable=True),
        _column("data", _DATA),
        _column("intent_ms", sa.BigInteger()),
        _column("end_ms", sa.BigInteger(), nullable=True),
        _column("log_index", sa.BigInteger()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "state_primary",
        _key("cluster_id", _UUID),
        _column("alias", _TEXT),
        _column("host", _TEXT),
        _column("port", sa.Integer()),
        _column("server_uuid", _UUID),
        _column("epoch", sa.BigInteger()),
        _column("publish_ms", sa.BigInteger()),
        _column("recovery_id", _UUID),
        _column("former", _LONG),
        _column("log_index", sa.BigInteger()),
        mysql_engine="InnoDB",
    )
    op.create_table(
        "state_request",
        _key("request_id", _UUID),
        _column("fingerprint", sa.LargeBinary(16)),
        _column("log_index", sa.BigInteger()),
        _column("stamp_ms", sa.BigInteger()),
        _column("result", _LONG),
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Drop the tables, and with them all a member knows."""
    for name in (
        "raft_member",
        "raft_vote",
        "raft_log",
        "raft_mark",
        "state_lease",
        "state_recovery",
        "state_step",
        "state_primary",
        "state_request",
    ):
        op.drop_table(name)
