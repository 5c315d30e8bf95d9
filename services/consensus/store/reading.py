"""Reads a store and looks for anything wrong in it (S7, 14.6).

What is wrong is a reason to distrust the store, not to give up: as much as can be read is still returned, so that the
member can show itself. What is returned is always consistent in itself: a log without gaps behind its mark, and a
machine that stands within it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from services.consensus.ports import AuditRecord, StoreBroken, StoreError
from services.consensus.raft.configuration import NO_MEMBERS, decode_configuration
from services.consensus.raft.model import MILLISECOND, START, Entry, EntryKind, HardState, LogMark
from services.consensus.state.machine import Mark
from services.consensus.state.rows import Row
from services.consensus.store.checksums import checksum_of_entry, checksum_of_row
from services.consensus.store.standing import Standing, StoredMember
from services.consensus.store.statements import Statements, entry_checksum, last_row, member_checksum

T = TypeVar("T")

_MEMBER: Final = "SELECT group_id, member_id, incarnation, group_name, quarantine, listed_id, crc32c FROM raft_member"
_VOTE: Final = "SELECT current_term, voted_for, promise_max_ms, crc32c FROM raft_vote"
_MARK: Final = (
    "SELECT applied_index, applied_term, machine_time_ms, state_digest, log_index, log_term, configuration_index, "
    "configuration, crc32c FROM raft_mark"
)
_LOG: Final = (
    "SELECT log_index, term, kind, stamp_ms, crc32c, data FROM raft_log WHERE log_index > {mark} ORDER BY log_index"
)
_AUDIT: Final = "SELECT time_ms, action, detail FROM raft_audit ORDER BY number"
_KINDS: Final = {kind.value: kind for kind in EntryKind}
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found.

    Attributes:
        problems: What is wrong; empty = nothing.
        standing: Where the store stands.
        entries: The log behind the mark, up to the first damage.
        tables: Rows of the state tables.
        audit: What was done to the store from outside, oldest first.
    """

    problems: tuple[str, ...]
    standing: Standing
    entries: tuple[Entry, ...]
    tables: Mapping[str, Sequence[Row]]
    audit: tuple[AuditRecord, ...]


def read_store(cursor: Any, statements: Statements, translate: Callable[[Exception], StoreError]) -> Reading:
    """Read everything, in the caller's transaction.

    Args:
        cursor: Of the driver.
        statements: For its database.
        translate: Says what an error of the driver means.

    Raises:
        StoreBroken: Not even whose store it is can be read.
        StoreError: The database is not reached.
    """
    return _Reader(cursor, statements, translate).read()


def read_standing(cursor: Any) -> Standing:
    """Return where a store stands, without looking at the whole log (14.4).

    Raises:
        StoreBroken: A row is missing or damaged.
    """
    problems: list[str] = []
    member, hard_state = _member(cursor, problems), _vote(cursor, problems)
    log_mark, mark = _mark(cursor, problems)
    if problems:
        raise StoreBroken("; ".join(problems))
    last_index, last_checksum = last_row(cursor)
    if last_index <= log_mark.index:
        last_index, last_checksum = log_mark.index, 0
    return Standing(member, hard_state, log_mark, mark, last_index, last_checksum)


def oldest_row(cursor: Any) -> int:
    """Return the index of the first row of the log, one that is not part of it any more included; 0 = none."""
    cursor.execute("SELECT min(log_index) FROM raft_log")
    return int(cursor.fetchone()[0] or 0)


class _Reader:
    def __init__(self, cursor: Any, statements: Statements, translate: Callable[[Exception], StoreError]) -> None:
        self._cursor = cursor
        self._select = statements.select
        self._translate = translate
        self._problems: list[str] = []

    def read(self) -> Reading:
        cursor, problems = self._cursor, self._problems
        try:
            member = _member(cursor, problems)
        except Exception as error:
            raise self._translate(error) from error
        hard_state = self._part(lambda: _vote(cursor, problems), HardState())
        log_mark, mark = self._part(lambda: _mark(cursor, problems), (START, Mark()))
        entries: list[Entry] = []
        self._part(lambda: entries.extend(self._log(log_mark)), None)
        rows: dict[str, Sequence[Row]] = {
            name: self._part(partial(_rows, cursor, select), ()) for name, select in self._select.items()
        }
        nothing: Sequence[AuditRecord] = ()
        audit = self._part(partial(_audit, cursor), nothing)
        misfit = _misfit(log_mark, mark, entries)
        if misfit:
            problems.append(misfit)
            # The rows of the state are all there is of what they stand for.
            log_mark, entries = LogMark(mark.applied_index, mark.applied_term), []
        last_term = entries[-1].term if entries else log_mark.term
        if last_term > hard_state.current_term:
            problems.append(f"the log is of term {last_term}, above the current term {hard_state.current_term}")
            hard_state = replace(hard_state, current_term=last_term)
        last_index = entries[-1].index if entries else log_mark.index
        last_checksum = entry_checksum(entries[-1]) if entries else 0
        standing = Standing(member, hard_state, log_mark, mark, last_index, last_checksum)
        if member.quarantine:
            problems.insert(0, member.quarantine)
        return Reading(tuple(problems), standing, tuple(entries), rows, tuple(audit))

    def _part(self, read: Callable[[], T], otherwise: T) -> T:
        """Return what can be read, or note why it cannot."""
        try:
            return read()
        except Exception as error:
            meaning = error if isinstance(error, StoreError) else self._translate(error)
            if not isinstance(meaning, StoreBroken):
                raise meaning from error
            self._problems.append(str(meaning))
            return otherwise

    def _log(self, log_mark: LogMark) -> Iterable[Entry]:
        self._cursor.execute(_LOG.format(mark=log_mark.index))
        expected, least_term = log_mark.index + 1, log_mark.term
        for log_index, term, kind, stamp_ms, checksum, data in self._cursor:
            if log_index != expected:
                raise StoreBroken(f"the log has a gap: entry {expected} is missing")
            try:
                sound = checksum_of_entry(log_index, term, kind, stamp_ms, data) == checksum
            except (TypeError, ValueError):  # Not even of the right types.
                sound = False
            if not sound:
                raise StoreBroken(f"log entry {log_index} is damaged: its checksum is wrong")
            if term < least_term:
                raise StoreBroken(f"log entry {log_index} is of term {term}, below {least_term} before it")
            yield Entry(log_index, term, _KINDS[kind], stamp_ms, data)
            expected, least_term = expected + 1, term


def _misfit(log_mark: LogMark, mark: Mark, entries: Sequence[Entry]) -> str:
    """Return why the state rows are not those of this log; empty = they may be."""
    last_index = entries[-1].index if entries else log_mark.index
    if mark.applied_index > last_index:
        return f"applied_index {mark.applied_index} is above the last log index {last_index}"
    if mark.applied_index < log_mark.index:
        return f"applied_index {mark.applied_index} is below the log's mark {log_mark.index}"
    place = mark.applied_index - log_mark.index
    term = entries[place - 1].term if place else log_mark.term
    if term != mark.applied_term:
        return f"the entry at applied_index {mark.applied_index} is of term {term}, not {mark.applied_term}"
    return ""


def _one(cursor: Any, statement: str, table: str) -> Row:
    cursor.execute(statement)
    found = cursor.fetchall()
    if len(found) != 1:
        raise StoreBroken(f"{table} has {len(found)} rows instead of one")
    row: Row = tuple(found[0])
    return row


def _member(cursor: Any, problems: list[str]) -> StoredMember:
    *row, checksum = _one(cursor, _MEMBER, "raft_member")
    member = StoredMember(*row)  # type: ignore[arg-type]  # The table says of what type they are.
    if member_checksum(member) != checksum:
        problems.append("raft_member is damaged: its checksum is wrong")
    return member


def _vote(cursor: Any, problems: list[str]) -> HardState:
    *row, checksum = _one(cursor, _VOTE, "raft_vote")
    if checksum_of_row(row) != checksum:
        problems.append("raft_vote is damaged: its checksum is wrong")
    current_term, voted_for, promise_max_ms = (_number(value, "raft_vote") for value in row)
    return HardState(current_term, voted_for, promise_max_ms * MILLISECOND)


def _mark(cursor: Any, problems: list[str]) -> tuple[LogMark, Mark]:
    *row, checksum = _one(cursor, _MARK, "raft_mark")
    if checksum_of_row(row) != checksum:
        problems.append("raft_mark is damaged: its checksum is wrong")
    applied_index, applied_term, time_ms, digest, log_index, log_term, configuration_index, configuration = row
    try:
        members = NO_MEMBERS if configuration is None else decode_configuration(str(configuration).encode("utf-8"))
    except ValueError as error:
        problems.append(f"raft_mark is damaged: {error}")
        members = NO_MEMBERS
    if not isinstance(digest, bytes) or len(digest) != _DIGEST_BYTES:
        raise StoreBroken("raft_mark is damaged: no digest is recorded")
    numbers = [_number(value, "raft_mark") for value in (applied_index, applied_term, time_ms, configuration_index)]
    mark = Mark(numbers[0], numbers[1], numbers[2], digest, members, numbers[3])
    return LogMark(_number(log_index, "raft_mark"), _number(log_term, "raft_mark")), mark


def _number(value: object, table: str) -> int:
    if not isinstance(value, int):
        raise StoreBroken(f"{table} is damaged: {value!r} is not a number")
    return value


def _rows(cursor: Any, select: str) -> Sequence[Row]:
    cursor.execute(select)
    return [tuple(row) for row in cursor.fetchall()]


def _audit(cursor: Any) -> Sequence[AuditRecord]:
    cursor.execute(_AUDIT)
    return tuple(AuditRecord(*row) for row in cursor.fetchall())
