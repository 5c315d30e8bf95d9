"""Streams of changes to watchers: a bounded queue each, so that a slow reader costs only itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from services.shared.runtime.errors import WatcherTooSlow

T = TypeVar("T")


class WatchEnded(Exception):
    """The service stops: there will be no further changes."""


class Watcher(Generic[T]):
    """The changes one reader has not taken yet, oldest first."""

    def __init__(self, limit: int, backlog: Sequence[T] = ()) -> None:
        """Begin with changes the reader has missed; they do not count against the limit."""
        self._unread: deque[T] = deque(backlog)
        self._limit = limit + len(backlog)
        self._wake = asyncio.Event()
        self._lost_with: int | None = None
        self._ended = False
        if backlog:
            self._wake.set()

    def offer(self, change: T) -> None:
        """Queue a change; when there is no room the reader is lost, because it would miss some."""
        if len(self._unread) >= self._limit:
            self._lost_with = len(self._unread)
            self._unread.clear()
        if self._lost_with is None:
            self._unread.append(change)
        self._wake.set()

    def end(self) -> None:
        """Let the reader know that nothing follows."""
        self._ended = True
        self._wake.set()

    async def next(self, within_s: float) -> T | None:
        """Return the next change, None when there is none within `within_s` seconds.

        Raises:
            WatcherTooSlow: Changes were lost.
            WatchEnded: The service stops.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            return None
        if self._ended:
            raise WatchEnded
        if self._lost_with is not None:
            raise WatcherTooSlow(self._lost_with)
        change = self._unread.popleft()
        if not self._unread:
            self._wake.clear()
        return change


class Watchers(Generic[T]):
    """All readers of one stream."""

    def __init__(self, limit: int) -> None:
        """Make an empty set of readers that may have `limit` changes unread each."""
        self._limit = limit
        self._watchers: set[Watcher[T]] = set()
        self._ended = False

    @contextmanager
    def join(self, backlog: Sequence[T] = ()) -> Iterator[Watcher[T]]:
        """Make a reader that gets what it missed, and every change published from now on."""
        watcher: Watcher[T] = Watcher(self._limit, backlog)
        if self._ended:
            watcher.end()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def publish(self, change: T) -> None:
        """Give a change to every reader, at once."""
        for watcher in self._watchers:
            watcher.offer(change)

    def end(self) -> None:
        """End every reader, and those that still come."""
        self._ended = True
        for watcher in self._watchers:
            watcher.end()
