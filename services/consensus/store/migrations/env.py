"""Alembic's environment: runs the migrations on the connection that `upgrade` was given."""

from __future__ import annotations

from alembic import context

from services.consensus.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
