"""Where executors stopped because their lease was gone.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger()
_UUID = sa.String(64).with_variant(sa.String(64, collation="utf8mb4_bin"), "mysql", "mariadb")
_REASON = sa.String(1_000).with_variant(sa.String(1_000, collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    """Make the table, unless an upgrade that was cut off did."""
    if sa.inspect(op.get_bind()).has_table("state_stop"):
        return
    op.create_table(
        "state_stop",
        sa.Column("recovery_id", _UUID, primary_key=True),
        sa.Column("fencing_token", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("step", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("statement", _REASON, nullable=False),
        sa.Column("outcome_known", sa.Integer(), nullable=False),
        sa.Column("stop_ms", _NUMBER, nullable=False),
        sa.Column("log_index", _NUMBER, nullable=False),
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Drop the table, and with it what executors told."""
    op.drop_table("state_stop")
