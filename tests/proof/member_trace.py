"""One member as its trace tells it: its log, what of it is durable, its commits, its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Line = dict[str, Any]
Place = tuple[int, int]
"""Index and term."""

_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Held:
    """An entry of a log: its term, and the hash of the log up to it."""

    term: int
    chain: int


class ChainBroken(Exception):
    """Two logs have an entry of one index and term, and differ up to it (I3), or a log has a gap (S3)."""

    def __init__(self, rule: str, facts: str) -> None:
        super().__init__(facts)
        self.rule = rule
        self.facts = facts


class Chains:
    """The hash of the log up to each (index, term) that any member ever had."""

    def __init__(self) -> None:
        self._known: dict[Place, int] = {}

    def at_mark(self, place: Place) -> int:
        """Return the hash up to a mark; one that nobody has shown entries for stands for itself."""
        return self._known.setdefault(place, hash((_SEED, *place)))

    def extend(self, before: int, place: Place, digest: str) -> int:
        """Return the hash one entry further.

        Raises:
            ChainBroken: The same place was seen behind another log, or with another content.
        """
        chain = hash((before, *place, digest))
        known = self._known.setdefault(place, chain)
        if known != chain:
            raise ChainBroken("I3", f"{place[0]}@{place[1]} has another content or another log before it")
        return chain


@dataclass
class TracedLog:
    """A log behind a mark."""

    chains: Chains
    mark: Place = (0, 0)
    held: list[Held] = field(default_factory=list)
    configurations: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    """(index, index of the one before, voters), ascending; the first may be the one at or before the mark."""

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self.mark[0] + len(self.held)

    @property
    def last(self) -> Held:
        """Last entry, or what the mark replaced."""
        return self.held[-1] if self.held else Held(self.mark[1], self.chains.at_mark(self.mark))

    @property
    def voters(self) -> tuple[int, ...]:
        """Voters of the newest configuration (M1)."""
        return self.configurations[-1][2] if self.configurations else ()

    def at(self, index: int) -> Held | None:
        """Return an entry behind the mark."""
        place = index - self.mark[0] - 1
        return self.held[place] if 0 <= place < len(self.held) else None

    def copy(self) -> TracedLog:
        """Return a log that does not change with this one."""
        return TracedLog(self.chains, self.mark, list(self.held), list(self.configurations))

    def boot(self, line: Line) -> None:
        """Become what the store gave back."""
        self.mark, self.held = _place(line["mark"]), []
        self.chains.at_mark(self.mark)
        self.configurations = []
        self._extend(line)

    def write(self, line: Line) -> None:
        """Do what a batch does.

        Raises:
            ChainBroken: I3 or S3.
        """
        if "install" in line:
            self._install(_place(line["install"]))
        if "truncate" in line:
            self._truncate(line["truncate"])
        self._extend(line)
        if "compact" in line:
            self._drop_to(_place(line["compact"]))

    def configure(self, voters: tuple[int, ...]) -> None:
        """Take note of the newest configuration, where it came in a snapshot."""
        if voters != self.voters:
            self.configurations.append((self.mark[0], 0, voters))

    def _install(self, mark: Place) -> None:
        known = self.at(mark[0])
        if known is not None and known.term == mark[1]:
            self._drop_to(mark)
        else:
            self.configurations = [each for each in self.configurations if each[0] <= mark[0]]
            self.mark, self.held = mark, []
            self.chains.at_mark(mark)

    def _drop_to(self, mark: Place) -> None:
        if mark[0] > self.mark[0]:
            del self.held[: mark[0] - self.mark[0]]
            self.mark = mark

    def _truncate(self, from_index: int) -> None:
        del self.held[max(0, from_index - self.mark[0] - 1) :]
        self.configurations = [each for each in self.configurations if each[0] < from_index]

    def _extend(self, line: Line) -> None:
        for index, term, digest in line.get("entries", ()):
            if index != self.last_index + 1:
                raise ChainBroken("S3", f"entry {index} follows {self.last_index}")
            self.held.append(Held(term, self.chains.extend(self.last.chain, (index, term), digest)))
        for index, previous, voters, _ in line.get("configurations", ()):
            self.configurations.append((index, previous, tuple(voters)))


@dataclass
class TracedMember:
    """A member between the lines of its trace."""

    member_id: int
    log: TracedLog
    durable: TracedLog
    role: str = "follower"
    term: int = 0
    commit: int = 0
    lease_until: int = 0
    durable_term: int = 0
    durable_promise_ns: int = 0
    booted: bool = False
    pending: list[Line] = field(default_factory=list)
    """Writes that are not known to be durable, in order."""

    def became_durable(self, batch: int) -> Iterator[Line]:
        """Make all batches up to a number durable; return them one by one, each when it is."""
        while self.pending and self.pending[0]["batch"] <= batch:
            line = self.pending.pop(0)
            self.durable.write(line)
            yield line


def _place(value: list[int]) -> Place:
    return value[0], value[1]
