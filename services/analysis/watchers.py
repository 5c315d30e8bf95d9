"""Who watches the findings: a bounded queue each, so that a slow reader costs only itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from services.analysis.model import FindingChanges
from services.shared.runtime.errors import WatcherTooSlow


class WatchersClosed(Exception):
    """The service stops: there will be no further changes."""


class Watcher:
    """The changes one reader has not taken yet, oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unread: deque[FindingChanges] = deque()
        self._wake = asyncio.Event()
        self._overflowed = False
        self._closed = False

    def offer(self, changes: FindingChanges) -> None:
        """Queue changes; when there is no room the reader is lost, because it would miss some."""
        if len(self._unread) < self._limit:
            self._unread.append(changes)
        else:
            self._overflowed = True
        self._wake.set()

    def close(self) -> None:
        """Let the reader know that nothing follows."""
        self._closed = True
        self._wake.set()

    async def next(self, within_s: float) -> FindingChanges | None:
        """Return the next changes, None when there are none within `within_s` seconds.

        Raises:
            WatcherTooSlow: Changes were lost.
            WatchersClosed: The service stops.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return None
        if self._closed:
            raise WatchersClosed
        if self._overflowed:
            raise WatcherTooSlow(len(self._unread))
        changes = self._unread.popleft()
        if not self._unread:
            self._wake.clear()
        return changes


class Watchers:
    """All readers."""

    def __init__(self, limit: int) -> None:
        """Make an empty set of readers that may have `limit` changes unread each."""
        self._limit = limit
        self._watchers: set[Watcher] = set()
        self._closed = False

    @contextmanager
    def join(self) -> Iterator[Watcher]:
        """Make a reader that gets every change published from now on."""
        watcher = Watcher(self._limit)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def publish(self, changes: FindingChanges) -> None:
        """Give changes to every reader, at once."""
        for watcher in self._watchers:
            watcher.offer(changes)

    def close(self) -> None:
        """End every reader, and those that still come."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()
