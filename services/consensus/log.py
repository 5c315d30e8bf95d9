"""The log in memory: entries 1..last_index without gaps, terms never falling."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from services.consensus.invariant import ensure
from services.consensus.model import Entry

ENTRY_OVERHEAD = 32
"""Bytes an entry counts beside its data, so that empty commands do not escape the bounds of R8."""


def _term_of(entry: Entry) -> int:
    return entry.term


class Log:
    """Entries by index. Index 0 with term 0 stands before the first entry and matches everywhere."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        """Take the entries a store gave back.

        Raises:
            InvariantViolated: S3 (a gap).
        """
        self._entries: list[Entry] = []
        self.append(entries)

    @property
    def last_index(self) -> int:
        """Index of the last entry, 0 when empty."""
        return len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the last entry, 0 when empty."""
        return self._entries[-1].term if self._entries else 0

    def term_at(self, index: int) -> int | None:
        """Return the term at an index; 0 at 0, None beyond the end."""
        if index == 0:
            return 0
        return self._entries[index - 1].term if index <= len(self._entries) else None

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end.

        Raises:
            InvariantViolated: S3 (a gap, or a falling term).
        """
        index, term = self.last_index, self.last_term
        for entry in entries:
            index += 1
            ensure(entry.index == index and entry.term >= term, "S3", f"entry {entry.index}@{entry.term} at {index}")
            term = entry.term
        self._entries.extend(entries)

    def truncate(self, from_index: int) -> None:
        """Drop the entries from an index on; the index is at least 1."""
        del self._entries[from_index - 1 :]

    def between(self, first: int, last: int) -> tuple[Entry, ...]:
        """Return the entries first..last, both included; empty when last < first."""
        return tuple(self._entries[first - 1 : last])

    def batch(self, first: int, max_entries: int, max_bytes: int) -> tuple[tuple[Entry, ...], int]:
        """Return entries from `first` on within the limits, at least one if there is one, and their size in bytes."""
        end, size = first - 1, 0
        limit = min(len(self._entries), first - 1 + max_entries)
        while end < limit:
            cost = len(self._entries[end].data) + ENTRY_OVERHEAD
            if size and size + cost > max_bytes:
                break
            size += cost
            end += 1
        return tuple(self._entries[first - 1 : end]), size

    def size(self, first: int) -> int:
        """Return how many bytes the entries from `first` on count."""
        return sum(len(entry.data) + ENTRY_OVERHEAD for entry in self._entries[first - 1 :])

    def may_match(self, index: int, term: int) -> tuple[int, int]:
        """Return (index, term) of the last entry at most at `index` whose term is at most `term` (R4)."""
        found = min(index, bisect_right(self._entries, term, key=_term_of))
        return found, self._entries[found - 1].term if found else 0

    def is_covered_by(self, last_index: int, last_term: int) -> bool:
        """Tell whether a candidate whose log ends there has a log at least as up to date as this one (E4)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)
