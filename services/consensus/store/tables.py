"""Tables of a member's database; the migrations make them."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

metadata: Final = sa.MetaData()

TEXT_CHARACTERS: Final = 300
"""Longest name or sentence in a column."""
_MEDIUM: Final = 16 * 1024 * 1024 - 1
_TEXT: Final = sa.String(TEXT_CHARACTERS).with_variant(
    sa.String(TEXT_CHARACTERS, collation="utf8mb4_bin"), "mysql", "mariadb"
)
_UUID: Final = sa.String(64).with_variant(sa.String(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_LONG: Final = sa.Text(_MEDIUM).with_variant(sa.Text(_MEDIUM, collation="utf8mb4_bin"), "mysql", "mariadb")
_DATA: Final = sa.LargeBinary(_MEDIUM)
_REASON: Final = sa.String(1_000).with_variant(sa.String(1_000, collation="utf8mb4_bin"), "mysql", "mariadb")


def _column(name: str, kind: sa.types.TypeEngine[Any], *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


raft_member: Final = sa.Table(
    "raft_member",
    metadata,
    _key("id", sa.Integer()),
    _column("group_id", _UUID),
    _column("member_id", sa.BigInteger()),
    _column("incarnation", _UUID),
    _column("create_ms", sa.BigInteger()),
    _column("probe_count", sa.BigInteger()),
    sa.Column("group_name", _TEXT, nullable=False, server_default=""),
    sa.Column("quarantine", _TEXT, nullable=False, server_default=""),
    sa.Column("listed_id", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("crc32c", sa.BigInteger(), nullable=False, server_default="0"),
    mysql_engine="InnoDB",
)
raft_vote: Final = sa.Table(
    "raft_vote",
    metadata,
    _key("id", sa.Integer()),
    _column("current_term", sa.BigInteger()),
    _column("voted_for", sa.BigInteger()),
    _column("promise_max_ms", sa.BigInteger()),
    sa.Column("crc32c", sa.BigInteger(), nullable=False, server_default="0"),
    mysql_engine="InnoDB",
)
raft_log: Final = sa.Table(
    "raft_log",
    metadata,
    _key("log_index", sa.BigInteger()),
    _column("term", sa.BigInteger()),
    _column("kind", _UUID),
    _column("stamp_ms", sa.BigInteger()),
    _column("crc32c", sa.BigInteger()),
    _column("data", _DATA),
    mysql_engine="InnoDB",
)
raft_mark: Final = sa.Table(
    "raft_mark",
    metadata,
    _key("id", sa.Integer()),
    _column("applied_index", sa.BigInteger()),
    _column("applied_term", sa.BigInteger()),
    _column("machine_time_ms", sa.BigInteger()),
    _column("state_digest", sa.LargeBinary(16)),
    sa.Column("log_index", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("log_term", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("configuration_index", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("crc32c", sa.BigInteger(), nullable=False, server_default="0"),
    _column("configuration", _LONG, nullable=True),
    mysql_engine="InnoDB",
)
raft_audit: Final = sa.Table(
    "raft_audit",
    metadata,
    _key("number", sa.BigInteger()),
    _column("time_ms", sa.BigInteger()),
    _column("action", _TEXT),
    _column("detail", _LONG),
    mysql_engine="InnoDB",
)
state_lease: Final = sa.Table(
    "state_lease",
    metadata,
    _key("name", _TEXT),
    _column("member_id", sa.BigInteger()),
    _column("session_id", _UUID),
    _column("fencing_token", sa.BigInteger()),
    _column("grant_term", sa.BigInteger()),
    _column("live", sa.Integer()),
    mysql_engine="InnoDB",
)
state_recovery: Final = sa.Table(
    "state_recovery",
    metadata,
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
state_step: Final = sa.Table(
    "state_step",
    metadata,
    _key("recovery_id", _UUID),
    _key("number", sa.BigInteger()),
    _column("phase", sa.Integer()),
    _column("fencing_token", sa.BigInteger()),
    _column("hold_ms", sa.BigInteger(), nullable=True),
    _column("data", _DATA),
    _column("intent_ms", sa.BigInteger()),
    _column("end_ms", sa.BigInteger(), nullable=True),
    _column("log_index", sa.BigInteger()),
    sa.Column("instance", _TEXT, nullable=False, server_default=""),
    mysql_engine="InnoDB",
)
state_stop: Final = sa.Table(
    "state_stop",
    metadata,
    _key("recovery_id", _UUID),
    _key("fencing_token", sa.BigInteger()),
    _key("step", sa.BigInteger()),
    _column("statement", _REASON),
    _column("outcome_known", sa.Integer()),
    _column("stop_ms", sa.BigInteger()),
    _column("log_index", sa.BigInteger()),
    mysql_engine="InnoDB",
)
state_primary: Final = sa.Table(
    "state_primary",
    metadata,
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
state_request: Final = sa.Table(
    "state_request",
    metadata,
    _key("request_id", _UUID),
    _column("fingerprint", sa.LargeBinary(16)),
    _column("log_index", sa.BigInteger()),
    _column("stamp_ms", sa.BigInteger()),
    _column("result", _LONG),
    mysql_engine="InnoDB",
)
_WRITTEN: Final = (("owner", _TEXT), ("reason", _REASON), ("log_index", sa.BigInteger()), ("write_ms", sa.BigInteger()))


def _item_table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """Return a table of the registry: its columns, then who wrote a row."""
    written = (_column(column, kind) for column, kind in _WRITTEN)
    return sa.Table(name, metadata, *columns, *written, mysql_engine="InnoDB")


state_downtime: Final = _item_table(
    "state_downtime", _key("scope", _TEXT), _column("begin_ms", sa.BigInteger()), _column("end_ms", sa.BigInteger())
)
state_maintenance: Final = _item_table(
    "state_maintenance",
    _key("scope", _TEXT),
    _column("maintenance_id", sa.BigInteger()),
    _column("begin_ms", sa.BigInteger()),
    _column("end_ms", sa.BigInteger()),
)
state_promotion_rule: Final = _item_table(
    "state_promotion_rule",
    _key("instance", _TEXT),
    _column("rule", _UUID),
    _column("end_ms", sa.BigInteger(), nullable=True),
)
state_tag: Final = _item_table("state_tag", _key("instance", _TEXT), _key("name", _TEXT), _column("value", _TEXT))
state_pool: Final = _item_table(
    "state_pool", _key("name", _TEXT), _column("members", _LONG), _column("end_ms", sa.BigInteger(), nullable=True)
)
state_cluster_name: Final = _item_table(
    "state_cluster_name", _key("cluster_id", _UUID), _column("alias", _TEXT), _column("domain", _TEXT)
)
state_policy: Final = _item_table(
    "state_policy",
    _key("scope", _TEXT),
    _column("mode", _UUID, nullable=True),
    _column("loss", _UUID, nullable=True),
    _column("max_lost_transactions", sa.BigInteger(), nullable=True),
    _column("fence_required", sa.Integer(), nullable=True),
    _column("min_observers", sa.BigInteger(), nullable=True),
    _column("without_observers", _UUID, nullable=True),
    _column("block_period_ms", sa.BigInteger(), nullable=True),
    _column("end_ms", sa.BigInteger(), nullable=True),
)
state_setting: Final = _item_table("state_setting", _key("name", _TEXT), _column("value", _REASON))
state_revision: Final = sa.Table(
    "state_revision",
    metadata,
    _key("name", _UUID),
    _column("log_index", sa.BigInteger()),
    mysql_engine="InnoDB",
)
state_session: Final = sa.Table(
    "state_session",
    metadata,
    _key("session_id", sa.BigInteger()),
    _column("owner", _TEXT),
    _column("acked_below", sa.BigInteger()),
    _column("last_index", sa.BigInteger()),
    _column("touch_ms", sa.BigInteger()),
    mysql_engine="InnoDB",
)
state_session_answer: Final = sa.Table(
    "state_session_answer",
    metadata,
    _key("session_id", sa.BigInteger()),
    _key("sequence", sa.BigInteger()),
    _column("fingerprint", sa.LargeBinary(16)),
    _column("result", _LONG),
    mysql_engine="InnoDB",
)
state_group_settings: Final = sa.Table(
    "state_group_settings",
    metadata,
    _key("id", sa.Integer()),
    _column("heartbeat_ns", sa.BigInteger()),
    _column("election_min_ns", sa.BigInteger()),
    _column("election_max_ns", sa.BigInteger()),
    _column("clock_drift_ppm", sa.BigInteger()),
    _column("log_index", sa.BigInteger()),
    mysql_engine="InnoDB",
)
state_group_version: Final = sa.Table(
    "state_group_version",
    metadata,
    _key("id", sa.Integer()),
    _column("version", sa.BigInteger()),
    _column("log_index", sa.BigInteger()),
    mysql_engine="InnoDB",
)
state_replacement: Final = sa.Table(
    "state_replacement",
    metadata,
    _key("replacement_id", _UUID),
    _column("old_member_id", sa.BigInteger()),
    _column("new_member", _LONG),
    _column("state", _UUID),
    _column("log_index", sa.BigInteger()),
    _column("begin_index", sa.BigInteger()),
    mysql_engine="InnoDB",
)
STATE_TABLES: Final = {name: table for name, table in metadata.tables.items() if name.startswith("state_")}
"""Tables whose rows the state machine writes, in the order they are made."""
