"""Requests take effect once: by id (P1), and by session and number for as long as the session is open (P3)."""

from __future__ import annotations

import pytest

from services.consensus.errors import RequestIdReused
from services.consensus.state.commands import Command
from services.consensus.state.group_commands import CloseSession, ExpireSession, OpenSession, TouchSession
from services.consensus.state.registry.commands import DeleteSetting, SetSetting
from services.consensus.state.registry.origin import Origin
from services.consensus.state.registry.setting import Setting
from services.consensus.state.registry_errors import ItemUnknown, SessionFull, SessionSequencePassed, SessionUnknown
from services.consensus.state.requests import TTL_MS
from services.consensus.state.rows import REQUESTS, SESSION_ANSWERS, SESSIONS, SETTINGS
from services.consensus.state.sessions import MAX_ANSWERS, MAX_FORGOTTEN, MAX_SESSIONS, Session
from tests.support.machine_script import Script, origin

OPEN = OpenSession(Origin("open", "app"))


@pytest.fixture
def script() -> Script:
    """A machine with session 1 open."""
    script = Script()
    script.apply(OPEN)
    return script


def call(sequence: int, value: str = "x", *, session_id: int = 1, acked_below: int = 0) -> SetSetting:
    return SetSetting(Origin("", "app", "", session_id, sequence, acked_below), "name", value)


# By id.


def test_repeated_request_gives_its_first_answer_without_effect() -> None:
    script = Script()
    first = script.apply(SetSetting(origin("q1"), "name", "a"))
    script.apply(SetSetting(origin("q2"), "name", "b"))
    assert script.apply(SetSetting(origin("q1"), "name", "a")) == first
    assert script.changes == ()
    kept = script.machine.registry.settings.get("name")
    assert kept is not None
    assert kept.value == "b"


def test_effect_and_answer_are_one_change_set() -> None:
    script = Script()
    script.apply(SetSetting(origin("q1"), "name", "a"))
    assert [change.table for change in script.changes] == [SETTINGS, REQUESTS]


def test_refusal_is_an_answer_too() -> None:
    script = Script()
    assert script.apply(DeleteSetting(origin("q1"), "name")) == ItemUnknown("setting", "name")
    script.apply(SetSetting(origin("q2"), "name", "a"))
    assert script.apply(DeleteSetting(origin("q1"), "name")) == ItemUnknown("setting", "name")
    assert script.machine.registry.settings.get("name") is not None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SetSetting(origin("q1"), "name", "b"), id="other-value"),
        pytest.param(SetSetting(origin("q1", reason="else"), "name", "a"), id="other-reason"),
        pytest.param(DeleteSetting(origin("q1"), "name"), id="other-command"),
        pytest.param(OpenSession(origin("q1")), id="other-kind-of-request"),
    ],
)
def test_id_of_another_request_is_refused(other: Command) -> None:
    script = Script()
    script.apply(SetSetting(origin("q1"), "name", "a"))
    assert script.apply(other) == RequestIdReused("q1")
    assert script.changes == ()


def test_answer_is_forgotten_after_a_day_of_machine_time() -> None:
    script = Script()
    script.apply(SetSetting(origin("q1"), "name", "a"), stamp_ms=1)
    script.apply(SetSetting(origin("q2"), "name", "b"), stamp_ms=TTL_MS + 2)
    assert isinstance(script.apply(SetSetting(origin("q1"), "name", "c")), Setting)


# By session.


def test_session_is_named_after_the_entry_that_opened_it(script: Script) -> None:
    assert script.apply(OPEN) == Session(1, "app", acked_below=1, last_index=1, touch_ms=0)
    assert script.apply(OpenSession(Origin("other", "app"))) == Session(3, "app", 1, last_index=3, touch_ms=0)


def test_repeated_call_gives_its_first_answer_without_effect(script: Script) -> None:
    first = script.apply(call(1, "a"))
    script.apply(call(2, "b"))
    assert script.apply(call(1, "a")) == first
    assert {change.table for change in script.changes} <= {SESSIONS}
    assert script.restarted().apply(call(1, "a")) == first, "I14: after a restart, too"


def test_number_of_another_call_is_refused(script: Script) -> None:
    script.apply(call(1, "a"))
    assert script.apply(call(1, "b")) == RequestIdReused("1/1")


def test_call_of_an_unknown_session_is_never_carried_out(script: Script) -> None:
    assert script.apply(call(1, session_id=9)) == SessionUnknown(9)
    script.apply(CloseSession(1))
    assert script.apply(call(1)) == SessionUnknown(1)
    assert script.apply(TouchSession(1, 1)) == SessionUnknown(1)
    assert script.machine.registry.settings.all() == ()
    assert script.changes == ()


def test_acknowledged_answers_are_forgotten_and_their_calls_refused(script: Script) -> None:
    script.apply(call(1))
    script.apply(call(2))
    script.apply(call(3, acked_below=3))
    assert [change.key for change in script.changes if change.row is None] == [(1, 1), (1, 2)]
    assert script.apply(call(2)) == SessionSequencePassed(1, 2, acked_below=3)
    assert isinstance(script.apply(call(3, acked_below=3)), Setting)


def test_one_entry_forgets_a_bounded_number_of_answers(script: Script) -> None:
    for sequence in range(1, MAX_FORGOTTEN + 12):
        script.apply(call(sequence))
    script.apply(TouchSession(1, MAX_FORGOTTEN + 11))
    assert sum(change.row is None for change in script.changes) == MAX_FORGOTTEN
    script.apply(TouchSession(1, 0))
    assert sum(change.row is None for change in script.changes) == 10


def test_session_that_acknowledges_nothing_is_stopped(script: Script) -> None:
    for sequence in range(1, MAX_ANSWERS + 1):
        script.apply(call(sequence))
    assert isinstance(script.apply(call(MAX_ANSWERS + 1)), SessionFull)
    assert isinstance(script.apply(call(1)), Setting), "a repetition needs no room"


def test_too_many_sessions_are_refused() -> None:
    script = Script()
    for number in range(MAX_SESSIONS):
        script.apply(OpenSession(Origin(f"q{number}", "app")))
    assert isinstance(script.apply(OpenSession(Origin("last", "app"))), SessionFull)


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        pytest.param((), [], id="silent"),
        pytest.param((TouchSession(1, 1),), [1], id="touched"),
        pytest.param((call(1),), [1], id="made-a-call"),
        pytest.param((call(1), call(1)), [1], id="repeated-a-call"),
    ],
)
def test_expiry_ends_only_a_session_that_was_not_heard_meanwhile(
    script: Script, heard: tuple[Command, ...], left: list[int]
) -> None:
    expiry = ExpireSession(1, last_index=1)
    for command in heard:
        script.apply(command)
    script.apply(expiry)
    assert [session.session_id for session in script.machine.sessions.all()] == left


def test_closed_session_leaves_nothing_behind(script: Script) -> None:
    script.apply(call(1))
    script.apply(CloseSession(1))
    assert script.tables[SESSIONS] == {}
    assert script.tables[SESSION_ANSWERS] == {}
