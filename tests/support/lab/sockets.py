"""Whose socket it is: what Linux knows of local TCP connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_LOOPBACK: Final = "0100007F"  # 127.0.0.1 as proc(5) has it: the address as a little-endian number in hex.


def connects_from(pids: Iterable[int], client_port: int, server_port: int) -> bool:
    """Return whether one of the processes is the client of the connection between two ports of 127.0.0.1."""
    inode = _inode(client_port, server_port)
    return inode is not None and any(_holds(pid, f"socket:[{inode}]") for pid in pids)


def _inode(client_port: int, server_port: int) -> str | None:
    wanted = (f"{_LOOPBACK}:{client_port:04X}", f"{_LOOPBACK}:{server_port:04X}")
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if (columns[1], columns[2]) == wanted:
            return columns[9]
    return None


def _holds(pid: int, link: str) -> bool:
    with contextlib.suppress(OSError):  # The process, or one of its files, is gone meanwhile.
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == link:
                    return True
    return False
