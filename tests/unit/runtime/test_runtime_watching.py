"""Watchers of a stream: in order, bounded, and ended with the process."""

from __future__ import annotations

import pytest

from services.shared.runtime.errors import WatcherTooSlow
from services.shared.runtime.watching import WatchEnded, Watcher, Watchers

LIMIT = 3


async def test_watcher_reads_in_order_what_it_missed_and_what_comes() -> None:
    watcher = Watcher(LIMIT, ["one"])
    watcher.offer("two")
    assert [await watcher.next(1), await watcher.next(1)] == ["one", "two"]


async def test_quiet_watcher_gets_nothing_in_time() -> None:
    assert await Watcher[str](LIMIT).next(0.01) is None


async def test_slow_watcher_is_dropped() -> None:
    watcher = Watcher[str](LIMIT)
    for revision in range(LIMIT + 1):
        watcher.offer(str(revision))
    with pytest.raises(WatcherTooSlow) as caught:
        await watcher.next(1)
    assert caught.value.pending == LIMIT


async def test_watcher_at_its_limit_is_not_dropped() -> None:
    watcher = Watcher[str](LIMIT)
    for revision in range(LIMIT):
        watcher.offer(str(revision))
    assert await watcher.next(1) == "0"


async def test_watcher_ends_with_the_process() -> None:
    watcher = Watcher[str](LIMIT)
    watcher.end()
    with pytest.raises(WatchEnded):
        await watcher.next(1)


async def test_backlog_does_not_count_against_the_limit() -> None:
    watcher = Watcher(LIMIT, ["missed"] * 10)
    for revision in range(LIMIT):
        watcher.offer(str(revision))
    assert await watcher.next(1) == "missed"


async def test_reader_gets_what_is_published_while_it_is_joined() -> None:
    watchers = Watchers[str](LIMIT)
    watchers.publish("before")
    with watchers.join() as watcher:
        watchers.publish("during")
        assert await watcher.next(1) == "during"
    watchers.publish("after")
    assert await watcher.next(0.01) is None


async def test_reader_that_joins_after_the_end_is_told() -> None:
    watchers = Watchers[str](LIMIT)
    watchers.end()
    with watchers.join() as watcher, pytest.raises(WatchEnded):
        await watcher.next(1)
