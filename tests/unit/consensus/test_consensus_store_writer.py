"""The writer thread: order, merging, insisting, giving up."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator

import pytest

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
    StoreRefused,
    Trouble,
    Written,
)
from services.consensus.raft.model import StoreHealth
from services.consensus.state.machine import Mark
from services.consensus.store.writer import StoreWriter
from services.consensus.store_write import Install, StoreWrite


class ScriptedStore:
    """A store that fails as told, and remembers what was asked of it."""

    def __init__(self) -> None:
        self.failures: deque[StoreError] = deque()
        self.writes: list[tuple[StoreWrite, bool]] = []
        self.reconnects = 0
        self.reconnect_failures: deque[StoreError] = deque()
        self.tidied: queue.Queue[bool] = queue.Queue()
        self.tidy_failures: deque[StoreError] = deque()
        self.untidy = 0
        self.relieved = 0
        self.relief_failures: deque[StoreError] = deque()
        self.room = threading.Event()
        self.room.set()
        self.asked_for_room = threading.Event()
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
        if self.reconnect_failures:
            raise self.reconnect_failures.popleft()

    def tidy(self, *, idle: bool) -> bool:
        self.tidied.put(idle)
        if self.tidy_failures:
            raise self.tidy_failures.popleft()
        self.untidy = max(0, self.untidy - 1)
        return self.untidy > 0

    def relieve(self) -> None:
        self.relieved += 1
        if self.relief_failures:
            raise self.relief_failures.popleft()

    def has_room(self) -> bool:
        self.asked_for_room.set()
        return self.room.is_set()

    def close(self) -> None:
        """Nothing is open."""


class Bench:
    """A running writer and what it reports."""

    def __init__(self, fatal_s: float = 60.0) -> None:
        self.store = ScriptedStore()
        self._reports: queue.Queue[Report] = queue.Queue()
        report: Callable[[Report], None] = self._reports.put
        self.writer = StoreWriter(self.store, report, fatal_s)
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


def test_full_store_is_relieved_and_used_again_only_when_there_is_room(bench: Bench) -> None:
    bench.store.room.clear()
    bench.store.failures.append(StoreFull("disk is full"))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Trouble(StoreHealth.FULL, "disk is full")
    assert bench.store.asked_for_room.wait(5)
    assert (bench.store.relieved, len(bench.store.writes)) == (1, 1)
    bench.store.room.set()
    assert bench.next() == Written(1, 1)


@pytest.mark.parametrize("failure", [StoreFull("still full"), StoreBusy("locked"), StoreLost("gone")])
def test_relief_that_fails_is_no_reason_to_give_up(bench: Bench, failure: StoreError) -> None:
    bench.store.relief_failures.append(failure)
    bench.store.failures.append(StoreFull("disk is full"))
    bench.writer.submit(StoreWrite(1))
    assert [bench.next(), bench.next()] == [Trouble(StoreHealth.FULL, "disk is full"), Written(1, 1)]


def test_database_that_stays_away_ends_the_member() -> None:
    bench = Bench(fatal_s=0.0)
    bench.store.failures.extend(StoreLost("connection refused") for _ in range(2))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Broken("the database was not reached for 0 s: connection refused", 75)
    bench.writer.stop(5)


def test_database_that_somebody_else_took_meanwhile_ends_the_member(bench: Bench) -> None:
    bench.store.failures.append(StoreLost("gone"))
    bench.store.reconnect_failures.append(StoreRefused("used by another process"))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Trouble(StoreHealth.FAILED, "gone")
    assert bench.next() == Broken("used by another process", 75)


def test_connection_is_tried_until_it_is_there_again(bench: Bench) -> None:
    bench.store.failures.append(StoreLost("gone"))
    bench.store.reconnect_failures.append(StoreLost("refused"))
    bench.writer.submit(StoreWrite(1))
    assert [bench.next() for _ in range(3)] == [
        Trouble(StoreHealth.FAILED, "gone"),
        Trouble(StoreHealth.FAILED, "refused"),
        Written(1, 1),
    ]
    assert bench.store.reconnects == 2


def test_trouble_on_a_new_connection_does_not_ask_for_another(bench: Bench) -> None:
    bench.store.failures.extend((StoreLost("gone"), StoreBusy("deadlock")))
    bench.writer.submit(StoreWrite(1))
    assert [bench.next() for _ in range(3)] == [
        Trouble(StoreHealth.FAILED, "gone"),
        Trouble(StoreHealth.SLOW, "deadlock"),
        Written(1, 1),
    ]
    assert bench.store.reconnects == 1
    assert [again for _, again in bench.store.writes] == [False, True, True]


def _write(bench: Bench, times: int) -> None:
    for number in range(1, times + 1):
        bench.writer.submit(StoreWrite(number))
        assert bench.next() == Written(number, 1)


def test_busy_store_is_tidied_now_and_then_and_thoroughly_when_idle(bench: Bench) -> None:
    _write(bench, 16)
    assert [bench.store.tidied.get(timeout=5) for _ in range(2)] == [False, True]
    with pytest.raises(queue.Empty):
        bench.store.tidied.get(timeout=1.5)


def test_bits_of_tidying_follow_one_another_while_nothing_is_to_be_written(bench: Bench) -> None:
    bench.store.untidy = 4
    _write(bench, 16)
    assert [bench.store.tidied.get(timeout=0.9) for _ in range(4)] == [False, True, True, True]


def test_trouble_while_tidying_is_left_to_the_next_write(bench: Bench) -> None:
    bench.store.tidy_failures.append(StoreLost("gone"))
    bench.writer.submit(StoreWrite(1))
    assert bench.next() == Written(1, 1)
    bench.writer.submit(StoreWrite(2))
    assert bench.next() == Written(2, 1)


def test_damage_found_while_tidying_ends_the_member(bench: Bench) -> None:
    bench.store.tidy_failures.append(StoreBroken("disk I/O error"))
    bench.writer.submit(StoreWrite(1))
    assert [bench.next(), bench.next()] == [Written(1, 1), Broken("disk I/O error", 74)]


def test_snapshot_begins_a_transaction_of_its_own(bench: Bench) -> None:
    install = Install(Mark(5, 1), {})
    bench.store.gate.clear()
    bench.writer.submit(StoreWrite(1))
    assert bench.store.entered.wait(5)
    for write in (StoreWrite(2), StoreWrite(3, install=install), StoreWrite(4)):
        bench.writer.submit(write)
    bench.store.gate.set()
    assert [bench.next() for _ in range(3)] == [Written(1, 1), Written(2, 1), Written(4, 2)]
    assert bench.store.writes[-1][0].install is install
