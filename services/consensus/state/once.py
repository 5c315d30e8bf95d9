"""Requests that take effect once: by their id (P1), or by session and number (P3).

The answer goes into the same change set as the effect. A refusal by the rules is an answer like any other; what is not
remembered is a refusal to carry out at all: an id used for something else, a session that is not open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from services.consensus.errors import RequestIdReused
from services.consensus.state.commands import Command, encode_command
from services.consensus.state.group_commands import OpenSession, SetGroupSettings
from services.consensus.state.registry.commands import RegistryCommand
from services.consensus.state.registry.origin import Origin
from services.consensus.state.requests import RequestRecord, RequestTable
from services.consensus.state.rows import REQUESTS, Change, Row
from services.consensus.state.sessions import SessionTable
from services.consensus.state.stored_answers import StoredAnswer, decode_answer, encode_answer
from services.shared.runtime.errors import DomainError

OnceCommand = RegistryCommand | OpenSession | SetGroupSettings
"""Commands that say where they come from."""
Effect = Callable[[], tuple[tuple[Change, ...], StoredAnswer]]


class Once:
    """Answers by request id and by session."""

    def __init__(self, rows: Mapping[str, Iterable[Any]]) -> None:
        """Take the rows of a store."""
        self.sessions = SessionTable(rows)
        self._requests = RequestTable(RequestRecord(*row) for row in rows.get(REQUESTS, ()))

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of all tables."""
        return {**self._requests.rows(), **self.sessions.rows()}

    def carry_out(
        self, index: int, now_ms: int, command: OnceCommand, effect: Effect
    ) -> tuple[tuple[Change, ...], StoredAnswer]:
        """Carry a command out, unless it was before: then give its first answer."""
        origin = command.origin
        fingerprint = fingerprint_of(replace(command, origin=Origin(owner=origin.owner, reason=origin.reason)))
        if not origin.session_id or isinstance(command, OpenSession):
            return self._by_id(index, now_ms, origin.request_id, fingerprint, effect)
        known = self.sessions.answered(origin, fingerprint)
        if isinstance(known, DomainError):
            return (), known
        if known is not None:
            return self._heard(index, now_ms, origin), decode_answer(known.result)
        changes, answer = effect()
        kept = self.sessions.remember(index, now_ms, origin, fingerprint, encode_answer(answer))
        return (*changes, *kept), answer

    def known(self, request_id: str, fingerprint: bytes) -> StoredAnswer | None:
        """Return what a request was answered with, or that its id was used for something else; None: it is new."""
        record = self._requests.get(request_id)
        if record is None:
            return None
        return decode_answer(record.result) if record.fingerprint == fingerprint else RequestIdReused(request_id)

    def remember(
        self, index: int, now_ms: int, request_id: str, fingerprint: bytes, answer: StoredAnswer
    ) -> tuple[Change, ...]:
        """Keep the answer of a request that is new."""
        return self._requests.remember(RequestRecord(request_id, fingerprint, index, now_ms, encode_answer(answer)))

    def _by_id(
        self, index: int, now_ms: int, request_id: str, fingerprint: bytes, effect: Effect
    ) -> tuple[tuple[Change, ...], StoredAnswer]:
        known = self.known(request_id, fingerprint)
        if known is not None:
            return (), known
        changes, answer = effect()
        return (*changes, *self.remember(index, now_ms, request_id, fingerprint, answer)), answer

    def _heard(self, index: int, now_ms: int, origin: Origin) -> tuple[Change, ...]:
        return self.sessions.touch(index, now_ms, origin.session_id, min(origin.acked_below, origin.sequence))[0]


def fingerprint_of(command: Command) -> bytes:
    """Return a hash of what is asked; equal commands have equal ones."""
    return hashlib.blake2b(encode_command(command), digest_size=16).digest()
