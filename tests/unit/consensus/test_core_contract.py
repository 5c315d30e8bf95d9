"""What the core promises whoever drives it: determinism, stops, bounds, settings (C3, C4, R8, T2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.consensus.raft.core import RaftCore
from services.consensus.raft.events import Applied, Persisted, Proposed, Received, StoreHealthChanged, Tick
from services.consensus.raft.messages import AppendRequest, Heartbeat
from services.consensus.raft.model import (
    MILLISECOND,
    BootState,
    CoreSettings,
    Entry,
    EntryKind,
    HardState,
    InvariantViolated,
    Role,
    StoreHealth,
)
from services.consensus.raft.outputs import Output, ProposalOutcome, ProposalResult
from tests.support.raft import group_of

SETTINGS = CoreSettings(1)
BLANK = BootState(configuration=group_of(1, 2, 3))


def _entry(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, 0, b"x")


def _append(term: int, prev: tuple[int, int], entries: tuple[Entry, ...] = (), commit: int = 0) -> Received:
    return Received(AppendRequest(2, term, *prev, entries, commit, 0, 300 * MILLISECOND))


def _single(settings: CoreSettings) -> tuple[RaftCore, Output]:
    core = RaftCore(settings, BootState(configuration=group_of(1)), 1, 0)
    core.step(Tick(), 1)
    return core, core.take_output()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"member_id": 0}, "member_id", id="nobody"),
        pytest.param({"heartbeat": 76 * MILLISECOND}, "heartbeat", id="slow-heartbeat"),
        pytest.param({"election_max": 300 * MILLISECOND}, "election_max", id="no-spread"),
        pytest.param({"election_max": 901 * MILLISECOND}, "election_max", id="wide-spread"),
        pytest.param({"clock_drift_ppm": -1}, "clock_drift_ppm", id="negative-drift"),
        pytest.param({"max_batch": 0}, "limits", id="no-batch"),
    ],
)
def test_settings_under_which_the_rules_fail_are_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_same_seed_and_events_give_the_same_outputs() -> None:
    """Section 4, C3."""

    def run() -> list[Output]:
        core = RaftCore(SETTINGS, replace(BLANK, hard_state=HardState(1)), 7, 0)
        outputs = []
        for step in range(200):
            core.step(Tick(), step * 10 * MILLISECOND)
            outputs.append(core.take_output())
        return outputs

    assert run() == run()
    assert any(output.messages for output in run())


def test_boot_with_a_gap_is_refused() -> None:
    """S3."""
    with pytest.raises(InvariantViolated, match="S3"):
        RaftCore(SETTINGS, replace(BLANK, hard_state=HardState(1), entries=(_entry(2, 1),)), 1, 0)


@pytest.mark.parametrize(
    "boot",
    [
        pytest.param(BootState(HardState(1), (_entry(1, 1),), 2), id="applied-beyond-the-log"),
        pytest.param(BootState(HardState(1), (_entry(1, 2),)), id="log-of-a-later-term"),
    ],
)
def test_boot_that_contradicts_itself_is_refused(boot: BootState) -> None:
    """S7."""
    with pytest.raises(InvariantViolated, match="S7"):
        RaftCore(SETTINGS, boot, 1, 0)


def test_conflict_below_the_commit_index_halts_for_good() -> None:
    """R2, C4."""
    core = RaftCore(SETTINGS, BLANK, 1, 0)
    core.step(_append(1, (0, 0), (_entry(1, 1),), commit=1), 1)
    with pytest.raises(InvariantViolated, match="R2"):
        core.step(_append(2, (0, 0), (_entry(1, 2),)), 2)
    with pytest.raises(InvariantViolated, match="R2"):
        core.take_output()
    with pytest.raises(InvariantViolated, match="R2"):
        core.step(Tick(), 3)


def test_second_leader_of_a_term_halts() -> None:
    """I1, C4."""
    core = RaftCore(SETTINGS, BLANK, 1, 0)
    core.step(_append(1, (0, 0)), 1)
    with pytest.raises(InvariantViolated, match="I1"):
        core.step(Received(Heartbeat(3, 1, 0, 0, 300 * MILLISECOND, 1)), 2)


def test_time_must_not_go_back() -> None:
    """T2."""
    core = RaftCore(SETTINGS, BLANK, 1, 10)
    with pytest.raises(InvariantViolated, match="T2"):
        core.step(Tick(), 9)


def test_uncommitted_bytes_are_bounded_and_commit_makes_room() -> None:
    """R8."""
    core, output = _single(replace(SETTINGS, max_uncommitted=2000, max_append_bytes=1500))
    for waiter, size in enumerate((1500, 1000, 1501)):
        core.step(Proposed((b"x" * size,), 0, waiter), 2)
    outcomes = [result.outcome for result in core.take_output().proposal_results]
    assert outcomes == [ProposalOutcome.APPENDED, ProposalOutcome.OVERLOADED, ProposalOutcome.TOO_LARGE]
    core.step(Persisted(2, 2, 1), 3)
    assert [entry.index for entry in core.take_output().committed] == [1, 2]
    core.step(Proposed((b"x" * 1000,), 0, 9), 4)
    assert core.take_output().proposal_results[0].outcome is ProposalOutcome.APPENDED
    assert output.persist[0].number == 1


def test_commands_of_one_proposal_stay_together() -> None:
    core, _ = _single(SETTINGS)
    core.step(Proposed((b"a", b"b", b"c"), 5, 1), 2)
    output = core.take_output()
    result = output.proposal_results[0]
    assert (result.first_index, result.last_index, result.term) == (2, 4, 1)
    assert [(entry.index, entry.stamp_ms, entry.data) for entry in output.persist[0].entries] == [
        (2, 5, b"a"),
        (3, 5, b"b"),
        (4, 5, b"c"),
    ]


def test_lost_leadership_names_what_was_appended_as_unknown() -> None:
    """P5: committed proposals are answered by the state machine, the others are UNKNOWN."""
    core, _ = _single(SETTINGS)
    for waiter in (1, 2):
        core.step(Proposed((b"x",), 0, waiter), 2)
        core.take_output()
    core.step(Persisted(2, 2, 1), 3)
    core.step(StoreHealthChanged(StoreHealth.FULL), 4)
    assert core.take_output().proposal_results == (ProposalResult(2, ProposalOutcome.UNKNOWN, last_index=3),)
    core.step(Proposed((b"x",), 0, 3), 5)
    assert core.take_output().proposal_results == (ProposalResult(3, ProposalOutcome.NOT_LEADER),)


def test_each_committed_entry_is_given_out_once_and_not_what_was_applied_before() -> None:
    boot = BootState(HardState(1), tuple(_entry(index, 1) for index in (1, 2, 3)), 2, configuration=group_of(1))
    core = RaftCore(SETTINGS, boot, 1, 0)
    core.step(Tick(), 1)
    batch = core.take_output().persist[-1]
    core.step(Persisted(batch.number, batch.last_index, batch.last_term), 2)
    assert [entry.index for entry in core.take_output().committed] == [3, 4]
    assert core.take_output().committed == ()


def test_applying_what_was_not_given_out_halts() -> None:
    """I16."""
    core, _ = _single(SETTINGS)
    with pytest.raises(InvariantViolated, match="I16"):
        core.step(Applied(1), 2)


def test_lease_of_a_group_of_one_follows_its_clock() -> None:
    """L4: its own majority, but never valid without end: the process may die."""
    core, _ = _single(SETTINGS)
    core.step(Persisted(1, 1, 1), 2)
    core.step(Applied(core.take_output().committed[-1].index), 3)
    lease = core.take_output().lease
    assert lease is not None
    assert lease.valid_at(3 + 284 * MILLISECOND)
    assert not lease.valid_at(3 + 285 * MILLISECOND)
    assert core.status().role is Role.LEADER
