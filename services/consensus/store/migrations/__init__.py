"""Migrations of a member's database, run at start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import sqlalchemy as sa

NEWEST: Final = "0005"
"""The revision this version works with; what `versions/` ends with."""

SETTINGS_CONFIGURATION: Final = -1
"""`configuration_index` of a store from before revision 0002: its configuration is the one in the settings."""


class NewerSchema(Exception):
    """The database was migrated by a newer version."""


def upgrade(connection: sa.Connection) -> None:
    """Bring the database to `NEWEST`, inside the caller's transaction.

    Raises:
        NewerSchema: Its revision is not known here.
    """
    if revision_of(connection) == NEWEST:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Imported only when there is something to do: a usual start is 200 ms faster and some MB smaller without it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, NEWEST)
    except CommandError as error:
        raise NewerSchema(f"the database has a schema this version does not know: {error}") from error


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of a database; None when it was never migrated."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision
