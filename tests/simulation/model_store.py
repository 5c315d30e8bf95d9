"""A store in memory: what a member's database holds, without a database; passes the contract of a store (14)."""

from __future__ import annotations

from typing import Final

from services.consensus.ports import StoreBroken, StoredState
from services.consensus.raft.model import MILLISECOND, START, Entry, HardState, LogMark
from services.consensus.state.machine import Mark
from services.consensus.store_write import Install, StoreWrite
from tests.simulation.rows_in_memory import StateRows

BLANK: Final = Mark()


class ModelStore:
    """One member's database."""

    def __init__(self, mark: Mark = BLANK, log_mark: LogMark = START, term: int = 0) -> None:
        """Start blank; a listed member stands at the bootstrap's mark (18.1)."""
        self.hard_state = HardState(term)
        self.log_mark = log_mark
        self.entries: list[Entry] = []
        self.mark = mark
        self.rows = StateRows()
        self._compact_to = log_mark
        self._number = 0
        self.keeps_old_rows = False  # A defect: see `StateRows.replace`.

    @property
    def last_index(self) -> int:
        """Index of the last entry of the log."""
        return self.log_mark.index + len(self.entries)

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None when it is not here or was compacted."""
        place = index - self.log_mark.index
        if place == 0:
            return self.log_mark.term
        return self.entries[place - 1].term if 0 < place <= len(self.entries) else None

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        """Write in one transaction; see the port."""
        if again and write.number == self._number:
            return
        self._require_sound(write)
        self._number = write.number or self._number
        if write.install is not None:
            self._install(write.install)
        if write.truncate_from is not None:
            del self.entries[max(0, write.truncate_from - self.log_mark.index - 1) :]
        self.entries.extend(write.entries)
        if write.hard_state is not None:
            hard = write.hard_state
            promise_ms = -(-hard.promise_max_ns // MILLISECOND)
            self.hard_state = HardState(hard.current_term, hard.voted_for, promise_ms * MILLISECOND)
        self.rows.apply(write.changes)
        self.mark = write.mark or self.mark
        if write.compact_to is not None and write.compact_to.index > self._compact_to.index:
            self._compact_to = write.compact_to
        self._compact()

    def probe(self) -> None:
        """Write something without meaning; see the port."""

    def close(self) -> None:
        """Let the database go; see the port."""

    def load(self) -> StoredState:
        """Return everything; see the port."""
        if not self.log_mark.index <= self.mark.applied_index <= self.last_index:
            raise StoreBroken(f"S7: applied {self.mark.applied_index}, log {self.log_mark}..{self.last_index}")
        tables = {table: list(rows) for table, rows in self.rows.tables().items()}
        return StoredState("model", self.hard_state, tuple(self.entries), self.mark, tables, self.log_mark)

    def copy(self) -> ModelStore:
        """Return a backup."""
        made = ModelStore(self.mark, self.log_mark)
        made.hard_state, made.entries = self.hard_state, list(self.entries)
        made._compact_to, made._number = self._compact_to, self._number
        made.rows = StateRows(self.rows.tables())
        made.keeps_old_rows = self.keeps_old_rows
        return made

    def reopen(self) -> None:
        """Forget what was to be compacted, as a process that ends does; the next one compacts anew."""
        self._compact_to = self.log_mark

    def forget_rows(self, table: str) -> None:
        """Lose a table, as a defect or as rot."""
        self.rows.replace({**self.rows.tables(), table: ()})

    def _install(self, install: Install) -> None:
        mark = LogMark(install.mark.applied_index, install.mark.applied_term)
        if self.term_at(mark.index) == mark.term:
            del self.entries[: mark.index - self.log_mark.index]
        else:
            self.entries.clear()
        self.log_mark = mark
        self.mark = install.mark
        self.rows.replace(install.tables, keep_others=self.keeps_old_rows)

    def _compact(self) -> None:
        """Forget what may go, once the state rows are as far (S4)."""
        if self.log_mark.index < self._compact_to.index <= self.mark.applied_index:
            del self.entries[: self._compact_to.index - self.log_mark.index]
            self.log_mark = self._compact_to

    def _require_sound(self, write: StoreWrite) -> None:
        """Refuse a gap (S3), and state rows that would go back (I16), before anything is changed."""
        expected = self.last_index + 1 if write.truncate_from is None else write.truncate_from
        if write.install is not None and write.entries:
            expected = write.entries[0].index  # What the snapshot leaves of the log is seen only then.
        for place, entry in enumerate(write.entries, start=expected):
            if entry.index != place:
                raise StoreBroken(f"S3: entry {entry.index} instead of {place}")
        if write.mark is not None and write.mark.applied_index < self.mark.applied_index:
            raise StoreBroken(f"I16: rows at {self.mark.applied_index} go back to {write.mark.applied_index}")
