"""Checksums of what a member may not read wrongly: log entries, identity, vote, marks (S7).

CRC-32C: made for storage, and in hardware on every machine this runs on.
"""

from __future__ import annotations

from collections.abc import Iterable

import google_crc32c


def checksum_of_entry(index: int, term: int, kind: str, stamp_ms: int, data: bytes) -> int:
    """Return the checksum of a log entry, its place in the log included; `kind` as it is stored."""
    return int(google_crc32c.value(b"%d,%d,%s,%d," % (index, term, kind.encode("ascii"), stamp_ms) + data))


def checksum_of_row(values: Iterable[int | str | bytes | None]) -> int:
    """Return the checksum of a row's other columns, in the order of the table."""
    return int(google_crc32c.value(b"\0".join(map(_bytes_of, values))))


def _bytes_of(value: int | str | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8")
