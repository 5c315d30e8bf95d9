"""Who asks, for the record."""

from __future__ import annotations

import getpass
import socket


def requester() -> str:
    """Return the user and the machine, `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
