"""Where a write comes from: what makes it happen once, who wants it, and why (11, P1, P3)."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from services.consensus.state.rows import Row


class Origin(Struct, frozen=True):
    """Where a write comes from.

    Attributes:
        request_id: Repeated, it gives the first answer without effect (P1); empty with a session.
        owner: Who wants it.
        reason: Why, in words of the owner; may be empty.
        session_id: Session that makes the call; 0 = none (P3).
        sequence: Number of the call in its session, from 1.
        acked_below: The caller has the answers of all calls with a smaller number.
    """

    request_id: str = ""
    owner: str = ""
    reason: str = ""
    session_id: int = 0
    sequence: int = 0
    acked_below: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """Who wrote something, why, where and when.

    Attributes:
        log_index: Entry that wrote it.
        write_ms: Machine time of that entry, Unix milliseconds (T4).
    """

    owner: str
    reason: str
    log_index: int
    write_ms: int

    def to_row(self) -> Row:
        """Return the last columns of a row."""
        return (self.owner, self.reason, self.log_index, self.write_ms)

    def end_ms(self, span_ms: int | None) -> int | None:
        """Return when something written now ends that lasts so long; None = never."""
        return None if span_ms is None else self.write_ms + span_ms
