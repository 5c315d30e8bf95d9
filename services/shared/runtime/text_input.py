"""Text files that people name on a command line."""

from __future__ import annotations

import sys
from pathlib import Path


def read_text(name: str) -> str:
    """Return the text of a file; `-` is standard input.

    Raises:
        OSError, UnicodeDecodeError: It cannot be read.
    """
    return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")


def problem_of(error: Exception) -> str:
    """Return what is wrong with a file, without its name."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
