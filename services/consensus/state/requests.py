"""Answers by request id, so that a repeated request takes effect once (P1); old ones age out (P2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.consensus.state.rows import REQUESTS, Change, Row, RowsOf, delete, put

TTL_MS: Final = 24 * 3600 * 1000
MAX_REQUESTS: Final = 100_000
MAX_FORGOTTEN: Final = 100
"""Deletions per entry, so that no entry is expensive."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What a request did.

    Attributes:
        fingerprint: Hash of what was asked.
        log_index: Entry that took effect.
        stamp_ms: Machine time of that entry (T4).
        result: The answer, as text.
    """

    request_id: str
    fingerprint: bytes
    log_index: int
    stamp_ms: int
    result: str

    def to_row(self) -> Row:
        """Return the row of `state_request`."""
        return (self.request_id, self.fingerprint, self.log_index, self.stamp_ms, self.result)


class RequestTable:
    """Answers by request id, oldest first."""

    def __init__(self, records: Iterable[RequestRecord] = ()) -> None:
        ordered = sorted(records, key=lambda record: record.log_index)
        self._records = OrderedDict((record.request_id, record) for record in ordered)

    def get(self, request_id: str) -> RequestRecord | None:
        """Return what a request did, if it is still remembered."""
        return self._records.get(request_id)

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of the table."""
        return {REQUESTS: RowsOf(tuple(self._records.values()), lambda record: record.to_row())}

    def remember(self, record: RequestRecord) -> tuple[Change, ...]:
        """Keep an answer and forget some that are too old or too many."""
        self._records[record.request_id] = record
        return (put(REQUESTS, record.to_row()), *self._forget(record.stamp_ms))

    def _forget(self, now_ms: int) -> tuple[Change, ...]:
        forgotten: list[Change] = []
        while len(forgotten) < MAX_FORGOTTEN:
            oldest = next(iter(self._records.values()))
            if len(self._records) <= MAX_REQUESTS and now_ms - oldest.stamp_ms <= TTL_MS:
                break
            del self._records[oldest.request_id]
            forgotten.append(delete(REQUESTS, (oldest.request_id,)))
        return tuple(forgotten)
