from __future__ import annotations

import pytest

from services.discovery.feed import Revised
from services.discovery.model import Delta
from services.discovery.watchers import QUEUE_LIMIT, Watcher
from services.shared.runtime.errors import DependencyUnavailable, WatcherTooSlow


def change(revision: int) -> Revised:
    return Revised(revision, Delta())


async def test_watcher_reads_in_order_what_it_missed_and_what_comes() -> None:
    watcher = Watcher([change(1)])
    watcher.offer(change(2))
    assert [await watcher.next(1), await watcher.next(1)] == [change(1), change(2)]


async def test_quiet_watcher_gets_nothing_in_time() -> None:
    assert await Watcher([]).next(0.01) is None


async def test_slow_watcher_is_dropped() -> None:
    watcher = Watcher([])
    for revision in range(QUEUE_LIMIT + 1):
        watcher.offer(change(revision))
    with pytest.raises(WatcherTooSlow) as caught:
        await watcher.next(1)
    assert caught.value.pending == QUEUE_LIMIT


async def test_watcher_at_its_limit_is_not_dropped() -> None:
    watcher = Watcher([])
    for revision in range(QUEUE_LIMIT):
        watcher.offer(change(revision))
    assert await watcher.next(1) == change(0)


async def test_watcher_ends_with_the_process() -> None:
    watcher = Watcher([])
    watcher.end()
    with pytest.raises(DependencyUnavailable):
        await watcher.next(1)
