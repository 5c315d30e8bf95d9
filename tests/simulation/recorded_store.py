"""A member's real store on a real SQLite file, in virtual time: a crash leaves what a power cut may leave (21.2).

Writes happen at once, on the thread of the simulation, in transactions as the writer thread would make them. What
SQLite writes and syncs meanwhile is recorded; a crash runs the next transaction, stops the record at a drawn call, and
keeps all that was synced by then and a drawn part of the rest, sector by sector. Then the store is opened from that.
"""

from __future__ import annotations

import functools
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from services.consensus.ports import StoredState
from services.consensus.raft.configuration import Configuration
from services.consensus.store import migrations
from services.consensus.store.birth import Identity
from services.consensus.store.store import SqlStore, StoreOptions, open_store
from services.consensus.store_write import StoreWrite, merge_writes
from tests.contract.store.power_cut import Call, apply_call, files_after
from tests.simulation.recording_vfs import recording_vfs

GROUP_ID = "0a8b5b3e-0000-4000-8000-000000000021"
DATABASE, LOG, ACKNOWLEDGED = "consensus.db", "consensus.db-wal", "acknowledged"
TIDY_CHANCE = 1 / 32

Files = dict[str, bytes]


class RecordedStore:
    """One member's store, its files, and what of them is safe from a power cut."""

    def __init__(self, member_id: int, bootstrap: Configuration, rng: random.Random) -> None:
        """Begin a blank store; without a bootstrap it is that of a member that joins."""
        self._member_id = member_id
        self._bootstrap = bootstrap
        self._rng = rng
        self._directory = Path(tempfile.mkdtemp(prefix="simulated-store-"))
        self._synced: dict[str, bytearray] = {}
        self._waiting: list[Call] = []
        self._cut_off: list[tuple[Call, bytes]] | None = None
        self._begin_with({DATABASE: _blank_database()})

    def load(self) -> StoredState:
        """Return everything, as after a start (S7)."""
        return self._store.load()

    def write(self, writes: Sequence[StoreWrite]) -> None:
        """Write everything durably; now and then look after the database."""
        for transaction in transactions(writes):
            self._store.write(merge_writes(transaction))
        if self._rng.random() < TIDY_CHANCE:
            self._store.tidy(idle=True)

    def lose_power(self, transaction: Sequence[StoreWrite]) -> None:
        """Let the power go while a transaction is written, or, without one, while the database is tidied up."""
        calls: list[tuple[Call, bytes]] = []
        self._cut_off = calls
        before = self._acknowledged()
        if transaction:
            self._store.write(merge_writes(transaction))
        else:
            self._store.tidy(idle=True)
        self._cut_off = None
        end = self._rng.randint(0, len(calls))
        acknowledged = calls[end - 1][1] if end else before
        image = self._image([call for call, _ in calls[:end]])
        self._close()
        self._begin_with({**image, ACKNOWLEDGED: acknowledged})

    def copy(self) -> Files:
        """Return a backup; nothing is being written."""
        return {name: (self._directory / name).read_bytes() for name in (DATABASE, LOG)}

    def restore(self, files: Files) -> None:
        """Put a backup in place; the file beside the store is on another disk, and stays (14.6)."""
        acknowledged = self._acknowledged()
        self._close()
        self._begin_with({**files, ACKNOWLEDGED: acknowledged})

    def close(self) -> None:
        """Close the store and delete its files."""
        self._close()
        shutil.rmtree(self._directory)

    def _begin_with(self, files: Files) -> None:
        """Open the store on nothing but these files."""
        for path in self._directory.iterdir():
            path.unlink()
        self._synced = {}
        self._waiting = []
        for name, content in files.items():
            (self._directory / name).write_bytes(content)
            self._synced[str(self._directory / name)] = bytearray(content)
        options = StoreOptions(self._bootstrap, allow_volatile=True, acknowledged_file=self._directory / ACKNOWLEDGED)
        identity = Identity(GROUP_ID if self._bootstrap.members else "", self._member_id)
        with recording_vfs().listening(self._directory, self._record):
            self._store: SqlStore = open_store(f"sqlite:///{self._directory / DATABASE}", identity, options)
        self._store.load()

    def _close(self) -> None:
        recording_vfs().forget(self._directory)
        self._store.close()

    def _record(self, call: Call) -> None:
        if self._cut_off is not None:
            self._cut_off.append((call, self._acknowledged()))
        elif call.op != "s":
            self._waiting.append(call)
        else:
            content = self._synced.setdefault(call.path, bytearray())
            for earlier in self._waiting:
                if earlier.path == call.path:
                    apply_call(content, earlier)
            self._waiting = [earlier for earlier in self._waiting if earlier.path != call.path]

    def _image(self, calls: Sequence[Call]) -> Files:
        """Return what the power leaves after these calls."""
        safe = [
            made
            for path, content in self._synced.items()
            for made in (Call("w", path, 0, bytes(content)), Call("s", path, 0, b""))
        ]
        files = files_after([*safe, *self._waiting, *calls], self._rng)
        return {name: files.get(str(self._directory / name), b"") for name in (DATABASE, LOG)}

    def _acknowledged(self) -> bytes:
        return (self._directory / ACKNOWLEDGED).read_bytes()


def transactions(writes: Sequence[StoreWrite]) -> Iterator[Sequence[StoreWrite]]:
    """Yield writes as the writer thread puts them together: a snapshot begins a transaction of its own."""
    first = 0
    for place in range(1, len(writes) + 1):
        if place == len(writes) or writes[place].install is not None:
            yield writes[first:place]
            first = place


@functools.cache
def _blank_database() -> bytes:
    """Return a database that has its tables and no member: making them takes a tenth of a second."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / DATABASE
        with sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool).begin() as connection:
            migrations.upgrade(connection)
        return path.read_bytes()
