"""Any history of any commands: every member does the same, rows are the whole state, a restart changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consensus.raft.configuration import Configuration, GroupMember, MemberKind, configuration_of
from services.consensus.state.commands import (
    AdoptRecovery,
    Command,
    GrantLease,
    Phase,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
    decode_command,
    encode_command,
)
from services.consensus.state.group_commands import (
    BeginReplacement,
    CancelReplacement,
    CloseSession,
    ExpireSession,
    OpenSession,
    RaiseGroupVersion,
    SetGroupSettings,
    TouchSession,
)
from services.consensus.state.machine import Machine
from services.consensus.state.registry import commands as registry
from services.consensus.state.registry.origin import Origin
from services.consensus.state.replacements import encode_member
from services.consensus.state.rows import SHAPES, Row
from tests.support.machine_history import HISTORY, UNTOUCHED
from tests.support.machine_script import Script

MS = 1_000_000
SCOPES = st.sampled_from(["fleet", "cluster:c1", "instance:db1:3306"])
TARGETS = st.sampled_from(["cluster:c1", "instance:db1:3306"])
INSTANCES = st.sampled_from(["db1:3306", "db2:3306"])
NAMES = st.sampled_from(["a", "b"])
SPANS = st.integers(1, 200)
MAYBE_SPAN = st.none() | SPANS
SMALL = st.integers(0, 4)
NUMBERS = st.none() | SMALL
ORIGINS = st.builds(Origin, st.sampled_from([f"q{number}" for number in range(30)]), NAMES, NAMES) | st.builds(
    Origin, st.just(""), NAMES, NAMES, st.integers(1, 12), st.integers(1, 5), SMALL
)
VOTERS = configuration_of(GroupMember(number) for number in (1, 2, 3))
NEW = GroupMember(4, kind=MemberKind.LEARNER)
CONFIGURATIONS = st.sampled_from(
    [VOTERS, VOTERS.with_member(NEW, 1), VOTERS.with_member(NEW, 1).promoted(4, 1), VOTERS.without(3, 1)]
)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(registry.BeginDowntime, ORIGINS, TARGETS, NUMBERS, st.none() | st.integers(0, 99), SPANS),
    st.builds(registry.EndDowntime, ORIGINS, TARGETS),
    st.builds(registry.BeginMaintenance, ORIGINS, TARGETS, SPANS, SMALL),
    st.builds(registry.EndMaintenance, ORIGINS, TARGETS, SMALL),
    st.builds(registry.SetPromotionRule, ORIGINS, INSTANCES, st.sampled_from(["prefer", "must_not"]), MAYBE_SPAN),
    st.builds(registry.DeletePromotionRule, ORIGINS, INSTANCES),
    st.builds(registry.SetTag, ORIGINS, INSTANCES, NAMES, NAMES),
    st.builds(registry.DeleteTag, ORIGINS, INSTANCES, NAMES),
    st.builds(registry.SetPool, ORIGINS, NAMES, st.lists(INSTANCES, max_size=3).map(tuple), MAYBE_SPAN),
    st.builds(registry.DeletePool, ORIGINS, NAMES),
    st.builds(registry.SetClusterName, ORIGINS, st.sampled_from(["c1", "c2"]), NAMES, NAMES),
    st.builds(registry.DeleteClusterName, ORIGINS, st.sampled_from(["c1", "c2"])),
    st.builds(
        registry.SetPolicy,
        ORIGINS,
        SCOPES,
        st.sampled_from(["", "observe", "act"]),
        st.sampled_from(["", "lossless", "bounded", "availability_first"]),
        NUMBERS,
        st.none() | st.integers(0, 1),
        NUMBERS,
        st.sampled_from(["", "wait", "act"]),
        NUMBERS,
        MAYBE_SPAN,
    ),
    st.builds(registry.DeletePolicy, ORIGINS, SCOPES),
    st.builds(registry.SetSetting, ORIGINS, st.sampled_from(["recoveries", "b"]), st.sampled_from(["on", "off", "x"])),
    st.builds(registry.DeleteSetting, ORIGINS, NAMES),
    st.builds(registry.EndDue),
    st.builds(OpenSession, ORIGINS),
    st.builds(TouchSession, st.integers(1, 12), SMALL),
    st.builds(CloseSession, st.integers(1, 12)),
    st.builds(ExpireSession, st.integers(1, 12), st.integers(1, 30)),
    st.builds(
        SetGroupSettings,
        ORIGINS,
        st.sampled_from([60 * MS, 90 * MS]),
        st.just(300 * MS),
        st.sampled_from([600 * MS, 999 * MS]),
        st.just(10_000),
    ),
    st.just(RaiseGroupVersion(1)),
    st.builds(BeginReplacement, NAMES, st.integers(3, 4), st.just(encode_member(NEW))),
    st.builds(CancelReplacement, NAMES),
    st.just(GrantLease("recovery", 1, "s")),
    st.builds(
        RegisterRecovery,
        NAMES,
        st.integers(1, 9),
        st.just("c1"),
        INSTANCES,
        st.just(b""),
        SMALL,
        st.just(()),
        st.booleans(),
        SMALL,
    ),
    st.builds(AdoptRecovery, NAMES, st.integers(1, 9)),
    st.builds(
        RecordSteps,
        NAMES,
        st.integers(1, 9),
        st.builds(
            StepWrite, SMALL, st.sampled_from([int(phase) for phase in Phase]), NUMBERS, st.just(b""), INSTANCES
        ).map(lambda step: (step,)),
        st.just(b""),
    ),
    st.builds(
        PublishPrimary,
        st.sampled_from(["q1", "p"]),
        st.integers(1, 9),
        st.just("c1"),
        NAMES,
        NAMES,
        st.just(1),
        NAMES,
        NAMES,
    ),
)
HISTORIES = st.lists(st.tuples(COMMANDS | CONFIGURATIONS | st.none(), st.integers(0, 120)), max_size=30)


@settings(max_examples=300)
@given(COMMANDS)
def test_commands_survive_the_log(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@settings(max_examples=200)
@given(HISTORIES, st.integers(0, 30))
def test_any_history_gives_the_same_on_every_member(
    history: list[tuple[Command | Configuration | None, int]], restart_at: int
) -> None:
    script, twin = Script(), Script()
    script.apply(GrantLease("recovery", 1, "s"))
    twin.apply(GrantLease("recovery", 1, "s"))
    for place, (command, stamp_ms) in enumerate(history):
        if place == restart_at:
            twin = twin.restarted()
        said = _under_newest_token(command, script)
        assert script.apply(said, stamp_ms=stamp_ms) == twin.apply(said, stamp_ms=stamp_ms), "same answer"
        assert script.changes == twin.changes, "same effect"
        assert _whole(script.machine) == {name: dict(rows) for name, rows in _folded(script).items()}, "I13"
    assert script.machine.mark == twin.machine.mark, "I5, I14: same entries, same digest"


@settings(max_examples=100)
@given(HISTORIES)
def test_request_id_takes_effect_at_most_once(history: list[tuple[Command | Configuration | None, int]]) -> None:
    script = Script()
    answers: dict[tuple[str, bytes], Any] = {}
    for command, stamp_ms in history:
        result = script.apply(command, stamp_ms=stamp_ms)
        asked = getattr(command, "origin", None)
        if asked is None or not asked.request_id or asked.session_id:
            continue
        key = (asked.request_id, encode_command(command))  # type: ignore[arg-type]  # It has an origin: a command.
        if key in answers:
            assert result == answers[key], "I12: the same answer each time"
        answers.setdefault(key, result)


def test_everything_survives_a_restart() -> None:
    script = Script(Machine(max_group_version=2))
    script.apply(VOTERS)
    for command in HISTORY:
        assert not isinstance(script.apply(command, stamp_ms=1_000), Exception)
    restarted, before = script.restarted().machine, script.machine
    assert {name for name, rows in restarted.tables().items() if not rows} == UNTOUCHED
    assert _whole(restarted) == _whole(before)
    for table, same in zip(restarted.registry.tables, before.registry.tables, strict=True):
        assert table.all() == same.all()
    assert restarted.registry.due_ms == before.registry.due_ms
    assert restarted.journal.holds() == before.journal.holds()
    assert restarted.sessions.all() == before.sessions.all()
    assert restarted.group.settings == before.group.settings
    assert restarted.replacements.all() == before.replacements.all()


def test_tables_as_of_now_do_not_show_what_is_applied_later() -> None:
    script = Script()
    script.apply(registry.SetTag(Origin("q1", "o"), "db1:3306", "a", ""))
    tables = script.machine.tables()
    before = {name: list(rows) for name, rows in tables.items()}
    script.apply(registry.SetTag(Origin("q2", "o"), "db1:3306", "a", "changed"))
    script.apply(OpenSession(Origin("q3", "o")))
    assert {name: list(rows) for name, rows in tables.items()} == before


def _whole(machine: Machine) -> dict[str, dict[Row, Row]]:
    return {
        name: {row[: len(SHAPES[name].key)]: row for row in rows} for name, rows in machine.tables().items() if rows
    }


def _folded(script: Script) -> dict[str, dict[Row, Row]]:
    return {name: rows for name, rows in script.tables.items() if rows}


def _under_newest_token(command: Command | Configuration | None, script: Script) -> Command | Configuration | None:
    """Most commands of a history show the newest token, or hardly any would take effect."""
    match command:
        case RegisterRecovery() | AdoptRecovery() | RecordSteps() | PublishPrimary() if command.fencing_token < 8:
            return msgspec.structs.replace(command, fencing_token=max(1, script.machine.newest_token()))
        case _:
            return command
