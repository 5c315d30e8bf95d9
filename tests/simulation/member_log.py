"""A member's log as it told of it: terms and hash chain by index, and the voters by configuration."""

from __future__ import annotations

from bisect import bisect_left

from services.consensus.raft.model import Entry

Voters = tuple[int, ...]


class MemberLog:
    """Entries behind a mark. The chain hashes an entry together with everything before it (I3)."""

    __slots__ = ("_chains", "_configurations", "_mark_chain", "mark_index")

    def __init__(self, mark_index: int, mark_chain: int, configuration_index: int, voters: Voters) -> None:
        """Start behind a mark, under the newest configuration committed there."""
        self.mark_index = mark_index
        self._mark_chain = mark_chain
        self._chains: list[tuple[int, int]] = []
        self._configurations: list[tuple[int, Voters]] = [(configuration_index, voters)]

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self.mark_index + len(self._chains)

    @property
    def voters(self) -> Voters:
        """Voters of the newest configuration, committed or not (M1)."""
        return self._configurations[-1][1]

    @property
    def configurations(self) -> list[tuple[int, Voters]]:
        """Configurations by index; the first one may stand before the mark."""
        return self._configurations

    def next_chain(self, entry: Entry) -> int:
        """Return the chain that an entry at the end will have."""
        before = self._chains[-1][1] if self._chains else self._mark_chain
        return hash((before, entry.index, entry.term, entry.data))

    def append(self, term: int, chain: int) -> None:
        """Add an entry at the end."""
        self._chains.append((term, chain))

    def configured(self, index: int, voters: Voters) -> None:
        """Note that the entry just added is a configuration."""
        self._configurations.append((index, voters))

    def truncate(self, from_index: int) -> None:
        """Drop the entries from an index on."""
        del self._chains[max(0, from_index - self.mark_index - 1) :]
        kept = bisect_left(self._configurations, (from_index, ()), lo=1)
        del self._configurations[kept:]

    def holds(self, index: int, term: int, chain: int) -> bool:
        """Tell whether an entry that is known to be committed is here."""
        place = index - self.mark_index - 1
        return place < 0 or (place < len(self._chains) and self._chains[place] == (term, chain))
