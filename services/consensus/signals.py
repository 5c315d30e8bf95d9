"""Wakes watchers: each sees that something changed since it last looked, not how often."""

from __future__ import annotations

import asyncio


class Signal:
    """A counter that can be awaited."""

    def __init__(self) -> None:
        self.count = 0
        self._event: asyncio.Event | None = None

    def fire(self) -> None:
        """Wake everybody who waits."""
        self.count += 1
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait_beyond(self, count: int, within_s: float) -> bool:
        """Wait until the counter is above `count`; False when that takes longer than `within_s`."""
        if self.count > count:
            return True
        self._event = event = self._event or asyncio.Event()
        try:
            # Not `wait_for`: in Python 3.11 it can swallow a cancellation.
            async with asyncio.timeout(within_s):
                await event.wait()
        except TimeoutError:
            return False
        return True
