"""The registry, sessions, the group's settings and version, replacements; what a step changes.

Databases that commit at each change of a table may be cut off between two of them: each is made only where it is
missing.

Revision ID: 0003
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MEDIUM = 16 * 1024 * 1024 - 1
_NUMBER = sa.BigInteger()
_TEXT = sa.String(300).with_variant(sa.String(300, collation="utf8mb4_bin"), "mysql", "mariadb")
_UUID = sa.String(64).with_variant(sa.String(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_REASON = sa.String(1_000).with_variant(sa.String(1_000, collation="utf8mb4_bin"), "mysql", "mariadb")
_LONG = sa.Text(_MEDIUM).with_variant(sa.Text(_MEDIUM, collation="utf8mb4_bin"), "mysql", "mariadb")


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _written() -> tuple[sa.Column[Any], ...]:
    return (
        _column("owner", _TEXT),
        _column("reason", _REASON),
        _column("log_index", _NUMBER),
        _column("write_ms", _NUMBER),
    )


def _tables() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "state_downtime": (
            _key("scope", _TEXT),
            _column("begin_ms", _NUMBER),
            _column("end_ms", _NUMBER),
            *_written(),
        ),
        "state_maintenance": (
            _key("scope", _TEXT),
            _column("maintenance_id", _NUMBER),
            _column("begin_ms", _NUMBER),
            _column("end_ms", _NUMBER),
            *_written(),
        ),
        "state_promotion_rule": (
            _key("instance", _TEXT),
            _column("rule", _UUID),
            _column("end_ms", _NUMBER, nullable=True),
            *_written(),
        ),
        "state_tag": (_key("instance", _TEXT), _key("name", _TEXT), _column("value", _TEXT), *_written()),
        "state_pool": (
            _key("name", _TEXT),
            _column("members", _LONG),
            _column("end_ms", _NUMBER, nullable=True),
            *_written(),
        ),
        "state_cluster_name": (
            _key("cluster_id", _UUID),
            _column("alias", _TEXT),
            _column("domain", _TEXT),
            *_written(),
        ),
        "state_policy": (
            _key("scope", _TEXT),
            _column("mode", _UUID, nullable=True),
            _column("loss", _UUID, nullable=True),
            _column("max_lost_transactions", _NUMBER, nullable=True),
            _column("fence_required", sa.Integer(), nullable=True),
            _column("min_observers", _NUMBER, nullable=True),
            _column("without_observers", _UUID, nullable=True),
            _column("block_period_ms", _NUMBER, nullable=True),
            _column("end_ms", _NUMBER, nullable=True),
            *_written(),
        ),
        "state_setting": (_key("name", _TEXT), _column("value", _REASON), *_written()),
        "state_revision": (_key("name", _UUID), _column("log_index", _NUMBER)),
        "state_session": (
            _key("session_id", _NUMBER),
            _column("owner", _TEXT),
            _column("acked_below", _NUMBER),
            _column("last_index", _NUMBER),
            _column("touch_ms", _NUMBER),
        ),
        "state_session_answer": (
            _key("session_id", _NUMBER),
            _key("sequence", _NUMBER),
            _column("fingerprint", sa.LargeBinary(16)),
            _column("result", _LONG),
        ),
        "state_group_settings": (
            _key("id", sa.Integer()),
            _column("heartbeat_ns", _NUMBER),
            _column("election_min_ns", _NUMBER),
            _column("election_max_ns", _NUMBER),
            _column("clock_drift_ppm", _NUMBER),
            _column("log_index", _NUMBER),
        ),
        "state_group_version": (
            _key("id", sa.Integer()),
            _column("version", _NUMBER),
            _column("log_index", _NUMBER),
        ),
        "state_replacement": (
            _key("replacement_id", _UUID),
            _column("old_member_id", _NUMBER),
            _column("new_member", _LONG),
            _column("state", _UUID),
            _column("log_index", _NUMBER),
            _column("begin_index", _NUMBER),
        ),
    }


def upgrade() -> None:
    """Make the tables and add the column."""
    known = sa.inspect(op.get_bind())
    for name, columns in _tables().items():
        if not known.has_table(name):
            op.create_table(name, *columns, mysql_engine="InnoDB")
    if "instance" not in {column["name"] for column in known.get_columns("state_step")}:
        op.add_column("state_step", sa.Column("instance", _TEXT, nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the tables, and with them what the group agreed on there."""
    for name in _tables():
        op.drop_table(name)
    op.drop_column("state_step", "instance")
