"""Whole groups under faults: the invariants of 21.3 hold, runs replay exactly, and the simulator finds mistakes."""

from __future__ import annotations

import pytest

from tests.simulation.defect import Defect
from tests.simulation.failure import SimulationFailure
from tests.simulation.mutants import MUTANTS, Mutant, judge
from tests.simulation.seed_runs import Plan, Total, run_one, run_seeds
from tests.simulation.weights import Suite
from tests.simulation.world import run_seed

FAULT_SECONDS = 1.0

KNOWN_SEEDS = (
    (Suite.BARE, 98, 6.0),
    (Suite.BARE, 10_078, 1.5),
    (Suite.BARE, 10_513, 1.5),
    (Suite.BARE, 11_079, 1.0),
    (Suite.FULL, 2529, 4.0),
    (Suite.FULL, 2297, 4.0),
    (Suite.FULL, 88, 8.0),
    (Suite.DRIFT, 45, 4.0),
)
"""Seeds that once found a mistake, in the core or in the simulator; they run first."""


@pytest.mark.parametrize(("suite", "seed", "seconds"), KNOWN_SEEDS)
def test_seed_of_an_earlier_mistake_stays_good(suite: Suite, seed: int, seconds: float) -> None:
    run_seed(seed, seconds, trail=50, suite=suite)


@pytest.mark.parametrize(
    ("suite", "first", "count"),
    [
        *(pytest.param(Suite.BARE, first, 220, id=f"bare-{first}") for first in range(10_000, 11_100, 220)),
        *(pytest.param(Suite.FULL, first, 50, id=f"full-{first}") for first in range(20_000, 20_800, 50)),
        *(pytest.param(Suite.DRIFT, first, 50, id=f"drift-{first}") for first in range(30_000, 30_100, 50)),
    ],
)
def test_invariants_hold_under_faults_and_the_group_recovers(suite: Suite, first: int, count: int) -> None:
    for outcome in run_seeds(Plan(FAULT_SECONDS, suite, trail=50), range(first, first + count)):
        assert not outcome.failure, outcome.failure


@pytest.mark.parametrize("suite", Suite)
def test_a_seed_replays_exactly(suite: Suite) -> None:
    first, second = run_seed(7, 3.0, suite=suite), run_seed(7, 3.0, suite=suite)
    assert first == second
    assert first.event_count > 500


def test_every_hundredth_seed_is_replayed() -> None:
    assert not run_one(Plan(0.5), 200).failure


def test_seeds_differ() -> None:
    assert run_seed(1, 1.0).trace_hash != run_seed(2, 1.0).trace_hash


def test_faults_leave_room_for_work() -> None:
    total, seeds = Total(), range(1, 25)
    for outcome in run_seeds(Plan(3.0), seeds):
        total.add(outcome)
    assert total.violations == 0
    assert total.leaders > len(seeds)
    assert total.commits > 50 * len(seeds)
    assert total.statements > 3 * len(seeds)
    assert total.operations > 10 * len(seeds)
    assert total.changes > len(seeds) // 4
    assert set(total.faults) > {"crash", "pause", "split", "isolate", "slow_disk", "full", "backup"}


@pytest.mark.parametrize(
    ("defect", "suite", "seeds"),
    [
        pytest.param(Defect.ACK_BEFORE_FSYNC, Suite.BARE, 10, id="R3-ack-before-fsync"),
        pytest.param(Defect.VOTE_WITHOUT_LOG_CHECK, Suite.BARE, 40, id="E4-vote-without-log-check"),
        pytest.param(Defect.TRUNCATE_WITHOUT_CONFLICT, Suite.BARE, 30, id="R1-truncate-without-conflict"),
        pytest.param(Defect.READ_WITHOUT_CONFIRMATION, Suite.BARE, 30, id="12-read-without-confirmation"),
        pytest.param(Defect.QUARANTINED_VOTES, Suite.FULL, 60, id="I20-quarantined-votes"),
        pytest.param(Defect.SNAPSHOT_KEEPS_OLD_ROWS, Suite.FULL, 60, id="I14-snapshot-keeps-old-rows"),
    ],
)
def test_simulator_finds_a_defect(defect: Defect, suite: Suite, seeds: int) -> None:
    found = any(outcome.failure for outcome in run_seeds(Plan(4.0, suite, defect), range(1, seeds + 1)))
    assert found, f"{defect.value} survived {seeds} seeds"


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=f"{mutant.rule}-{mutant.defect.value}")
        for mutant in MUTANTS
        if mutant.script or mutant.check
    ],
)
def test_script_or_check_named_as_a_killer_kills(mutant: Mutant) -> None:
    assert judge(mutant).by


def test_every_defect_has_a_killer() -> None:
    assert {mutant.defect for mutant in MUTANTS} == set(Defect) - {Defect.NONE}


def test_failure_names_its_seed_and_how_to_replay_it() -> None:
    with pytest.raises(SimulationFailure, match=r"python -m tests\.simulation --suite bare .*--from 1 ") as failure:
        run_seed(1, 6.0, Defect.ACK_BEFORE_FSYNC, suite=Suite.BARE)
    assert failure.value.rule == "I6"
