"""A disk with a real store on it; the model beside it says what the store must hold (S1-S7).

A power cut leaves the transaction that ran done or not done, nothing in between: whatever the file says must be one of
two states of the model, and the member goes on with that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.consensus.ports import StoredState
from services.consensus.store_write import StoreWrite
from tests.simulation.disk import Disk
from tests.simulation.model_store import ModelStore
from tests.simulation.recorded_store import Files, RecordedStore, transactions
from tests.simulation.rows_in_memory import content_of


class RecordedDisk(Disk):
    """What survives a crash is in real files."""

    def __init__(
        self, store: ModelStore, sync_every: int, real: RecordedStore, must: Callable[[bool, str, str], None]
    ) -> None:
        """Start with two stores that hold the same."""
        super().__init__(store, sync_every)
        self._real = real
        self._must = must
        self._real_backup: Files = {}

    def load(self) -> StoredState:
        """Return what the files hold."""
        self.store.reopen()
        found = self._real.load()
        difference = _difference(found, self.store.load())
        self._must(not difference, "S1-S7", f"the store does not hold what was written to it: {difference}")
        trusted = not found.quarantine or self.is_behind
        self._must(trusted, "14.6", f"a store that lost nothing is not trusted: {found.quarantine}")
        return found

    def take_backup(self) -> None:
        """Keep copies of the files."""
        super().take_backup()
        self._real_backup = self._real.copy()

    def restore(self) -> None:
        """Put them back."""
        super().restore()
        self._real.restore(self._real_backup)

    def close(self) -> None:
        """Delete the files."""
        self._real.close()

    def _write(self, writes: Sequence[StoreWrite]) -> None:
        super()._write(writes)
        if not self._distrusted:
            self._real.write(writes)

    def _cut_off(self, pending: Sequence[StoreWrite]) -> None:
        transaction = next(transactions(pending), ()) if not self._distrusted else ()
        self._real.lose_power(transaction)
        if not transaction:
            return
        before, after = self.store, self.store.copy()
        for write in transaction:
            after.write(write)
        before.reopen()
        after.reopen()
        if _difference(self._real.load(), before.load()):
            self.store = after
            self.power_cuts["write_done"] += 1
        else:
            self.power_cuts["write_lost"] += 1


def _difference(found: StoredState, expected: StoredState) -> str:
    """Return what a store holds that it should not; empty = nothing."""
    for name in ("hard_state", "log_mark", "entries", "mark"):
        here, there = getattr(found, name), getattr(expected, name)
        if here != there:
            return f"{name} is {here}, not {there}"
    return "" if content_of(found.tables) == content_of(expected.tables) else "other rows"
