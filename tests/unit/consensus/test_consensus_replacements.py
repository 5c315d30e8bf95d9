"""Replacements of members: the record follows the committed configurations (M4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.consensus.errors import RequestIdReused
from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind, configuration_of
from services.consensus.raft.outputs import ChangeBlocker
from services.consensus.state.group_commands import BeginReplacement, CancelReplacement
from services.consensus.state.group_errors import ChangeBlocked, ReplacementUnknown
from services.consensus.state.replacements import MAX_ENDED, Replacement, ReplacementState, encode_member
from tests.support.machine_script import Script

NEW = GroupMember(4, name="node4", raft_endpoint="h4:1", kind=MemberKind.LEARNER)
VOTERS = configuration_of(GroupMember(number) for number in (1, 2, 3))
BEGIN = BeginReplacement("r", 3, encode_member(NEW))


@pytest.fixture
def script() -> Script:
    """A group of members 1, 2, 3."""
    script = Script()
    script.apply(VOTERS)
    return script


def added(before: Configuration) -> Configuration:
    return before.with_member(NEW, 1)


def promoted(before: Configuration) -> Configuration:
    return before.promoted(NEW.member_id, 1)


def without_old(before: Configuration) -> Configuration:
    return before.without(3, 1)


def without_new(before: Configuration) -> Configuration:
    return before.without(NEW.member_id, 1)


def state(script: Script) -> ReplacementState:
    record = script.machine.replacements.get("r")
    assert record is not None
    return record.state


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param((), ReplacementState.ADD, id="recorded"),
        pytest.param((added,), ReplacementState.CATCH_UP, id="learner"),
        pytest.param((added, promoted), ReplacementState.REMOVE, id="voter"),
        pytest.param((added, promoted, without_old), ReplacementState.DONE, id="old-one-removed"),
        pytest.param((added, without_new), ReplacementState.CANCELLED, id="learner-taken-out"),
        pytest.param((added, promoted, without_new), ReplacementState.CANCELLED, id="voter-taken-out"),
        pytest.param((added, without_old), ReplacementState.CATCH_UP, id="old-one-removed-early"),
        pytest.param((added, without_old, promoted), ReplacementState.DONE, id="old-one-removed-early-and-promoted"),
    ],
)
def test_record_follows_the_configuration(
    script: Script, changes: tuple[Callable[[Configuration], Configuration], ...], expected: ReplacementState
) -> None:
    script.apply(BEGIN)
    configuration = VOTERS
    for change in changes:
        configuration = change(configuration)
        script.apply(configuration)
    assert state(script) is expected
    assert state(script.restarted()) is expected
    assert (script.machine.replacements.open() is None) is not expected.is_open


def test_new_member_that_is_there_already_needs_no_adding(script: Script) -> None:
    script.apply(added(VOTERS))
    record = script.apply(BEGIN)
    assert isinstance(record, Replacement)
    assert record.state is ReplacementState.CATCH_UP


def test_repeated_begin_is_answered_with_the_record_as_it_is(script: Script) -> None:
    script.apply(BEGIN)
    script.apply(added(VOTERS))
    again = script.apply(BEGIN)
    assert isinstance(again, Replacement)
    assert again.state is ReplacementState.CATCH_UP
    assert script.changes == ()


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        pytest.param(BeginReplacement("r", 2, encode_member(NEW)), RequestIdReused("r"), id="id-of-another"),
        pytest.param(
            BeginReplacement("r2", 2, encode_member(NEW)), ChangeBlocked(ChangeBlocker.CHANGE_OPEN), id="one-at-a-time"
        ),
    ],
)
def test_second_replacement_is_refused(script: Script, command: BeginReplacement, refusal: Exception) -> None:
    script.apply(BEGIN)
    assert script.apply(command) == refusal


def test_stranger_cannot_be_replaced(script: Script) -> None:
    refusal = script.apply(BeginReplacement("r", 9, encode_member(NEW)))
    assert refusal == ChangeBlocked(ChangeBlocker.UNKNOWN_MEMBER)


@pytest.mark.parametrize(
    "changes", [pytest.param((), id="before-adding"), pytest.param((added,), id="while-catching-up")]
)
def test_replacement_is_cancelled_before_the_removal(
    script: Script, changes: tuple[Callable[[Configuration], Configuration], ...]
) -> None:
    script.apply(BEGIN)
    for change in changes:
        script.apply(change(VOTERS))
    cancelled = script.apply(CancelReplacement("r"))
    assert isinstance(cancelled, Replacement)
    assert cancelled.state is ReplacementState.CANCELLED
    assert script.apply(CancelReplacement("r")) == cancelled
    script.apply(added(VOTERS))
    assert state(script) is ReplacementState.CANCELLED, "what ended is not moved any more"


def test_replacement_is_not_cancelled_once_the_old_member_is_to_go(script: Script) -> None:
    script.apply(BEGIN)
    script.apply(promoted(added(VOTERS)))
    assert script.apply(CancelReplacement("r")) == ReplacementUnknown("r")
    assert script.apply(CancelReplacement("never")) == ReplacementUnknown("never")


def test_oldest_ended_record_is_forgotten(script: Script) -> None:
    for number in range(MAX_ENDED + 2):
        script.apply(BeginReplacement(f"r{number}", 3, encode_member(NEW)))
        script.apply(CancelReplacement(f"r{number}"))
    assert script.machine.replacements.get("r0") is None
    assert script.machine.replacements.get("r1") is not None
