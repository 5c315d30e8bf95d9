"""On what kind of file system a directory is, and whether that keeps data safely (14.2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

VOLATILE: Final = frozenset({"tmpfs", "ramfs", "nfs", "nfs4", "9p"})
"""Forget at a power cut, or do not lock and sync as a database needs."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def file_system_of(directory: Path, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that keeps a directory's files; empty where the system does not tell.

    For an overlay it is that of the layer which takes the writes, where that can be seen from here.
    """
    if not mounts.exists():
        return ""
    directory = directory.resolve()
    found, depth = ("", ""), -1
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(_unescape(fields.split()[4]))
        # Of two mounts at one place the later one is on top.
        if directory.is_relative_to(point) and len(point.parts) >= depth:
            kind, _, options = rest.split(maxsplit=2)
            found, depth = (kind, options), len(point.parts)
    kind, options = found
    if kind == "overlay":
        upper = re.search(r"\bupperdir=([^,]+)", options)
        if upper and Path(_unescape(upper[1])).is_dir():
            return file_system_of(Path(_unescape(upper[1])), mounts)
    return kind


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
