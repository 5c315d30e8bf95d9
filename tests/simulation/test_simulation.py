"""Whole groups under faults: the invariants of 21.3 hold, runs replay exactly, and the simulator finds mistakes."""

from __future__ import annotations

import pytest

from tests.simulation.defects import Defect
from tests.simulation.failure import SimulationFailure
from tests.simulation.world import run_seed

CHUNK = 25
FAULT_SECONDS = 4.0

KNOWN_SEEDS = (98,)
"""Seeds that once found a mistake, in the core or in the simulator; they run with long faults."""


@pytest.mark.parametrize("first", range(1000, 1300, CHUNK))
def test_invariants_hold_under_faults_and_the_group_recovers(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run_seed(seed, FAULT_SECONDS, trail=50)


@pytest.mark.parametrize("seed", KNOWN_SEEDS)
def test_seed_of_an_earlier_mistake_stays_good(seed: int) -> None:
    run_seed(seed, 6.0, trail=50)


@pytest.mark.parametrize("seed", [7, 1042])
def test_a_seed_replays_exactly(seed: int) -> None:
    first, second = run_seed(seed, FAULT_SECONDS), run_seed(seed, FAULT_SECONDS)
    assert first == second
    assert first.event_count > 500


def test_seeds_differ() -> None:
    assert run_seed(1, 1.0).trace_hash != run_seed(2, 1.0).trace_hash


def test_faults_leave_room_for_work() -> None:
    results = [run_seed(seed, FAULT_SECONDS) for seed in range(1, 13)]
    assert sum(result.leader_count for result in results) > len(results)
    assert sum(result.ack_count for result in results) > 20 * len(results)
    assert sum(result.statement_count for result in results) > 10 * len(results)


@pytest.mark.parametrize(
    ("defect", "seeds"),
    [
        pytest.param(Defect.ACK_BEFORE_FSYNC, 10, id="R3-ack-before-fsync"),
        pytest.param(Defect.VOTE_WITHOUT_LOG_CHECK, 30, id="E4-vote-without-log-check"),
        pytest.param(Defect.PROMISE_IGNORED, 40, id="E2-promise-ignored"),
        pytest.param(Defect.READ_WITHOUT_CONFIRMATION, 60, id="read-without-confirmation"),
        pytest.param(Defect.NO_NOOP_BARRIER, 60, id="E12-no-noop-barrier"),
        pytest.param(Defect.TRUNCATE_WITHOUT_CONFLICT, 30, id="R1-truncate-without-conflict"),
        pytest.param(Defect.ACCEPT_AT_WRONG_PREV, 30, id="R1-accept-at-wrong-prev"),
    ],
)
def test_simulator_finds_a_defect(defect: Defect, seeds: int) -> None:
    for seed in range(1, seeds + 1):
        try:
            run_seed(seed, 6.0, defect)
        except SimulationFailure:
            return
    pytest.fail(f"{defect.value} survived {seeds} seeds")


def test_failure_names_its_seed_and_how_to_replay_it() -> None:
    with pytest.raises(SimulationFailure, match=r"python -m tests\.simulation --seeds 1 --from 1 ") as failure:
        run_seed(1, 6.0, Defect.ACK_BEFORE_FSYNC)
    assert failure.value.rule == "I6"
