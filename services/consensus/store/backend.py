"""What differs between the databases a store may be on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from services.consensus.ports import StoreError


class Backend(Protocol):
    """One database. `raw` is the driver's connection, in no transaction unless said otherwise."""

    begin_statement: str
    """Begins a transaction that will write."""

    @property
    def url(self) -> sa.URL:
        """Where to connect."""

    @property
    def engine_options(self) -> dict[str, Any]:
        """Arguments of `create_engine`."""

    @property
    def acknowledged_path(self) -> Path:
        """Where the file of 14.6 is unless the settings say otherwise."""

    def claim(self) -> None:
        """Take the database for this process, for life, before the first connection.

        Raises:
            StoreRefused: Another process has it.
        """

    def release(self) -> None:
        """Let other processes have it."""

    def prepare(self, raw: Any) -> None:
        """Set up a new connection and verify that commits will be durable.

        Raises:
            StoreRefused: They would not, or another process has the database.
        """

    def check(self, raw: Any) -> str:
        """Return what is damaged; empty = nothing was found."""

    def set_aside(self, suffix: str) -> Path | None:
        """Make room for a blank database, while nobody is connected.

        Args:
            suffix: Tells the old database from the new one.

        Returns:
            Where the old one is now; None = it cannot be kept: it is still there, and its rows have to go.

        Raises:
            StoreRefused: Another process has it.
            OSError: It cannot be moved.
        """

    def begin_service(self) -> None:
        """Make what a store in use needs beside it."""

    def tidy(self, raw: Any, *, idle: bool) -> float | None:
        """Do what keeps the database small and fast; return the seconds a checkpoint took, None = there was none."""

    def size(self, raw: Any) -> int:
        """Return how large the database is, bytes."""

    def relieve(self, raw: Any) -> None:
        """Free what space can be freed."""

    def has_room(self) -> bool:
        """Tell whether there is space enough to go on once it was full."""

    def server_uuid(self, raw: Any) -> str:
        """Return the identity of the server; empty = there is none."""

    def translate(self, error: Exception) -> StoreError:
        """Return what an error of the driver, or of the operating system, means."""
