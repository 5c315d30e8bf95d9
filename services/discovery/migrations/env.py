"""Runs the migrations on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from services.discovery.store import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="discovery_version",
)
with context.begin_transaction():
    context.run_migrations()
