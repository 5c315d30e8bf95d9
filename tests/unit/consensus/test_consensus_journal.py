"""The journal: one open recovery per cluster, tokens, repetition, anti-flapping."""

from __future__ import annotations

import pytest

from services.consensus.errors import (
    AntiFlapping,
    RecoveryClosed,
    RecoveryOpen,
    RecoveryUnknown,
    RequestIdReused,
    StepEnded,
)
from services.consensus.state.commands import (
    AdoptRecovery,
    CloseRecovery,
    Phase,
    RecordSteps,
    RegisterRecovery,
    StepWrite,
)
from services.consensus.state.journal import MAX_CLOSED, Journal
from services.consensus.state.recovery_record import Recovery
from services.consensus.state.rows import RECOVERIES, STEPS
from services.shared.runtime.errors import DomainError, StaleFencingToken

TOKEN = 5
HOUR_MS = 3_600_000
NOW_MS = 1_000_000


def opening(
    recovery_id: str = "r1",
    cluster_id: str = "c1",
    *,
    token: int = TOKEN,
    failed: str = "db1:3306",
    block_ms: int = HOUR_MS,
    steps: tuple[StepWrite, ...] = (),
) -> RegisterRecovery:
    return RegisterRecovery(recovery_id, token, cluster_id, failed, b"begun", block_ms, steps)


def writing(
    number: int, phase: Phase, *, token: int = TOKEN, data: bytes = b"", hold_ms: int | None = None
) -> RecordSteps:
    return RecordSteps("r1", token, (StepWrite(number, int(phase), hold_ms, data),), b"")


@pytest.fixture
def journal() -> Journal:
    """A journal with recovery r1 of cluster c1 open."""
    journal = Journal()
    journal.register(10, NOW_MS, opening())
    return journal


def closed(journal: Journal, *, successful: bool = True, successor: str = "") -> Journal:
    journal.note_successor(11, "r1", successor)
    journal.close(12, NOW_MS, CloseRecovery("r1", TOKEN, b"ended", successful))
    return journal


def test_registered_recovery_is_open_under_its_token() -> None:
    changes, recovery = Journal().register(10, NOW_MS, opening())
    assert isinstance(recovery, Recovery)
    assert (recovery.is_open, recovery.fencing_token, recovery.register_ms, recovery.log_index) == (True, 5, NOW_MS, 10)
    assert [change.table for change in changes] == [RECOVERIES]


def test_first_steps_are_written_in_the_same_entry() -> None:
    changes, recovery = Journal().register(10, NOW_MS, opening(steps=(StepWrite(1, Phase.INTENT, 500, b"fence"),)))
    assert isinstance(recovery, Recovery)
    assert [(step.number, step.phase, step.hold_ms, step.log_index) for step in recovery.steps] == [
        (1, Phase.INTENT, 500, 10)
    ]
    assert [change.table for change in changes] == [RECOVERIES, STEPS]


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        pytest.param(opening("r2"), RecoveryOpen("r1", "c1", TOKEN), id="cluster-has-an-open-one"),
        pytest.param(opening("r1", "c2"), RequestIdReused("r1"), id="id-of-another-cluster"),
        pytest.param(opening("r1", failed="db9:3306"), RequestIdReused("r1"), id="id-of-another-instance"),
        pytest.param(opening("r1", token=9), RecoveryOpen("r1", "c1", TOKEN), id="newer-token-must-adopt"),
    ],
)
def test_refused_registration_changes_nothing(
    journal: Journal, command: RegisterRecovery, refusal: DomainError
) -> None:
    before = journal.all()
    changes, result = journal.register(20, NOW_MS, command)
    assert result == refusal
    assert changes == ()
    assert journal.all() == before


def test_repeated_registration_gives_the_record_as_it_is(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.INTENT))
    changes, result = journal.register(20, NOW_MS, opening())
    assert result == journal.get("r1")
    assert changes == ()


def test_another_cluster_is_not_blocked(journal: Journal) -> None:
    _, result = journal.register(20, NOW_MS, opening("r2", "c2"))
    assert isinstance(result, Recovery)


@pytest.mark.parametrize(
    ("at_ms", "blocked"),
    [
        pytest.param(NOW_MS + HOUR_MS - 1, True, id="just-before-the-period-ends"),
        pytest.param(NOW_MS + HOUR_MS, False, id="when-the-period-ends"),
    ],
)
def test_successful_recovery_blocks_its_cluster_for_the_period(journal: Journal, at_ms: int, blocked: bool) -> None:
    _, result = closed(journal).register(20, at_ms, opening("r2"))
    assert (result == AntiFlapping("r1", NOW_MS + HOUR_MS)) is blocked


def test_successor_that_fails_soon_is_blocked_in_any_cluster(journal: Journal) -> None:
    closed(journal, successor="db2:3306")
    _, result = journal.register(20, NOW_MS, opening("r2", "c2", failed="db2:3306"))
    assert result == AntiFlapping("r1", NOW_MS + HOUR_MS)


@pytest.mark.parametrize(
    ("successful", "block_ms"),
    [
        pytest.param(False, HOUR_MS, id="unsuccessful-blocks-nothing"),
        pytest.param(True, 0, id="no-period-asked-for"),
    ],
)
def test_nothing_blocks(journal: Journal, successful: bool, block_ms: int) -> None:
    _, result = closed(journal, successful=successful).register(20, NOW_MS, opening("r2", block_ms=block_ms))
    assert isinstance(result, Recovery)


def test_step_keeps_the_time_of_its_intent(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.INTENT, hold_ms=700))
    journal.record_steps(12, NOW_MS + 5, writing(1, Phase.DONE, data=b"ok"))
    recovery = journal.get("r1")
    assert recovery is not None
    step = recovery.step(1)
    assert step is not None
    assert (step.phase, step.intent_ms, step.end_ms, step.hold_ms, step.data) == (
        Phase.DONE,
        NOW_MS,
        NOW_MS + 5,
        700,
        b"ok",
    )
    assert recovery.log_index == 12


def test_end_of_one_step_and_start_of_the_next_are_one_entry(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.INTENT))
    both = RecordSteps(
        "r1", TOKEN, (StepWrite(1, Phase.DONE, None, b""), StepWrite(2, Phase.INTENT, None, b"")), b"so far"
    )
    changes, index = journal.record_steps(12, NOW_MS, both)
    recovery = journal.get("r1")
    assert recovery is not None
    assert [step.phase for step in recovery.steps] == [Phase.DONE, Phase.INTENT]
    assert recovery.data == b"so far"
    assert index == 12
    assert [change.table for change in changes] == [RECOVERIES, STEPS, STEPS]


def test_repeated_step_answers_with_the_entry_that_wrote_it(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.INTENT))
    changes, index = journal.record_steps(12, NOW_MS + 9, writing(1, Phase.INTENT))
    assert (changes, index) == ((), 11)


@pytest.mark.parametrize(
    "phase", [pytest.param(Phase.INTENT, id="starts-again"), pytest.param(Phase.FAILED, id="changes-its-outcome")]
)
def test_ended_step_stays_as_it_ended(journal: Journal, phase: Phase) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.DONE))
    before = journal.get("r1")
    changes, result = journal.record_steps(12, NOW_MS, writing(1, phase))
    assert result == StepEnded("r1", 1)
    assert changes == ()
    assert journal.get("r1") == before


def test_one_refused_step_refuses_all(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.DONE))
    before = journal.get("r1")
    both = RecordSteps("r1", TOKEN, (StepWrite(2, Phase.INTENT, None, b""), StepWrite(1, Phase.INTENT, None, b"")), b"")
    assert journal.record_steps(12, NOW_MS, both) == ((), StepEnded("r1", 1))
    assert journal.get("r1") == before


@pytest.mark.parametrize(
    ("recovery_id", "token", "refusal"),
    [
        pytest.param("r9", TOKEN, RecoveryUnknown("r9"), id="unknown"),
        pytest.param("r1", TOKEN + 1, StaleFencingToken(TOKEN, TOKEN + 1), id="newer-token-has-not-adopted"),
        pytest.param("r1", TOKEN - 1, StaleFencingToken(TOKEN, TOKEN - 1), id="older-token"),
    ],
)
def test_refused_step_changes_nothing(journal: Journal, recovery_id: str, token: int, refusal: DomainError) -> None:
    command = RecordSteps(recovery_id, token, (StepWrite(1, Phase.INTENT, None, b""),), b"")
    assert journal.record_steps(12, NOW_MS, command) == ((), refusal)


def test_adopted_recovery_takes_steps_of_the_newer_token_only(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.INTENT))
    _, adopted = journal.adopt(12, AdoptRecovery("r1", 12))
    assert isinstance(adopted, Recovery)
    assert adopted.fencing_token == 12
    assert journal.record_steps(13, NOW_MS, writing(1, Phase.DONE)) == ((), StaleFencingToken(12, TOKEN))
    _, index = journal.record_steps(14, NOW_MS, writing(1, Phase.UNKNOWN, token=12))
    assert index == 14
    _, again = journal.record_steps(15, NOW_MS, writing(2, Phase.INTENT, token=12))
    assert again == 15


def test_adopted_step_may_start_again(journal: Journal) -> None:
    journal.record_steps(11, NOW_MS, writing(1, Phase.FAILED))
    journal.adopt(12, AdoptRecovery("r1", 12))
    _, index = journal.record_steps(13, NOW_MS + 3, writing(1, Phase.INTENT, token=12))
    recovery = journal.get("r1")
    assert index == 13
    assert recovery is not None
    assert [(step.phase, step.intent_ms, step.end_ms) for step in recovery.steps] == [(Phase.INTENT, NOW_MS + 3, None)]


@pytest.mark.parametrize(
    ("token", "refusal"),
    [
        pytest.param(TOKEN, None, id="same-token-again"),
        pytest.param(TOKEN - 1, StaleFencingToken(TOKEN, TOKEN - 1), id="older-token"),
    ],
)
def test_adoption_without_effect(journal: Journal, token: int, refusal: DomainError | None) -> None:
    changes, result = journal.adopt(12, AdoptRecovery("r1", token))
    assert changes == ()
    assert result == (refusal or journal.get("r1"))


def test_closed_recovery_takes_nothing_more(journal: Journal) -> None:
    closed(journal)
    assert journal.record_steps(13, NOW_MS, writing(1, Phase.INTENT)) == ((), RecoveryClosed("r1"))
    assert journal.adopt(13, AdoptRecovery("r1", 13)) == ((), RecoveryClosed("r1"))
    assert journal.close(13, NOW_MS, CloseRecovery("r1", TOKEN, b"else", True)) == ((), RecoveryClosed("r1"))


def test_repeated_close_gives_the_record_as_it_is(journal: Journal) -> None:
    closed(journal)
    changes, result = journal.close(13, NOW_MS + 9, CloseRecovery("r1", TOKEN, b"ended", True))
    assert changes == ()
    assert result == journal.get("r1")


def test_oldest_closed_record_goes_when_there_are_too_many() -> None:
    journal = Journal()
    for number in range(MAX_CLOSED + 1):
        journal.register(
            number * 2 + 1, number, opening(f"r{number:05}", "c1", block_ms=0, steps=(StepWrite(1, 1, None, b""),))
        )
        journal.close(number * 2 + 2, number, CloseRecovery(f"r{number:05}", TOKEN, b"", False))
    changes, _ = journal.register(99_999, NOW_MS, opening("newest"))
    assert journal.get("r00000") is None
    assert journal.get("r00001") is not None
    assert [(change.table, change.key) for change in changes if change.row is None] == [
        (RECOVERIES, ("r00000",)),
        (STEPS, ("r00000", 1)),
    ]
