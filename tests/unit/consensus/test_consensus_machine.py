"""The state machine: what entries do, alike on every member."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.consensus.errors import AntiFlapping, RequestIdReused
from services.consensus.raft.model import Entry, EntryKind
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    Command,
    ExpireLease,
    GrantLease,
    Phase,
    PublishPrimary,
    RecordSteps,
    RegisterRecovery,
    ReleaseLease,
    StepWrite,
    UnknownCommand,
    decode_command,
    encode_command,
)
from services.consensus.state.directory import Primary
from services.consensus.state.entries import decode_entry
from services.consensus.state.lease_table import Lease
from services.consensus.state.machine import Machine
from services.consensus.state.recovery_record import Recovery
from services.shared.runtime.errors import StaleFencingToken
from tests.support.machine_script import GRANT, Script


@pytest.fixture
def script() -> Script:
    """A machine on which token 1 holds the lease `recovery`."""
    script = Script()
    script.apply(GRANT)
    return script


def publishing(request_id: str = "q1", *, token: int = 1, host: str = "db2", recovery_id: str = "r1") -> PublishPrimary:
    return PublishPrimary(request_id, token, "c1", "shop", host, 3306, "u", recovery_id)


def registering(recovery_id: str = "r1", *, token: int = 1, failed: str = "db1:3306") -> RegisterRecovery:
    return RegisterRecovery(recovery_id, token, "c1", failed, b"", 1_000)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(registering(token=9), id="register"),
        pytest.param(AdoptRecovery("r1", 9), id="adopt"),
        pytest.param(RecordSteps("r1", 9, (StepWrite(1, 1, None, b""),), b""), id="step"),
        pytest.param(CloseRecovery("r1", 9, b"", True), id="close"),
        pytest.param(publishing(token=9), id="publish"),
    ],
)
def test_write_under_a_token_that_is_not_the_newest_is_refused(script: Script, command: Command) -> None:
    assert script.apply(command) == StaleFencingToken(newest=1, offered=9)
    assert script.changes == ()


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(ReleaseLease("recovery", "s1", 1), id="released"),
        pytest.param(ExpireLease("recovery", 1), id="expired"),
    ],
)
def test_ended_lease_writes_nothing(script: Script, end: Command) -> None:
    script.apply(end)
    assert script.apply(registering()) == StaleFencingToken(newest=1, offered=1)


def test_first_entry_of_a_later_term_voids_the_lease_of_the_earlier(script: Script) -> None:
    script.term = 2
    script.apply(None)
    assert script.apply(registering()) == StaleFencingToken(newest=1, offered=1)
    lease = script.apply(GrantLease("recovery", 2, "s2"))
    assert isinstance(lease, Lease)
    assert lease.fencing_token == script.machine.mark.applied_index


def test_lease_of_an_earlier_term_ends_before_the_command_of_the_same_entry(script: Script) -> None:
    script.term = 2
    lease = script.apply(GrantLease("recovery", 2, "s2"))
    assert isinstance(lease, Lease), "F1: what a deposed leader granted holds up nobody"


def test_repeated_publication_takes_effect_once_even_under_a_newer_token(script: Script) -> None:
    first = script.apply(publishing())
    script.apply(ReleaseLease("recovery", "s1", 1))
    script.apply(GRANT)
    token = script.machine.newest_token()
    script.apply(publishing("q2", token=token, host="db3", recovery_id="r2"))
    assert script.apply(publishing(token=token)) == first
    assert script.changes == ()
    primary = script.machine.directory.get("c1")
    assert primary is not None
    assert (primary.epoch, primary.host) == (2, "db3")


def test_request_id_of_another_publication_is_refused(script: Script) -> None:
    script.apply(publishing())
    assert script.apply(publishing(host="db9")) == RequestIdReused("q1")


def test_published_successor_counts_for_anti_flapping(script: Script) -> None:
    script.apply(registering(), stamp_ms=100)
    script.apply(publishing(host="db2"), stamp_ms=100)
    script.apply(CloseRecovery("r1", 1, b"", True), stamp_ms=100)
    elsewhere = RegisterRecovery("r2", 1, "c2", "db2:3306", b"", 1_000)
    assert script.apply(elsewhere, stamp_ms=500) == AntiFlapping("r1", 1_100)


def test_machine_time_never_goes_back(script: Script) -> None:
    script.apply(registering(), stamp_ms=5_000)
    script.apply(RecordSteps("r1", 1, (StepWrite(1, 1, None, b""),), b""), stamp_ms=10)
    recovery = script.machine.journal.get("r1")
    assert recovery is not None
    assert recovery.steps[0].intent_ms == 5_000
    assert script.machine.mark.time_ms == 5_000


def test_digest_tells_different_histories_apart() -> None:
    one, other = Script(), Script()
    one.apply(GRANT)
    other.apply(GrantLease("recovery", 1, "s2"))
    assert one.machine.mark.digest != other.machine.mark.digest


def test_entries_are_applied_in_order_only() -> None:
    with pytest.raises(AssertionError):
        Machine().apply(2, 1, 0, None)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="not-an-object"),
        pytest.param(b'{"kind":"grant_lease","version":2}', id="newer-version"),
        pytest.param(b'{"kind":"fly","version":1}', id="unknown-kind"),
        pytest.param(b'{"kind":"expire_lease","version":1,"name":"x"}', id="missing-field"),
        pytest.param(b"\xff", id="not-text"),
    ],
)
def test_unknown_command_is_never_applied(data: bytes) -> None:
    with pytest.raises(UnknownCommand):
        decode_command(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{}", id="no-version"),
        pytest.param(b'{"version":99,"previous_index":0,"members":[]}', id="newer-version"),
        pytest.param(b'{"version":1,"previous_index":0,"members":[{"kind":"king"}]}', id="unknown-kind"),
        pytest.param(b"no json", id="no-json"),
    ],
)
def test_unknown_configuration_is_never_applied(data: bytes) -> None:
    with pytest.raises(UnknownCommand):  # A3
        decode_entry(Entry(2, 1, EntryKind.CONFIG, 0, data))


def test_first_primary_that_was_found_stays_when_another_is_found(script: Script) -> None:
    first = script.apply(publishing("q1", recovery_id=""))
    assert script.apply(publishing("q2", host="db3", recovery_id="")) == first
    assert script.changes == ()


TOKENS = st.integers(1, 30)
RECOVERIES = st.sampled_from(["r1", "r2", "r3", "r4"])
CLUSTERS = st.sampled_from(["c1", "c2"])
DATA = st.binary(max_size=3)
STEPS = st.builds(
    StepWrite, st.integers(1, 3), st.sampled_from([int(phase) for phase in Phase]), st.none() | st.integers(0, 9), DATA
)
SESSIONS = st.sampled_from(["s1", "s2"])
COMMANDS = st.one_of(
    st.none(),
    st.builds(GrantLease, st.just("recovery"), st.integers(1, 3), SESSIONS),
    st.builds(ReleaseLease, st.just("recovery"), SESSIONS, TOKENS),
    st.builds(ExpireLease, st.just("recovery"), TOKENS),
    st.builds(
        RegisterRecovery,
        RECOVERIES,
        TOKENS,
        CLUSTERS,
        st.sampled_from(["db1:3306", "db2:3306"]),
        DATA,
        st.sampled_from([0, 50]),
        st.lists(STEPS, max_size=2, unique_by=lambda step: step.number).map(tuple),
    ),
    st.builds(AdoptRecovery, RECOVERIES, TOKENS),
    st.builds(
        RecordSteps,
        RECOVERIES,
        TOKENS,
        st.lists(STEPS, min_size=1, max_size=2, unique_by=lambda step: step.number).map(tuple),
        DATA,
    ),
    st.builds(CloseRecovery, RECOVERIES, TOKENS, DATA, st.booleans()),
    st.builds(
        PublishPrimary,
        st.sampled_from(["q1", "q2", "q3"]),
        TOKENS,
        CLUSTERS,
        st.just("shop"),
        st.sampled_from(["db1", "db2"]),
        st.just(3306),
        st.just("u"),
        st.just("") | RECOVERIES,
    ),
)
NEWEST = st.sampled_from([True, True, True, False])
"""Most commands of a history show the newest token, or hardly any would take effect."""
HISTORIES = st.lists(st.tuples(COMMANDS, NEWEST, st.integers(0, 1), st.integers(0, 200)), max_size=40)


@given(st.one_of(COMMANDS.filter(lambda command: command is not None)))
def test_commands_survive_the_log(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@settings(max_examples=200)
@given(HISTORIES)
def test_any_history_keeps_the_invariants(history: list[tuple[Command | None, bool, int, int]]) -> None:
    script, twin = Script(), Script()
    tokens: list[int] = []
    epochs: dict[str, int] = {}
    for command, newest, later, stamp_ms in history:
        said = _with_token(command, script.machine.newest_token()) if newest else command
        script.term += later
        result = script.apply(None if later else said, stamp_ms=stamp_ms)
        twin.term = script.term
        twin.apply(None if later else said, stamp_ms=stamp_ms)

        if isinstance(result, Lease) and script.changes:
            tokens.append(result.fencing_token)
        open_clusters = [recovery.cluster_id for recovery in script.machine.journal.all() if recovery.is_open]
        assert len(open_clusters) == len(set(open_clusters)), "I18: one open recovery per cluster"
        for primary in script.machine.directory.all():
            assert primary.epoch - epochs.get(primary.cluster_id, 0) in (0, 1)
            epochs[primary.cluster_id] = primary.epoch
        if isinstance(result, (Recovery, Primary)) and script.changes:
            assert script.machine.leases.is_live("recovery", script.machine.newest_token()), "I9: under a live token"

    assert tokens == sorted(set(tokens)), "I9: tokens grow"
    assert script.machine.mark == twin.machine.mark, "I5: same entries, same digest"
    restored = Script(Machine(script.machine.mark, script.rows()))
    assert restored.machine.journal.all() == script.machine.journal.all(), "I13: rows are the whole state"
    assert restored.machine.directory.all() == script.machine.directory.all()
    assert restored.machine.leases.newest("recovery") == script.machine.leases.newest("recovery")
    for further in (GRANT, registering(token=script.machine.newest_token()), publishing()):
        script.apply(further, stamp_ms=300)
        restored.term = script.term
        restored.apply(further, stamp_ms=300)
    assert restored.machine.mark == script.machine.mark, "I14: goes on alike after a restart"


def _with_token(command: Command | None, token: int) -> Command | None:
    match command:
        case RegisterRecovery(recovery_id, _, cluster_id, failed, data, block_ms, steps):
            return RegisterRecovery(recovery_id, token, cluster_id, failed, data, block_ms, steps)
        case AdoptRecovery(recovery_id, _):
            return AdoptRecovery(recovery_id, token)
        case RecordSteps(recovery_id, _, steps, data):
            return RecordSteps(recovery_id, token, steps, data)
        case CloseRecovery(recovery_id, _, data, successful):
            return CloseRecovery(recovery_id, token, data, successful)
        case PublishPrimary(request_id, _, cluster_id, alias, host, port, server_uuid, recovery_id):
            return PublishPrimary(request_id, token, cluster_id, alias, host, port, server_uuid, recovery_id)
        case _:
            return command
