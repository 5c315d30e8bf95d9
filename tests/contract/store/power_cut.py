"""What is on a disk after a power cut: all that was synced, and any part of what was written since."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("=cIIq")
_SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changed a file, or synced it.

    Attributes:
        op: `w`rite, `t`runcate, `s`ync, `r`ename.
        path: Of the file.
        offset: Where it was written, or the new length.
        data: What was written, or the new name.
    """

    op: str
    path: str
    offset: int
    data: bytes


def read_calls(log: Path) -> list[Call]:
    """Return what `recorder.c` recorded."""
    return list(_calls(log.read_bytes()))


def _calls(content: bytes) -> Iterator[Call]:
    at = 0
    while at < len(content):
        op, path_length, data_length, offset = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        path = content[at : at + path_length].decode()
        at += path_length
        yield Call(op.decode(), path, offset, content[at : at + data_length])
        at += data_length


def files_after(calls: Sequence[Call], rng: random.Random) -> dict[str, bytes]:
    """Return what the files may hold when the power goes after these calls."""
    synced: dict[str, bytearray] = defaultdict(bytearray)
    waiting: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.op == "r":
            name = call.data.decode()
            synced[name], waiting[name] = synced.pop(call.path, bytearray()), waiting.pop(call.path, [])
        elif call.op == "s":
            for earlier in waiting.pop(call.path, ()):
                apply_call(synced[call.path], earlier)
        else:
            waiting[call.path].append(call)
            synced[call.path] += b""  # The file is there, whatever is in it.
    for path, calls_of_file in waiting.items():
        kept = rng.random()
        for call in calls_of_file:
            if rng.random() < kept:
                apply_call(synced[path], call, rng)
    return {path: bytes(content) for path, content in synced.items()}


def apply_call(content: bytearray, call: Call, tear: random.Random | None = None) -> None:
    """Do to a file's content what a write or a truncation did; `tear` may draw how many sectors of it got there."""
    if call.op == "t":
        del content[call.offset :]
        content += bytes(call.offset - len(content))
        return
    data = call.data
    if tear is not None and len(data) > _SECTOR and tear.random() < 0.3:
        data = data[: tear.randrange(0, len(data), _SECTOR)]
    content += bytes(max(0, call.offset - len(content)))
    content[call.offset : call.offset + len(data)] = data
