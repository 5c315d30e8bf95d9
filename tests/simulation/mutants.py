"""One defect per rule, and who kills it (21.4): `python -m tests.simulation.mutants`.

A killer is the script of the core that is named, or the simulator: the first seed that breaks an invariant. A rule
whose defect survives has no test.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from services.consensus.raft.core import RaftCore
from services.consensus.raft.model import BootState, CoreSettings
from tests.simulation.core_checks import refuses_notice_from_before_a_truncation
from tests.simulation.defect import Defect
from tests.simulation.defective_core import DefectiveCore, waits_for_disk
from tests.simulation.seed_runs import Plan, run_one
from tests.simulation.weights import Suite
from tests.unit.consensus import core_script
from tests.unit.consensus.core_script import NewCore, Script, parse, run_block

SCRIPTS = Path(core_script.__file__).parent / "core_scripts"
FIRST_SEED = 1
MAX_SEEDS = 5_000
FAULT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """A defect, the rule it breaks, and who kills it: a script, a check, or the simulator when neither is named."""

    defect: Defect
    rule: str
    script: str = ""
    suite: Suite = Suite.FULL
    check: Callable[[NewCore], bool] | None = None

    @property
    def killer(self) -> str:
        """Name of the killer."""
        return self.script or (self.check.__name__ if self.check else f"simulator, {self.suite.value}")


MUTANTS: tuple[Mutant, ...] = (
    Mutant(Defect.ACK_BEFORE_FSYNC, "R3", suite=Suite.BARE),
    Mutant(Defect.VOTE_BEFORE_FSYNC, "C1", "c1_vote_waits_for_the_disk"),
    Mutant(Defect.VOTE_WITHOUT_LOG_CHECK, "E4", suite=Suite.BARE),
    Mutant(Defect.VOTE_FORGOTTEN, "I7", "e3_vote_survives_restart"),
    Mutant(Defect.PROMISE_IGNORED, "E2", "e2_majority_of_candidates_refused_while_leader_lives"),
    Mutant(Defect.PROMISE_CLEARED, "E2", "e2_promise_outlives_role_change"),
    Mutant(Defect.NO_QUIET_AFTER_START, "E9", "e9_quiet_after_start"),
    Mutant(Defect.LEADER_WORD_FORGOTTEN, "L2", "e2_promise_outlives_role_change"),
    Mutant(Defect.LEASE_FROM_ACK_ARRIVAL, "L2", "l2_slow_answers_are_worth_less"),
    Mutant(Defect.LEASE_FROM_LAST_TICK, "L1", "read_index_without_lease"),
    Mutant(Defect.LEASE_AFTER_SURRENDER, "8.1"),
    Mutant(Defect.FORCE_WITHOUT_TERM_CHECK, "E8", "e8_forced_vote_at_wrong_term"),
    Mutant(Defect.OLD_TERM_COMMIT, "R5", "r5_figure_8"),
    Mutant(Defect.TRUNCATE_WITHOUT_CONFLICT, "R1", suite=Suite.BARE),
    Mutant(Defect.ACCEPT_AT_WRONG_PREV, "R1", suite=Suite.BARE),
    Mutant(Defect.READ_WITHOUT_CONFIRMATION, "12", suite=Suite.BARE),
    Mutant(Defect.NO_NOOP_BARRIER, "E12", suite=Suite.BARE),
    Mutant(Defect.NO_NOOP_BARRIER_FOR_CONFIG, "M2", "m2_change_before_the_noop_is_refused"),
    Mutant(Defect.TWO_CHANGES, "M2", "m2_two_changes_refused"),
    Mutant(Defect.CONFIG_AT_COMMIT, "M1", "m3_add_promote_remove"),
    Mutant(Defect.FALLBACK_CONFIG_LOST, "M1", "m1_config_truncated"),
    Mutant(Defect.LEARNER_COUNTED, "M8", "m8_learner_is_not_counted"),
    Mutant(Defect.LEADER_REMOVES_ITSELF, "M5", "m5_leader_does_not_remove_itself"),
    Mutant(Defect.SNAPSHOT_KEEPS_OLD_ROWS, "N4"),
    Mutant(Defect.SNAPSHOT_DROPS_SUFFIX, "N5", "n5_snapshot_of_an_entry_in_the_log_keeps_what_is_behind_it"),
    Mutant(Defect.APPLIED_INDEX_ALONE, "S4"),
    Mutant(Defect.DEDUP_FORGOTTEN_IN_SNAPSHOT, "P1"),
    Mutant(Defect.GRANT_WITHOUT_TERM_CHECK, "F1"),
    Mutant(Defect.STEP_WITHOUT_TOKEN_CHECK, "F6"),
    Mutant(Defect.ADOPT_WITHOUT_WAIT, "F5"),
    Mutant(Defect.ABA_ACCEPTED, "C2", check=refuses_notice_from_before_a_truncation),
    Mutant(Defect.QUARANTINED_ACKNOWLEDGES, "14.6", "quarantine_14_6_counts_for_nothing"),
    Mutant(Defect.QUARANTINED_VOTES, "14.6"),
    Mutant(Defect.COMPACTION_ABOVE_TRANSFER, "N1"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `by` is the script, or the invariant a seed broke; empty = it survived."""

    mutant: Mutant
    by: str
    seeds: int

    def line(self) -> str:
        """Return a line of the table."""
        name, rule = self.mutant.defect.value, self.mutant.rule
        fate = f"killed by {self.by}" if self.by else "SURVIVED"
        return f"{name:30} {rule:6} {self.mutant.killer:60} {self.seeds or '-':>5}  {fate}"


def core_with(defect: Defect) -> NewCore:
    """Return what makes cores with a defect."""

    def new_core(settings: CoreSettings, boot: BootState, seed: int, now: int) -> RaftCore:
        return DefectiveCore(settings, boot, seed, now, defect)

    return new_core


def keeps_script(name: str, defect: Defect) -> bool:
    """Tell whether a core with a defect does what a script expects."""
    script = Script(core_with(defect), partial(waits_for_disk, defect))
    blocks = parse((SCRIPTS / f"{name}.txt").read_text())
    return all(run_block(script, block) == block.expected for block in blocks)


def judge(mutant: Mutant, max_seeds: int = MAX_SEEDS) -> Verdict:
    """Try to kill a mutant."""
    if mutant.script:
        killed = keeps_script(mutant.script, Defect.NONE) and not keeps_script(mutant.script, mutant.defect)
        return Verdict(mutant, "its script" if killed else "", 0)
    if mutant.check is not None:
        killed = mutant.check(core_with(Defect.NONE)) and not mutant.check(core_with(mutant.defect))
        return Verdict(mutant, "its check" if killed else "", 0)
    plan = Plan(FAULT_SECONDS, mutant.suite, mutant.defect)
    for number in range(1, max_seeds + 1):
        seed = FIRST_SEED + number - 1
        outcome = run_one(plan, seed)
        if outcome.rule and not run_one(replace(plan, defect=Defect.NONE), seed).rule:
            return Verdict(mutant, outcome.rule, number)
    return Verdict(mutant, "", max_seeds)


def judge_all(mutants: Sequence[Mutant], max_seeds: int, jobs: int) -> list[Verdict]:
    """Try to kill all of them, several at a time; print each verdict as it comes."""
    verdicts = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for verdict in pool.imap_unordered(partial(judge, max_seeds=max_seeds), mutants):
            print(verdict.line(), flush=True)
            verdicts.append(verdict)
    return verdicts


def main() -> int:
    """Print the table; exit 1 when a mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=MAX_SEEDS, help="seeds a mutant must survive to be free")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--only", type=Defect, choices=list(Defect), action="append", help="these defects only")
    options = parser.parse_args()
    begun = time.monotonic()
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.defect in options.only]
    print(f"{'mutant':30} {'rule':6} {'killer':60} {'seeds':>5}")
    verdicts = judge_all(chosen, options.seeds, options.jobs)
    survivors = [verdict.mutant.defect.value for verdict in verdicts if not verdict.by]
    print(
        f"mutants={len(verdicts)} killed={len(verdicts) - len(survivors)} survived={len(survivors)} "
        f"seconds={time.monotonic() - begun:.0f} {' '.join(survivors)}".rstrip()
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
