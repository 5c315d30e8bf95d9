"""The model store of a simulated member: batches become durable in groups, a crash keeps some prefix of the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence

from services.consensus.configuration import Configuration
from services.consensus.model import BootState, Entry, HardState
from services.consensus.outputs import PersistBatch


class Disk:
    """What survives a crash, and what is on its way there."""

    def __init__(self, configuration: Configuration) -> None:
        """Start blank, as a member of a group."""
        self.configuration = configuration
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self.applied_index = 0
        self.waiting: list[PersistBatch] = []
        self.writing: list[PersistBatch] = []

    def begin(self) -> bool:
        """Start to write all that waits, unless a write runs; return whether one was started."""
        if self.writing or not self.waiting:
            return False
        self.writing, self.waiting = self.waiting, []
        return True

    def finish(self, applied_index: int) -> PersistBatch:
        """End the running write; state rows up to `applied_index` ride along. Return its last batch."""
        self._write(self.writing)
        last = self.writing[-1]
        self.writing = []
        # Rows of entries that are not written yet come with a later transaction.
        self.applied_index = max(self.applied_index, min(applied_index, last.last_index, len(self.entries)))
        return last

    def has(self, entry: Entry) -> bool:
        """Tell whether an entry is durable here."""
        return entry.index <= len(self.entries) and self.entries[entry.index - 1].term == entry.term

    def crash(self, rng: random.Random) -> None:
        """Keep a random prefix of the batches that were not durable yet."""
        pending = self.writing + self.waiting
        self._write(pending[: rng.randint(0, len(pending))])
        self.writing, self.waiting = [], []

    def boot(self) -> BootState:
        """Return what a restart finds."""
        return BootState(self.hard_state, tuple(self.entries), self.applied_index, configuration=self.configuration)

    def _write(self, batches: Sequence[PersistBatch]) -> None:
        for batch in batches:
            if batch.hard_state is not None:
                self.hard_state = batch.hard_state
            if batch.truncate_from is not None:
                del self.entries[batch.truncate_from - 1 :]
            assert not batch.entries or batch.entries[0].index == len(self.entries) + 1, "S3: gap on disk"
            self.entries.extend(batch.entries)
