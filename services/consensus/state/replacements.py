"""Replacements of one member by another, carried on by whoever leads (M4).

The record follows the configuration: every committed one moves it on, so what is recorded is what happened. The leader
reads the state and makes the change that is missing.

    ADD --new is a learner--> CATCH_UP --new votes--> REMOVE --old is out--> DONE
    ADD, CATCH_UP --an operator, or the learner was taken out--> CANCELLED
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from services.consensus.errors import RequestIdReused
from services.consensus.raft.configuration import (
    Configuration,
    GroupMember,
    MemberKind,
    configuration_of,
    decode_configuration,
    encode_configuration,
)
from services.consensus.raft.outputs import ChangeBlocker
from services.consensus.state.group_commands import BeginReplacement
from services.consensus.state.group_errors import ChangeBlocked, ReplacementUnknown
from services.consensus.state.rows import REPLACEMENTS, Change, Row, delete, put
from services.shared.runtime.errors import DomainError

MAX_ENDED: Final = 100
"""Ended records that are kept; the oldest goes when one begins."""


class ReplacementState(StrEnum):
    """What is to happen next."""

    ADD = "add"
    CATCH_UP = "catch_up"
    REMOVE = "remove"
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether anything is to happen at all."""
        return self not in (ReplacementState.DONE, ReplacementState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Replacement:
    """One member replaced by another.

    Attributes:
        replacement_id: Id of the request that began it.
        log_index: Entry that last changed it.
        begin_index: Entry that began it.
    """

    replacement_id: str
    old_member_id: int
    new_member: GroupMember
    state: ReplacementState
    log_index: int
    begin_index: int

    def to_row(self) -> Row:
        """Return the row of `state_replacement`."""
        return (
            self.replacement_id,
            self.old_member_id,
            encode_member(self.new_member),
            str(self.state),
            self.log_index,
            self.begin_index,
        )

    @classmethod
    def from_row(cls, replacement_id: str, old: int, new: str, state: str, index: int, begin: int) -> Replacement:
        """Return the replacement of a row."""
        return cls(replacement_id, old, decode_member(new), ReplacementState(state), index, begin)


Changed = tuple[tuple[Change, ...], "Replacement | DomainError"]


class ReplacementTable:
    """Replacements, at most one of them open."""

    def __init__(self, rows: Mapping[str, Iterable[Any]]) -> None:
        """Take the rows of a store."""
        found = (Replacement.from_row(*row) for row in rows.get(REPLACEMENTS, ()))
        self._records = {record.replacement_id: record for record in found}

    def get(self, replacement_id: str) -> Replacement | None:
        """Return one record."""
        return self._records.get(replacement_id)

    def open(self) -> Replacement | None:
        """Return the one that is under way."""
        return next((record for record in self._records.values() if record.state.is_open), None)

    def all(self) -> tuple[Replacement, ...]:
        """Return all records, newest first."""
        return tuple(sorted(self._records.values(), key=lambda record: record.begin_index, reverse=True))

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of the table, by key."""
        return {REPLACEMENTS: sorted(record.to_row() for record in self._records.values())}

    def begin(self, index: int, configuration: Configuration, command: BeginReplacement) -> Changed:
        """Record a replacement, unless another one is open; repeated it stays as it is."""
        asked = Replacement(
            command.replacement_id,
            command.old_member_id,
            decode_member(command.new_member),
            ReplacementState.ADD,
            log_index=index,
            begin_index=index,
        )
        known = self._records.get(asked.replacement_id)
        if known is not None:
            same = (known.old_member_id, known.new_member) == (asked.old_member_id, asked.new_member)
            return (), known if same else RequestIdReused(asked.replacement_id)
        if self.open() is not None:
            return (), ChangeBlocked(ChangeBlocker.CHANGE_OPEN)
        if configuration.find(asked.old_member_id) is None:
            return (), ChangeBlocked(ChangeBlocker.UNKNOWN_MEMBER)
        record = replace(asked, state=_state_in(configuration, asked))
        return (*self._put(record), *self._forget_oldest()), record

    def cancel(self, index: int, replacement_id: str) -> Changed:
        """End a replacement before the old member is to be removed."""
        known = self._records.get(replacement_id)
        if known is None or known.state in (ReplacementState.REMOVE, ReplacementState.DONE):
            return (), ReplacementUnknown(replacement_id)
        if known.state is ReplacementState.CANCELLED:
            return (), known
        cancelled = replace(known, state=ReplacementState.CANCELLED, log_index=index)
        return self._put(cancelled), cancelled

    def follow(self, index: int, configuration: Configuration) -> tuple[Change, ...]:
        """Move the open replacement on to what a committed configuration shows."""
        record = self.open()
        if record is None:
            return ()
        state = _state_in(configuration, record)
        return () if state is record.state else self._put(replace(record, state=state, log_index=index))

    def _forget_oldest(self) -> tuple[Change, ...]:
        ended = [record for record in self.all() if not record.state.is_open]
        if len(ended) <= MAX_ENDED:
            return ()
        del self._records[ended[-1].replacement_id]
        return (delete(REPLACEMENTS, (ended[-1].replacement_id,)),)

    def _put(self, record: Replacement) -> tuple[Change, ...]:
        self._records[record.replacement_id] = record
        return (put(REPLACEMENTS, record.to_row()),)


def encode_member(member: GroupMember) -> str:
    """Return one member as text, equal for equal members."""
    return encode_configuration(configuration_of((member,))).decode("ascii")


def decode_member(text: str) -> GroupMember:
    """Return the member of a text."""
    return decode_configuration(text.encode("ascii")).members[0]


def _state_in(configuration: Configuration, record: Replacement) -> ReplacementState:
    new = configuration.find(record.new_member.member_id)
    if new is None:
        return record.state if record.state is ReplacementState.ADD else ReplacementState.CANCELLED
    if new.kind is MemberKind.LEARNER:
        return ReplacementState.CATCH_UP
    if configuration.find(record.old_member_id) is None:
        return ReplacementState.DONE
    return ReplacementState.REMOVE
