"""Stops of executors that lost their lease are kept with the record they belong to (F8)."""

from __future__ import annotations

import pytest

from services.consensus.errors import RecoveryUnknown, TooManyStops
from services.consensus.state.commands import AdoptRecovery, CloseRecovery, GrantLease, NoteStop, RegisterRecovery
from services.consensus.state.journal import MAX_CLOSED, MAX_STOPS
from services.consensus.state.lease_table import Lease
from services.consensus.state.recovery_record import Recovery, Stop
from services.consensus.state.rows import STOPS
from services.shared.runtime.errors import InvalidField
from tests.support.machine_script import GRANT, Script


@pytest.fixture
def script() -> Script:
    """Token 1 opened recovery r1; a later leader's token adopted it."""
    script = Script()
    script.apply(GRANT)
    script.apply(RegisterRecovery("r1", 1, "c1", "db1:3306", b"", 0))
    script.term = 2
    script.apply(None)
    lease = script.apply(GrantLease("recovery", 2, "s2"))
    assert isinstance(lease, Lease)
    script.apply(AdoptRecovery("r1", lease.fencing_token))
    return script


def note(step: int = 3, token: int = 1, statement: str = "STOP REPLICA", recovery: str = "r1") -> NoteStop:
    return NoteStop(recovery, token, step, statement, not statement, 77)


def stops(script: Script) -> tuple[Stop, ...]:
    recovery = script.machine.journal.get("r1")
    assert recovery is not None
    return recovery.stops


def test_stop_is_taken_under_the_token_of_the_executor_that_stopped(script: Script) -> None:
    noted = script.apply(note())
    assert isinstance(noted, Recovery)
    assert noted.stops == (Stop(1, 3, "STOP REPLICA", outcome_known=False, stop_ms=77, log_index=script.index),)
    assert noted.log_index == script.index, "a watch of the records tells it"
    assert noted.fencing_token > 1, "who holds the record has not changed"
    assert script.restarted().machine.journal.all() == script.machine.journal.all()


def test_stop_told_again_is_noted_once(script: Script) -> None:
    first = script.apply(note())
    assert script.apply(note(statement="")) == first, "as it was told first"
    assert script.changes == ()
    assert isinstance(script.apply(note(step=4)), Recovery)
    assert [stop.step for stop in stops(script)] == [3, 4]


def test_closed_recovery_takes_a_stop(script: Script) -> None:
    newest = script.machine.newest_token()
    script.apply(CloseRecovery("r1", newest, b"end", True))
    noted = script.apply(note(statement=""))
    assert isinstance(noted, Recovery)
    assert (noted.is_open, noted.successful, noted.stops[0].outcome_known) == (False, True, True)


def test_record_keeps_so_many_stops(script: Script) -> None:
    for step in range(1, MAX_STOPS + 1):
        assert isinstance(script.apply(note(step)), Recovery)
    assert script.apply(note(MAX_STOPS + 1)) == TooManyStops("r1", MAX_STOPS)
    assert isinstance(script.apply(note(1)), Recovery), "one that is noted is no more"
    assert len(stops(script)) == MAX_STOPS


def test_stop_of_what_never_was_is_refused(script: Script) -> None:
    assert script.apply(note(recovery="r2")) == RecoveryUnknown("r2")
    assert isinstance(script.apply(note(token=script.machine.newest_token() + 1)), InvalidField)
    assert stops(script) == ()


def test_stops_go_with_their_record(script: Script) -> None:
    token = script.machine.newest_token()
    script.apply(note())
    script.apply(CloseRecovery("r1", token, b"", False))
    assert len(script.tables[STOPS]) == 1
    for number in range(MAX_CLOSED):
        script.apply(RegisterRecovery(f"n{number}", token, "c2", "db2:3306", b"", 0), stamp_ms=number + 1)
        script.apply(CloseRecovery(f"n{number}", token, b"", False), stamp_ms=number + 1)
    script.apply(RegisterRecovery("last", token, "c2", "db2:3306", b"", 0), stamp_ms=MAX_CLOSED + 1)
    assert script.machine.journal.get("r1") is None
    assert script.tables[STOPS] == {}
