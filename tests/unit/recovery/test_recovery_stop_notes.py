"""Stops are written down at once, and told to the group until a leader took them (rule F8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from services.recovery.convert import stop_to_proto
from services.recovery.model import RecoveryUnknown, Stop
from services.recovery.ports import JournalRefused, JournalUnavailable
from services.recovery.stop_notes import MAX_KEPT, StopNotes
from tests.support.eventually import eventually

STOP = Stop("r1", 7, 3, "fence", "db1:3306", "SET GLOBAL read_only = ON", "the lease is lost", datetime.now(UTC))


class FakeStopJournal:
    """Takes stops, after as many errors as it was given."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.taken: list[Stop] = []
        self.asked = 0

    async def note_stop(self, stop: Stop) -> None:
        """Take one."""
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(stop)


class Told:
    """Notes, what they wrote down, and the journal they tell."""

    def __init__(self) -> None:
        self.written: list[Stop] = []
        self.journal = FakeStopJournal()
        self.notes = StopNotes(self.written.append, self.journal)


@pytest_asyncio.fixture
async def told() -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(told.notes.run())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_stop_is_told_until_a_leader_took_it(told: Told) -> None:
    told.journal.errors = [JournalUnavailable("NO_LEADER")]
    told.notes(STOP)
    assert told.written == [STOP], "on this host at once"
    await eventually(lambda: told.journal.taken == [STOP], within=5)
    later = replace(STOP, step=4)
    told.notes(later)
    await eventually(lambda: told.journal.taken == [STOP, later], within=5)
    assert told.journal.asked == 3


@pytest.mark.parametrize("error", [RecoveryUnknown("r1"), JournalRefused("TOO_MANY_STOPS")])
async def test_stop_that_is_refused_is_not_told_again(told: Told, error: Exception) -> None:
    told.journal.errors = [error]
    told.notes(STOP)
    told.notes(replace(STOP, step=4))
    await eventually(lambda: [stop.step for stop in told.journal.taken] == [4], within=5)
    assert told.journal.asked == 2


async def test_oldest_stops_make_room_while_nobody_takes_them(told: Told) -> None:
    for step in range(1, MAX_KEPT + 3):
        told.notes(replace(STOP, step=step))
    await eventually(lambda: len(told.journal.taken) == MAX_KEPT, within=5)
    assert told.journal.taken[0].step == 3
    assert len(told.written) == MAX_KEPT + 2


def test_long_statement_is_told_by_its_beginning() -> None:
    told = stop_to_proto(replace(STOP, statement=" SELECT " + "x " * 2_000))
    assert told.statement.startswith("SELECT x")
    assert 990 < len(told.statement) <= 1_000
    assert told.statement == told.statement.strip()
    assert not told.outcome_known
