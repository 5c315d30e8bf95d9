"""The log in memory: a mark, and the entries behind it up to `last_index` without gaps, terms never falling.

The mark stands for everything that compaction or a snapshot replaced (15). What it covers is committed, so it is in
the log of every later leader, and its terms need not be known any more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from services.consensus.raft.invariant import ensure
from services.consensus.raft.model import START, Entry, InvariantViolated, LogMark

ENTRY_OVERHEAD = 32
"""Bytes an entry counts beside its data, so that empty commands do not escape the bounds of R8."""


def _term_of(entry: Entry) -> int:
    return entry.term


def _size_of(entries: Iterable[Entry]) -> int:
    return sum([len(entry.data) + ENTRY_OVERHEAD for entry in entries])


class Log:
    """Entries by index. Index 0 with term 0 stands before the first entry and matches everywhere."""

    __slots__ = ("_entries", "bytes", "mark")

    def __init__(self, entries: Sequence[Entry] = (), mark: LogMark = START) -> None:
        """Take what a store gave back.

        Args:
            entries: Those behind the mark.
            mark: Last entry that is not there any more.

        Raises:
            InvariantViolated: S3 (a gap).
        """
        self.mark = mark
        self.bytes = 0
        """Size of the entries behind the mark."""
        self._entries: list[Entry] = []
        self.append(entries)

    @property
    def last_index(self) -> int:
        """Index of the last entry; the mark's when there is none behind it."""
        return self.mark.index + len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the last entry; the mark's when there is none behind it."""
        return self._entries[-1].term if self._entries else self.mark.term

    def term_at(self, index: int) -> int | None:
        """Return the term at an index, the mark's included; None before the mark and beyond the end."""
        place = index - self.mark.index
        if place == 0:
            return self.mark.term
        return self._entries[place - 1].term if 0 < place <= len(self._entries) else None

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end.

        Raises:
            InvariantViolated: S3 (a gap, or a falling term).
        """
        index, term = self.last_index, self.last_term
        for entry in entries:
            index += 1
            if entry.index != index or entry.term < term:
                raise InvariantViolated("S3", f"entry {entry.index}@{entry.term} at {index}")
            term = entry.term
        self._entries.extend(entries)
        self.bytes += _size_of(entries)

    def truncate(self, from_index: int) -> None:
        """Drop the entries from an index on.

        Raises:
            InvariantViolated: S5 (the index is not behind the mark).
        """
        ensure(from_index > self.mark.index, "S5", f"truncation at {from_index}, compacted to {self.mark.index}")
        place = from_index - self.mark.index - 1
        self.bytes -= _size_of(self._entries[place:])
        del self._entries[place:]

    def compact(self, to: int) -> None:
        """Move the mark to an entry of the log and forget what is up to there (N1).

        Raises:
            InvariantViolated: I16 (before the mark, or beyond the end).
        """
        term = self.term_at(to)
        ensure(term is not None, "I16", f"compaction to {to}, log is {self.mark.index}..{self.last_index}")
        assert term is not None
        count = to - self.mark.index
        self.bytes -= _size_of(self._entries[:count])
        del self._entries[:count]
        self.mark = LogMark(to, term)

    def reset(self, mark: LogMark) -> None:
        """Forget all entries and begin behind a snapshot's mark (N4)."""
        self._entries.clear()
        self.bytes = 0
        self.mark = mark

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """Return the entries first..last, both included and behind the mark; empty when last < first."""
        offset = self.mark.index
        assert first > offset or last < first, f"entries {first}..{last}, compacted to {offset}"
        return tuple(self._entries[first - 1 - offset : last - offset]) if first <= last else ()

    def batch(self, first: int, max_entries: int, max_bytes: int) -> tuple[tuple[Entry, ...], int]:
        """Return entries from `first` on within the limits, at least one if there is one, and their size in bytes."""
        begin = first - 1 - self.mark.index
        assert begin >= 0, f"entries from {first} on, compacted to {self.mark.index}"
        end, size = begin, 0
        limit = min(len(self._entries), begin + max_entries)
        while end < limit:
            cost = len(self._entries[end].data) + ENTRY_OVERHEAD
            if size and size + cost > max_bytes:
                break
            size += cost
            end += 1
        return tuple(self._entries[begin:end]), size

    def size(self, first: int) -> int:
        """Return how many bytes the entries from `first` on count; `first` is behind the mark."""
        return _size_of(self._entries[first - 1 - self.mark.index :])

    def may_match(self, index: int, term: int) -> LogMark | None:
        """Return the last entry at most at `index` whose term is at most `term`, the mark included (R4).

        None when that is before the mark.
        """
        if index < self.mark.index or term < self.mark.term:
            return None
        found = min(index - self.mark.index, bisect_right(self._entries, term, key=_term_of))
        return LogMark(self.mark.index + found, self._entries[found - 1].term) if found else self.mark

    def is_covered_by(self, last_index: int, last_term: int) -> bool:
        """Tell whether a candidate whose log ends there has a log at least as up to date as this one (E4)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)
