"""The id under which the settings list a member that came back under another one.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, unless an upgrade that was cut off did; without the id the checksum is as it was."""
    if "listed_id" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("raft_member")}:
        op.add_column("raft_member", sa.Column("listed_id", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the column; a member that came back under another id is a stranger to its settings then."""
    op.drop_column("raft_member", "listed_id")
