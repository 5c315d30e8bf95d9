"""The one thread that writes and fsyncs: whatever queued while the last transaction ran is the next one (R9).

What fails in a way that may pass is tried again, the same write each time, since nothing after it may overtake it
(14.5). An I/O error is never tried again: after a failed fsync nobody knows what is on the disk.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from services.consensus.ports import (
    EXIT_STORE_LOST,
    Broken,
    Probed,
    Report,
    Store,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreLost,
    StoreRefused,
    Trouble,
    Written,
)
from services.consensus.raft.model import StoreHealth
from services.consensus.store_write import StoreWrite, merge_writes

FATAL_S: Final = 60.0
_RETRY_S: Final = 0.1
_LONGEST_RETRY_S: Final = 2.0
_IDLE_S: Final = 1.0
_TIDY_EVERY: Final = 16
"""While it is busy, the writer looks after the database once in so many transactions: a look costs a fifth of one."""
"""Time without a write after which the store is tidied thoroughly."""
_MAX_MERGED: Final = 1_024


class _Stop:
    """Ends the thread after what was queued before."""


class _Probe:
    """Asks for a probe write."""


_Item = StoreWrite | _Probe | _Stop


class StoreWriter:
    """Writes in the order of `submit`, several at a time, and reports what is durable."""

    def __init__(self, store: Store, report: Callable[[Report], None], fatal_s: float = FATAL_S) -> None:
        """Make a writer that does not run yet.

        Args:
            store: Used by this thread alone from `start` on.
            report: Called on this thread.
            fatal_s: Longest time without a database before the member ends (14.5), seconds.
        """
        self._store = store
        self._report = report
        self._fatal_s = fatal_s
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._next: _Item | None = None
        self._rounds = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, write: StoreWrite) -> None:
        """Queue a write."""
        self._queue.put(write)

    def probe(self) -> None:
        """Queue a probe write."""
        self._queue.put(_Probe())

    def stop(self, timeout_s: float) -> bool:
        """Finish what is queued, then end; gives up waiting after `timeout_s`. False: it still uses the store."""
        self._queue.put(_Stop())
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        untidy_s: float | None = None
        try:
            while True:
                try:
                    item = self._take(untidy_s)
                except queue.Empty:
                    untidy_s = self._tidy(idle=True)
                    continue
                if not self._carry_out(item):
                    return
                untidy_s = self._tidy_now_and_then()
        except StoreRefused as error:
            # Somebody else took the database while it was lost.
            self._report(Broken(str(error), EXIT_STORE_LOST))
        except StoreLost as error:
            self._report(Broken(f"the database was not reached for {self._fatal_s:g} s: {error}", EXIT_STORE_LOST))
        except StoreError as error:
            self._report(Broken(str(error)))

    def _take(self, timeout_s: float | None) -> _Item:
        if self._next is not None:
            item, self._next = self._next, None
            return item
        return self._queue.get(timeout=timeout_s)

    def _carry_out(self, item: _Item) -> bool:
        """Do what was asked; False when told to stop."""
        if isinstance(item, StoreWrite):
            return self._write(self._with_followers(item))
        return isinstance(item, _Probe) and self._probe()

    def _with_followers(self, first: StoreWrite) -> Sequence[StoreWrite]:
        """Return a write and those queued behind it that can be in its transaction."""
        writes = [first]
        while len(writes) < _MAX_MERGED and not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, StoreWrite) or item.install is not None:
                self._next = item
                break
            writes.append(item)
        return writes

    def _write(self, writes: Sequence[StoreWrite]) -> bool:
        write = merge_writes(writes)
        if not self._insist(lambda again: self._store.write(write, again=again)):
            return False
        self._report(Written(write.number, len(writes)))
        return True

    def _probe(self) -> bool:
        started = time.monotonic_ns()
        if not self._insist(lambda _: self._store.probe()):
            return False
        self._report(Probed(time.monotonic_ns() - started))
        return True

    def _tidy_now_and_then(self) -> float | None:
        self._rounds += 1
        return _IDLE_S if self._rounds % _TIDY_EVERY else self._tidy(idle=False)

    def _tidy(self, *, idle: bool) -> float | None:
        """Tidy a bit; return after how much quiet to go on, in seconds, None = it is done."""
        try:
            if self._store.tidy(idle=idle):
                return 0.0
            return None if idle else _IDLE_S
        except (StoreBusy, StoreFull, StoreLost):
            return _IDLE_S  # The next write finds out what it means, and reports it.

    def _insist(self, work: Callable[[bool], None]) -> bool:
        """Repeat the same work until it succeeds; False when told to stop before that.

        Raises:
            StoreLost: The database was away for too long.
            StoreError: There is no point in trying again.
        """
        again, lost, lost_at, retry_s = False, False, 0.0, _RETRY_S
        while True:
            try:
                if lost:
                    self._store.reconnect()
                    lost = False
                work(again)
                return True
            except StoreBusy as error:
                self._report(Trouble(StoreHealth.SLOW, str(error)))
            except StoreFull as error:
                self._report(Trouble(StoreHealth.FULL, str(error)))
                self._make_room()
            except StoreLost as error:
                again, lost, lost_at = True, True, lost_at or time.monotonic()
                if time.monotonic() - lost_at > self._fatal_s:
                    raise
                self._report(Trouble(StoreHealth.FAILED, str(error)))
                self._stopping.wait(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
            if self._stopping.is_set():
                return False

    def _make_room(self) -> None:
        """Free what can be freed, and wait until there is space to go on, or until told to stop."""
        # What could be freed is; the next try shows what is the matter.
        with contextlib.suppress(StoreBusy, StoreFull, StoreLost):
            self._store.relieve()
        while not self._stopping.wait(_RETRY_S) and not self._store.has_room():
            pass
