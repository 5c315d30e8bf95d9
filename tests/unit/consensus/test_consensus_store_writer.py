"""The writer thread: order, merging, insisting, giving up."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from services.consensus.model import StoreHealth
from services.consensus.ports import (
    Broken,
    Probed,
    Report,
    StoreBroken,
    StoreBusy,
    StoredState,
    StoreError,
    StoreFull,
    StoreLost,
    Trouble,
    Written,
)
from services.consensus.store_write import StoreWrite
from services.consensus.store_writer import StoreWriter


class ScriptedStore:
    """A store that fails as told, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.failures: deque[StoreError] = deque()
        self.writes: list[tuple[StoreWrite, bool]] = []
        self.reconnects = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def load(self) -> StoredState:
        raise NotImplementedError

    def write(self, write: StoreWrite, *, again: bool = False) -> None:
        self.entered.set()
        assert self.gate.wait(5)
        self.writes.append((write, again))
        if self.failures:
            raise self.failures.popleft()

    def probe(self) -> None:
        if self.failures:
            raise self.failures.popleft()

    def reconnect(self) -> None:
        self.reconnects += 1

    def tidy(self) -> None:
        """Nothing grows here."""

    def close(self) -> None:
        """Nothing is open."""


class Bench:
    """A running writer and what it reports."""

    def __init__(self) -> None:
        self.store = ScriptedStore()
        self._reports: queue.Queue[Report] = queue.Queue()
        report: Callable[[Report], None] = self._reports.put
        self.writer = StoreWriter(self.store, report)
        self.writer.start()

    def next(self) -> Report:
        return self._reports.get(timeout=5)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A running writer on a scripted store."""
    bench = Bench()
    yield bench
    bench.writer.stop(5)


def test_write_is_reported_when_it_is_durable(bench: Bench) -> None:
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Written(1, 1)
    assert bench.store.writes == [(StoreWrite(1), False)]


def test_what_queued_meanwhile_is_the_next_transaction(bench: Bench) -> None:
    bench.store.gate.clear()
    bench.writer.submit(StoreWrite(1))
    assert bench.store.entered.wait(5)
    for number in (2, 3, 4):
        bench.writer.submit(StoreWrite(number))
    bench.store.gate.set()
    assert [bench.next(), bench.next()] == [Written(1, 1), Written(4, 3)]
    assert len(bench.store.writes) == 2


@pytest.mark.parametrize(
    ("failure", "health"),
    [
        pytest.param(StoreFull("disk is full"), StoreHealth.FULL, id="full"),
        pytest.param(StoreBusy("database is locked"), StoreHealth.SLOW, id="busy"),
        pytest.param(StoreLost("connection lost"), StoreHealth.FAILED, id="lost"),
    ],
)
def test_same_write_is_tried_until_it_succeeds(bench: Bench, failure: StoreError, health: StoreHealth) -> None:
    bench.store.failures.append(failure)
    bench.writer.submit(StoreWrite(1))
    assert [bench.next(), bench.next()] == [Trouble(health, str(failure)), Written(1, 1)]
    assert [write for write, _ in bench.store.writes] == [StoreWrite(1)] * 2


def test_after_a_lost_connection_the_write_may_have_happened(bench: Bench) -> None:
    bench.store.failures.append(StoreLost("connection lost"))
    bench.writer.submit(StoreWrite(1))
    bench.next()
    bench.next()
    assert [again for _, again in bench.store.writes] == [False, True]
    assert bench.store.reconnects == 1


def test_broken_store_is_never_written_again(bench: Bench) -> None:
    bench.store.failures.append(StoreBroken("disk I/O error"))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Broken("disk I/O error")
    bench.writer.submit(StoreWrite(2))
    bench.writer.stop(5)
    assert len(bench.store.writes) == 1


def test_probe_comes_after_what_was_queued_before(bench: Bench) -> None:
    bench.store.gate.clear()
    bench.writer.submit(StoreWrite(1))
    bench.writer.probe()
    bench.store.gate.set()
    assert bench.next() == Written(1, 1)
    assert isinstance(bench.next(), Probed)


def test_stop_writes_what_is_queued(bench: Bench) -> None:
    bench.store.gate.clear()
    bench.writer.submit(StoreWrite(1))
    bench.writer.submit(StoreWrite(2))
    bench.store.gate.set()
    bench.writer.stop(5)
    assert max(write.number for write, _ in bench.store.writes) == 2


def test_stop_does_not_wait_for_a_store_that_stays_full(bench: Bench) -> None:
    bench.store.failures.extend(StoreFull("disk is full") for _ in range(10_000))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Trouble(StoreHealth.FULL, "disk is full")
    bench.writer.stop(5)
    assert len(bench.store.writes) < 100
