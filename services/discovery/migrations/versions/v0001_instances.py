"""Last known instances, and labels of clusters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "discovery_instance",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("server_uuid", sa.String(36), nullable=False),
        sa.Column("cluster_id", sa.String(36), nullable=False),
        sa.Column("state", sa.LargeBinary(2**24 - 1), nullable=False),
    )
    op.create_table(
        "discovery_cluster",
        sa.Column("cluster_id", sa.String(36), primary_key=True),
        sa.Column("alias", sa.String(300), nullable=False),
    )


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("discovery_cluster")
    op.drop_table("discovery_instance")
