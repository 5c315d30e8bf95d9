"""Streams of changes to watchers: each has a queue of its own, and one that does not keep up is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from services.discovery.feed import Revised
from services.shared.runtime.errors import DependencyUnavailable, WatcherTooSlow

QUEUE_LIMIT: Final = 512
"""Changes a watcher may leave unread."""


class Watcher:
    """What one reader has yet to read."""

    def __init__(self, backlog: list[Revised]) -> None:
        """Begin with changes that the reader has missed; they do not count against the limit."""
        self._pending: deque[Revised] = deque(backlog)
        self._limit = QUEUE_LIMIT + len(backlog)
        self._filled = asyncio.Event()
        self._dropped_with: int | None = None
        self._ended = False
        if backlog:
            self._filled.set()

    def offer(self, revised: Revised) -> None:
        """Append a change; one too many drops the watcher."""
        if len(self._pending) >= self._limit:
            self._dropped_with = len(self._pending)
            self._pending.clear()
        if self._dropped_with is None:
            self._pending.append(revised)
        self._filled.set()

    def end(self) -> None:
        """End the stream: the process stops."""
        self._ended = True
        self._filled.set()

    async def next(self, timeout: float) -> Revised | None:
        """Return the next change; None when none came within `timeout` seconds.

        Raises:
            WatcherTooSlow: It was dropped.
            DependencyUnavailable: The process stops.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._filled.wait()
        except TimeoutError:
            return None
        if self._dropped_with is not None:
            raise WatcherTooSlow(self._dropped_with)
        if self._ended:
            raise DependencyUnavailable("discovery", "it is stopping")
        revised = self._pending.popleft()
        if not self._pending:
            self._filled.clear()
        return revised
