"""The one thread that writes and fsyncs: whatever queued while the last transaction ran is the next one (R9)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from services.consensus.model import StoreHealth
from services.consensus.ports import (
    Broken,
    Probed,
    Report,
    Store,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreLost,
    Trouble,
    Written,
)
from services.consensus.store_write import StoreWrite, merge_writes

_RETRY_S: Final = 0.2
_MAX_MERGED: Final = 1_024


class _Stop:
    """Ends the thread after what was queued before."""


class _Probe:
    """Asks for a probe write."""


class StoreWriter:
    """Writes in the order of `submit`, several at a time, and reports what is durable."""

    def __init__(self, store: Store, report: Callable[[Report], None]) -> None:
        """Make a writer that does not run yet.

        Args:
            store: Used by this thread alone from `start` on.
            report: Called on this thread.
        """
        self._store = store
        self._report = report
        self._queue: queue.SimpleQueue[StoreWrite | _Probe | _Stop] = queue.SimpleQueue()
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

    def stop(self, timeout_s: float) -> None:
        """Finish what is queued, then end; gives up waiting after `timeout_s`."""
        self._queue.put(_Stop())
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while self._turn():
                if self._queue.empty():
                    self._store.tidy()
        except StoreError as error:
            self._report(Broken(str(error)))

    def _turn(self) -> bool:
        """Carry out everything queued up to now; False when told to stop."""
        writes: list[StoreWrite] = []
        item = self._queue.get()
        while True:
            if not isinstance(item, StoreWrite):
                break
            writes.append(item)
            if self._queue.empty() or len(writes) >= _MAX_MERGED:
                break
            item = self._queue.get()
        if writes and not self._write(writes):
            return False
        if isinstance(item, _Probe):
            return self._probe()
        return not isinstance(item, _Stop)

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

    def _insist(self, work: Callable[[bool], None]) -> bool:
        """Repeat the same work until it succeeds; False when told to stop before that."""
        again = False
        while True:
            try:
                if again:
                    self._store.reconnect()
                work(again)
                return True
            except StoreBusy as error:
                self._report(Trouble(StoreHealth.SLOW, str(error)))
            except StoreFull as error:
                self._report(Trouble(StoreHealth.FULL, str(error)))
                self._stopping.wait(_RETRY_S)
            except StoreLost as error:
                again = True
                self._report(Trouble(StoreHealth.FAILED, str(error)))
                self._stopping.wait(_RETRY_S)
            if self._stopping.is_set():
                return False
