"""Snapshots as bytes: where the state machine stands and all its rows, in frames (N3).

    snapshot = header frame, row frames of each table in primary key order, trailer frame
    frame    = length (4 bytes, big-endian), that many bytes of zlib level 1 over JSON

The header says what it is a snapshot of, the trailer how many rows there are and the SHA-256 of everything before it.
Both directions go frame by frame, so that an event loop can do other things in between. Equal states give equal bytes.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar

from services.consensus.raft.configuration import decode_configuration, encode_configuration
from services.consensus.state.machine import Mark
from services.consensus.state.rows import SCHEMA_REVISION, SHAPES, Row

FORMAT: Final = 1
MAX_FRAME_ROWS: Final = 500
"""Rows in a frame: making or reading one takes less than 5 ms (N2)."""
MAX_FRAME_BYTES: Final = 256 * 1024
"""Text and bytes in a frame, unless a single row has more."""
_RUN_ROWS: Final = 2_000
"""Rows that are sorted at a time."""
_ZLIB_LEVEL: Final = 1
_LENGTH_BYTES: Final = 4
_MAX_TEXT: Final = 64 << 20
"""No frame is longer than this when expanded."""

ParsedT = TypeVar("ParsedT")


class SnapshotRefused(Exception):
    """A snapshot cannot be used by this member; `str()` says why."""


def encode_snapshot(mark: Mark, tables: Mapping[str, Sequence[Row]], group_id: str) -> Iterator[bytes]:
    """Yield a snapshot piece by piece; some pieces are empty and only mark a place to pause.

    Args:
        mark: Where the machine stands.
        tables: All its rows there, by key of `SHAPES`, in any order; must not change while this runs.
        group_id: Of the group.
    """
    hashed = hashlib.sha256()
    for piece in _content(mark, tables, group_id):
        hashed.update(piece)
        yield piece
    counts = {name: len(tables.get(name, ())) for name in sorted(SHAPES)}
    yield _frame({"rows": counts, "sha256": hashed.hexdigest()})


class SnapshotReader:
    """Reads a snapshot frame by frame.

    Attributes:
        mark: Where the machine stood.
        tables: Rows read so far, by key of `SHAPES`; complete once `read` has returned False.
    """

    def __init__(self, data: bytes, group_id: str) -> None:
        """Read the header.

        Args:
            data: The whole snapshot.
            group_id: Of this member's group; empty = not known yet.

        Raises:
            SnapshotRefused: Damaged, of another group, or of a newer version (N6).
        """
        self._data = memoryview(data)
        self._offset = 0
        self._hashed = hashlib.sha256()
        self.tables: dict[str, list[Row]] = {name: [] for name in SHAPES}
        self.mark = self._parse_next(lambda header: _mark_of(header, group_id))

    def read(self) -> bool:
        """Read one more frame; return False when that was the trailer and everything is right.

        Raises:
            SnapshotRefused: Damaged.
        """
        digest = self._hashed.hexdigest()
        return self._parse_next(lambda frame: self._take(frame, digest))

    def _take(self, frame: dict[str, Any], digest: str) -> bool:
        if "table" in frame:
            width = len(SHAPES[frame["table"]].columns)
            rows = [_row_of(row) for row in frame["rows"]]
            _require(all(len(row) == width for row in rows), "a row has the wrong number of columns")
            self.tables[frame["table"]].extend(rows)
            return True
        counts = {name: len(rows) for name, rows in self.tables.items()}
        _require(frame["sha256"] == digest, "its hash is wrong")
        _require(counts == dict.fromkeys(SHAPES, 0) | frame["rows"], "its number of rows is wrong")
        _require(self._offset == len(self._data), "it goes on after its end")
        return False

    def _parse_next(self, parse: Callable[[dict[str, Any]], ParsedT]) -> ParsedT:
        begin = self._offset + _LENGTH_BYTES
        end = begin + int.from_bytes(self._data[self._offset : begin], "big")
        _require(begin <= end <= len(self._data) and begin <= len(self._data), "it ends early")
        self._hashed.update(self._data[self._offset : end])
        self._offset = end
        expander = zlib.decompressobj()
        try:
            text = expander.decompress(self._data[begin:end], _MAX_TEXT)
            _require(expander.eof and not expander.unused_data, "a frame is not whole")
            return parse(json.loads(text))
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise SnapshotRefused(f"snapshot is damaged: {error!r}") from error


# Writing.


def _content(mark: Mark, tables: Mapping[str, Sequence[Row]], group_id: str) -> Iterator[bytes]:
    yield _frame(_header_of(mark, group_id))
    for name in sorted(SHAPES):
        key = itemgetter(*range(len(SHAPES[name].key)))
        runs: list[list[Row]] = []
        rows = tables.get(name, ())
        for begin in range(0, len(rows), _RUN_ROWS):
            runs.append(sorted(rows[begin : begin + _RUN_ROWS], key=key, reverse=True))
            yield b""
        for part in _slices(heapq.merge(*map(_emptied, runs), key=key)):
            yield _frame({"table": name, "rows": part})


def _emptied(run: list[Row]) -> Iterator[Row]:
    """Yield rows from the last to the first and let go of each: to free all at once takes as long as ten frames."""
    while run:
        yield run.pop()


def _slices(rows: Iterator[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        length = sum(len(value) for value in row if isinstance(value, str | bytes))
        if part and (len(part) >= MAX_FRAME_ROWS or size + length > MAX_FRAME_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _header_of(mark: Mark, group_id: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "group_id": group_id,
        "schema_revision": SCHEMA_REVISION,
        "applied_index": mark.applied_index,
        "applied_term": mark.applied_term,
        "time_ms": mark.time_ms,
        "digest": mark.digest.hex(),
        "configuration": encode_configuration(mark.configuration).decode("ascii"),
        "configuration_index": mark.configuration_index,
        "tables": {name: list(SHAPES[name].columns) for name in sorted(SHAPES)},
    }


def _frame(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, default=_bytes_as_list, separators=(",", ":")).encode("ascii")
    packed = zlib.compress(text, _ZLIB_LEVEL)
    return len(packed).to_bytes(_LENGTH_BYTES, "big") + packed


def _bytes_as_list(value: bytes) -> list[str]:
    """Return bytes as the one thing that no other value of a row is in JSON."""
    return [b64encode(value).decode("ascii")]


# Reading.


def _mark_of(header: dict[str, Any], group_id: str) -> Mark:
    if header["format"] > FORMAT or header["schema_revision"] > SCHEMA_REVISION:
        offered = f"format {header['format']}, schema {header['schema_revision']}"
        raise SnapshotRefused(f"snapshot is of a newer version ({offered}): this member must be upgraded")
    if group_id and header["group_id"] != group_id:
        raise SnapshotRefused("snapshot is of another group")
    for name, columns in header["tables"].items():  # A table that an older version did not have is empty (N6).
        _require(tuple(columns) == SHAPES[name].columns, f"columns of {name} are not known")
    return Mark(
        header["applied_index"],
        header["applied_term"],
        header["time_ms"],
        bytes.fromhex(header["digest"]),
        decode_configuration(header["configuration"].encode("ascii")),
        header["configuration_index"],
    )


def _row_of(values: Sequence[Any]) -> Row:
    return tuple([value if value.__class__ is not list else b64decode(value[0], validate=True) for value in values])


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise SnapshotRefused(f"snapshot is damaged: {problem}")
