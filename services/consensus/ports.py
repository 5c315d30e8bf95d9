"""What the app needs of its surroundings, and what can go wrong there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from services.consensus.raft.configuration import Configuration
from services.consensus.raft.model import START, Entry, HardState, LogMark, StoreHealth
from services.consensus.raft.outputs import Outgoing, Output
from services.consensus.state.machine import Mark
from services.consensus.state.rows import Row
from services.consensus.store_write import StoreWrite

EXIT_STORE: Final = 74
"""Exit code after an I/O error of the store or damage in it (sysexits.h, EX_IOERR; 14.5)."""
EXIT_STORE_LOST: Final = 75
"""Exit code when the database was not reached for `store_fatal` (sysexits.h, EX_TEMPFAIL; 14.5)."""


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
class AuditRecord:
    """Something that was done to a store from outside (18.3).

    Attributes:
        time_ms: When, Unix milliseconds.
        action: What: `recover`, `rejoin`.
        detail: Its facts, a JSON object.
    """

    time_ms: int
    action: str
    detail: str


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
        quarantine: Why the store may not be trusted; empty = it may (14.6). Then it stays as it was found: what is
            written to it is dropped.
        group_id: Identity of the group; empty = the member joins one and was not told which yet.
        server_uuid: Of the MySQL server the store is on; empty = it is on none (14.3).
        audit: What was done to the store from outside, oldest first.
        member_id: Whose it is; 0 = as the settings say.
        listed_id: Id the settings know the member by, of one that came back under another; 0 = the same (14.6).
    """

    incarnation: str
    hard_state: HardState
    entries: tuple[Entry, ...]
    mark: Mark
    tables: Mapping[str, Sequence[Row]]
    log_mark: LogMark = START
    quarantine: str = ""
    group_id: str = ""
    server_uuid: str = ""
    audit: tuple[AuditRecord, ...] = ()
    member_id: int = 0
    listed_id: int = 0


class Store(Protocol):
    """One member's database. Blocking; used by one thread at a time. `load` comes before everything else."""

    def load(self) -> StoredState:
        """Check everything and return it (S7); damage is a reason for quarantine (14.6).

        Raises:
            StoreBroken: Damage that leaves nothing to show.
            StoreError: The database is not reached.
        """

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        """Write in one durable transaction.

        Args:
            write: What to write.
            again: An earlier try of the same write may have been committed: look first whether it was (14.4).

        Raises:
            StoreError: Nothing was written, except that `StoreLost` leaves it open.
        """

    def probe(self) -> None:
        """Write something without meaning, durably; raises as `write`."""

    def reconnect(self) -> None:
        """Connect anew after `StoreLost`; raises it again while that fails."""

    def tidy(self, *, idle: bool) -> bool:
        """Do a bit of what keeps the database small and fast; return whether more waits. Raises as `write`.

        Args:
            idle: There was nothing to write for a while; otherwise only what is urgent is done.
        """

    def relieve(self) -> None:
        """Free what space can be freed, after `StoreFull`; raises as `write`."""

    def has_room(self) -> bool:
        """Tell whether there is space enough to go on after `StoreFull`."""

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
    """The store failed for good; the process ends with this exit code (14.5)."""

    problem: str
    exit_code: int = EXIT_STORE


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

    def send_snapshot(self, member_id: int, mark: LogMark, data: bytes) -> None:
        """Begin to send a snapshot, never blocking; `MemberLoop.snapshot_sent` is told once when that has ended.

        Args:
            member_id: Who needs it. Nothing else is under way to it.
            mark: Entry it stands at.
            data: Framed by `snapshot.py`; at most two such transfers run at once (N3).
        """

    def configure(self, configuration: Configuration) -> None:
        """Reach the members of a configuration from now on, learners included (M1)."""


class Witness(Protocol):
    """Told of what the core does, before it is carried out: for traces and metrics; it changes nothing."""

    def output(self, now: int, output: Output) -> None:
        """Take an output."""

    def durable(self, now: int, batch: int) -> None:
        """Take note that a batch and all before it are durable."""


Clock = Callable[[], int]
"""Nanoseconds of `CLOCK_BOOTTIME` (T1)."""
WallClock = Callable[[], int]
"""Unix milliseconds (T4)."""
