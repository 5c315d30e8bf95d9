"""Sessions of programs that need a proof beyond the age of request ids (P3; Raft thesis, section 6.3).

A session numbers its calls. The answer to each is kept until the program says that it has it, so a repeated call gives
its first answer however late it comes. An unknown session executes nothing: what it did is not known any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from services.consensus.errors import RequestIdReused
from services.consensus.state.registry.origin import Origin
from services.consensus.state.registry_errors import SessionFull, SessionSequencePassed, SessionUnknown
from services.consensus.state.rows import SESSION_ANSWERS, SESSIONS, Change, Row, RowsOf, delete, put
from services.shared.runtime.errors import DomainError

MAX_SESSIONS: Final = 1_000
MAX_ANSWERS: Final = 1_000
"""Answers kept of one session: calls whose answers the program does not say it has."""
MAX_FORGOTTEN: Final = 100
"""Answers forgotten per entry, so that no entry is expensive."""


@dataclass(frozen=True, slots=True)
class Session:
    """One open session.

    Attributes:
        session_id: Log index of its opening.
        owner: Who opened it.
        acked_below: Answers of calls with a smaller number are not kept any more.
        last_index: Entry it was last heard in.
        touch_ms: Machine time of that entry.
    """

    session_id: int
    owner: str
    acked_below: int
    last_index: int
    touch_ms: int

    def to_row(self) -> Row:
        """Return the row of `state_session`."""
        return (self.session_id, self.owner, self.acked_below, self.last_index, self.touch_ms)


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """What one call of a session did; fields as in `RequestRecord`."""

    session_id: int
    sequence: int
    fingerprint: bytes
    result: str

    def to_row(self) -> Row:
        """Return the row of `state_session_answer`."""
        return (self.session_id, self.sequence, self.fingerprint, self.result)


Changed = tuple[tuple[Change, ...], "Session | DomainError"]


class SessionTable:
    """Open sessions and the answers they may ask for again."""

    def __init__(self, rows: Mapping[str, Iterable[Any]]) -> None:
        """Take the rows of a store."""
        self._sessions = {row[0]: Session(*row) for row in rows.get(SESSIONS, ())}
        self._answers: dict[int, dict[int, SessionAnswer]] = {session_id: {} for session_id in self._sessions}
        for row in sorted(rows.get(SESSION_ANSWERS, ())):
            answer = SessionAnswer(*row)
            self._answers[answer.session_id][answer.sequence] = answer

    def get(self, session_id: int) -> Session | None:
        """Return an open session."""
        return self._sessions.get(session_id)

    def all(self) -> tuple[Session, ...]:
        """Return all open sessions, oldest first."""
        return tuple(self._sessions[session_id] for session_id in sorted(self._sessions))

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of both tables."""
        answers = tuple(answer for kept in self._answers.values() for answer in kept.values())
        return {
            SESSIONS: RowsOf(tuple(self._sessions.values()), lambda session: session.to_row()),
            SESSION_ANSWERS: RowsOf(answers, lambda answer: answer.to_row()),
        }

    def open(self, index: int, now_ms: int, owner: str) -> Changed:
        """Open a session."""
        if len(self._sessions) >= MAX_SESSIONS:
            return (), SessionFull(f"{MAX_SESSIONS} sessions are open")
        session = Session(index, owner, acked_below=1, last_index=index, touch_ms=now_ms)
        self._answers[index] = {}
        return self._put(session), session

    def touch(self, index: int, now_ms: int, session_id: int, acked_below: int) -> Changed:
        """Note that a session was heard, and forget the answers it has."""
        session = self._sessions.get(session_id)
        if session is None:
            return (), SessionUnknown(session_id)
        touched = replace(session, acked_below=max(session.acked_below, acked_below), last_index=index, touch_ms=now_ms)
        return (*self._put(touched), *self._forget(touched)), touched

    def close(self, session_id: int) -> Changed:
        """End a session and forget its answers."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            return (), SessionUnknown(session_id)
        answers = self._answers.pop(session_id)
        gone = (delete(SESSION_ANSWERS, (session_id, sequence)) for sequence in answers)
        return (delete(SESSIONS, (session_id,)), *gone), session

    def expire(self, session_id: int, last_index: int) -> tuple[Change, ...]:
        """End a session that was not heard since an entry."""
        session = self._sessions.get(session_id)
        if session is None or session.last_index != last_index:
            return ()  # Heard meanwhile: every member skips it alike.
        return self.close(session_id)[0]

    def answered(self, origin: Origin, fingerprint: bytes) -> SessionAnswer | DomainError | None:
        """Return what a call did before, why it may not be made, or None: it is new."""
        session = self._sessions.get(origin.session_id)
        if session is None:
            return SessionUnknown(origin.session_id)
        if origin.sequence < session.acked_below:
            return SessionSequencePassed(origin.session_id, origin.sequence, session.acked_below)
        kept = self._answers[origin.session_id]
        known = kept.get(origin.sequence)
        if known is None:
            return SessionFull(f"{MAX_ANSWERS} answers are not acknowledged") if len(kept) >= MAX_ANSWERS else None
        return known if known.fingerprint == fingerprint else RequestIdReused(f"{origin.session_id}/{origin.sequence}")

    def remember(self, index: int, now_ms: int, origin: Origin, fingerprint: bytes, result: str) -> tuple[Change, ...]:
        """Keep the answer of a call that `answered` found new; it counts as a touch."""
        answer = SessionAnswer(origin.session_id, origin.sequence, fingerprint, result)
        self._answers[origin.session_id][origin.sequence] = answer
        acked_below = min(origin.acked_below, origin.sequence)
        touched, _ = self.touch(index, now_ms, origin.session_id, acked_below)
        return (put(SESSION_ANSWERS, answer.to_row()), *touched)

    def _forget(self, session: Session) -> tuple[Change, ...]:
        answers = self._answers[session.session_id]
        passed = sorted(sequence for sequence in answers if sequence < session.acked_below)[:MAX_FORGOTTEN]
        for sequence in passed:
            del answers[sequence]
        return tuple(delete(SESSION_ANSWERS, (session.session_id, sequence)) for sequence in passed)

    def _put(self, session: Session) -> tuple[Change, ...]:
        self._sessions[session.session_id] = session
        return (put(SESSIONS, session.to_row()),)
