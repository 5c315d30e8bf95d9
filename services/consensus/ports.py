"""What the app needs of its surroundings, and what can go wrong there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.consensus.machine import Mark
from services.consensus.model import START, Entry, HardState, LogMark, StoreHealth
from services.consensus.outputs import Outgoing
from services.consensus.rows import Row
from services.consensus.store_write import StoreWrite


class StoreError(Exception):
    """The store did not do what was asked. `str()` says why, without secrets."""


class StoreRefused(StoreError):
    """The store may not be used: another process has it, it is another member's, it is not durable."""


class StoreBroken(StoreError):
    """I/O error or damage: nothing may be answered any more, the process ends with exit code 74 (14.5)."""


class StoreFull(StoreError):
    """No space: the transaction was rolled back; the same write may succeed later."""


class StoreBusy(StoreError):
    """Somebody else holds a lock of the database: the same write may succeed at once."""


class StoreLost(StoreError):
    """The connection to the database broke, maybe inside COMMIT: connect again and repeat the same write."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a store holds at start.

    Attributes:
        incarnation: Made when the store was created.
        hard_state: Term, vote, longest promise.
        entries: The log behind `log_mark`, contiguous.
        mark: Where the machine stands, and the newest committed configuration.
        tables: Rows of the state tables at `mark`.
        log_mark: Last entry that compaction or a snapshot replaced (15). A blank store of a listed member stands at
            (1, 1), with the bootstrap configuration committed there (18.1).
        quarantine: Why the store may not be trusted; empty = it may (14.6).
    """

    incarnation: str
    hard_state: HardState
    entries: tuple[Entry, ...]
    mark: Mark
    tables: Mapping[str, Sequence[Row]]
    log_mark: LogMark = START
    quarantine: str = ""


class Store(Protocol):
    """One member's database. Blocking; used by one thread at a time."""

    def load(self) -> StoredState:
        """Check everything and return it (S7).

        Raises:
            StoreBroken: Damage.
        """

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        """Write in one durable transaction.

        Args:
            write: What to write.
            again: An earlier try of the same write may have been committed.

        Raises:
            StoreError: Nothing was written, except that `StoreLost` leaves it open.
        """

    def probe(self) -> None:
        """Write something without meaning, durably; raises as `write`."""

    def reconnect(self) -> None:
        """Connect anew after `StoreLost`; raises it again while that fails."""

    def tidy(self) -> None:
        """Do what keeps the database small and fast; called when there is nothing to write."""

    def close(self) -> None:
        """Let the database go."""


@dataclass(frozen=True, slots=True)
class Written:
    """Some writes are durable, the oldest first.

    Attributes:
        number: Newest persist batch among them; 0 = none, state rows only.
        writes: How many were handed in.
    """

    number: int
    writes: int


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe write succeeded, after so many nanoseconds."""

    elapsed_ns: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A write does not succeed and is tried again."""

    health: StoreHealth
    problem: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The store failed for good."""

    problem: str


Report = Written | Probed | Trouble | Broken


class Writer(Protocol):
    """Writes to the store beside the loop, in order."""

    def submit(self, write: StoreWrite) -> None:
        """Queue a write; it is reported with `Written`."""

    def probe(self) -> None:
        """Queue a probe; it is reported with `Probed`."""


class Transport(Protocol):
    """Sends messages to peers; may lose, delay, repeat and reorder them."""

    def send(self, outgoing: Outgoing) -> None:
        """Send one message, never blocking."""


Clock = Callable[[], int]
"""Nanoseconds of `CLOCK_BOOTTIME` (T1)."""
WallClock = Callable[[], int]
"""Unix milliseconds (T4)."""
