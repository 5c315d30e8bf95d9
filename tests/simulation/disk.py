"""The disk of a simulated member: transactions become durable in groups, a crash keeps some prefix of the rest.

Beside the store is the file of 14.6, on another disk: how far the member acknowledged. A store that is behind it lost
what may have been what made a majority, and must not be trusted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.consensus.ports import StoredState
from services.consensus.raft.model import BootState
from services.consensus.store_write import StoreWrite
from tests.simulation.model_store import ModelStore


@dataclass(slots=True)
class Witness:
    """The file beside the store: term and index that were durable when it was last synced."""

    term: int = 0
    index: int = 0


class Disk:
    """What survives a crash, and what is on its way there."""

    def __init__(self, store: ModelStore, sync_every: int) -> None:
        """Start with a store; the file beside it is synced at new terms and every `sync_every` entries."""
        self.store = store
        self.waiting: list[StoreWrite] = []
        self.writing: list[StoreWrite] = []
        self.witness = Witness()
        self.lying = False
        self._sync_every = sync_every
        self._backup: ModelStore | None = None
        self.rotten = ""
        self._distrusted = ""
        self.power_cuts: Counter[str] = Counter()  # How they ended, where that is not drawn but found.

    @property
    def busy(self) -> bool:
        """Tell whether anything is on its way."""
        return bool(self.writing or self.waiting)

    @property
    def is_behind(self) -> bool:
        """Tell whether the store lost what the file beside it knows of."""
        return _is_behind(self.store, self.witness)

    def begin(self) -> bool:
        """Start to write all that waits, unless a write runs; return whether one was started."""
        if self.writing or not self.waiting:
            return False
        self.writing, self.waiting = self.waiting, []
        for write in self.writing:
            if write.truncate_from is not None:
                self.witness.index = min(self.witness.index, write.truncate_from - 1)
        return True

    def finish(self) -> list[StoreWrite]:
        """End the running transaction and return what was in it."""
        done, self.writing = self.writing, []
        self._write(done)
        store, witness = self.store, self.witness
        if self._distrusted:
            return done
        if store.hard_state.current_term > witness.term or store.last_index >= witness.index + self._sync_every:
            witness.term, witness.index = store.hard_state.current_term, store.last_index
        return done

    def has(self, index: int, term: int) -> bool:
        """Tell whether an entry that is known to be committed is durable here."""
        return index <= self.store.log_mark.index or self.store.term_at(index) == term

    def crash(self, rng: random.Random) -> None:
        """Keep a random prefix of the transactions that were not durable yet; a disk that lied keeps less."""
        pending = self.writing + self.waiting
        kept = rng.randint(0, len(pending))
        self._write(pending[:kept])
        self._cut_off(pending[kept:])
        self.writing, self.waiting = [], []
        if self.lying and self.backup_is_behind:
            self.restore()

    def take_backup(self) -> None:
        """Keep a copy: what a restored backup, or a disk that lied ever since, gives back."""
        self._backup = self.store.copy()

    @property
    def has_backup(self) -> bool:
        """Tell whether there is a copy to go back to."""
        return self._backup is not None

    @property
    def backup_is_behind(self) -> bool:
        """Tell whether the file beside the store would notice the backup."""
        return self._backup is not None and _is_behind(self._backup, self.witness)

    def restore(self) -> None:
        """Put the backup in place of the store."""
        assert self._backup is not None
        self.store, self.lying, self._backup = self._backup, False, None

    def rot(self, rng: random.Random) -> None:
        """Damage an entry or the state: found at the next start by checksums (S7)."""
        self.rotten = rng.choice(("entry", "quick_check"))

    def load(self) -> StoredState:
        """Return what a restart finds."""
        return self.store.load()

    def boot(self, stored: StoredState) -> BootState:
        """Return what a member starts with that found this; a store that is distrusted stays as it is."""
        self._distrusted = self._quarantine()
        return BootState(
            stored.hard_state,
            stored.entries,
            stored.mark.applied_index,
            stored.log_mark,
            stored.mark.configuration,
            stored.mark.configuration_index,
            self._distrusted,
        )

    def close(self) -> None:
        """Let the store go."""

    def _cut_off(self, pending: Sequence[StoreWrite]) -> None:
        """Lose what was not durable; here nothing of it was begun."""

    def _quarantine(self) -> str:
        if self.rotten:
            return f"damaged: {self.rotten}"
        return "behind what was acknowledged" if self.is_behind else ""

    def _write(self, writes: Sequence[StoreWrite]) -> None:
        if self._distrusted:
            return  # It stays as it was found (14.6).
        for write in writes:
            self.store.write(write)


def _is_behind(store: ModelStore, witness: Witness) -> bool:
    return store.hard_state.current_term < witness.term or store.last_index < witness.index
