"""Scenarios of the Raft core, one script each; their names and first lines name the rules."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from services.consensus.raft.core import RaftCore
from services.consensus.raft.model import BootState, CoreSettings
from tests.simulation.defect import Defect
from tests.simulation.defective_core import DefectiveCore, waits_for_disk
from tests.unit.consensus.core_script import Script, parse, run_block

SCRIPTS = Path(__file__).parent / "core_scripts"


def _is_kept(name: str, defect: Defect) -> bool:
    def new_core(settings: CoreSettings, boot: BootState, seed: int, now: int) -> RaftCore:
        return DefectiveCore(settings, boot, seed, now, defect)

    script = Script(new_core, partial(waits_for_disk, defect))
    blocks = parse((SCRIPTS / f"{name}.txt").read_text())
    return all(run_block(script, block) == block.expected for block in blocks)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script_prints_what_it_expects(path: Path) -> None:
    script = Script()
    for block in parse(path.read_text()):
        assert list(run_block(script, block)) == list(block.expected), "\n".join(block.commands)


@pytest.mark.parametrize(
    ("defect", "name"),
    [
        pytest.param(Defect.ACK_BEFORE_FSYNC, "r3_ack_waits_for_the_disk", id="R3-ack-before-fsync"),
        pytest.param(Defect.VOTE_BEFORE_FSYNC, "c1_vote_waits_for_the_disk", id="C1-vote-before-fsync"),
        pytest.param(Defect.VOTE_FORGOTTEN, "e3_vote_survives_restart", id="I7-vote-forgotten"),
        pytest.param(Defect.VOTE_WITHOUT_LOG_CHECK, "e4_longer_log_wins", id="E4-vote-without-log-check"),
        pytest.param(
            Defect.PROMISE_IGNORED, "e2_majority_of_candidates_refused_while_leader_lives", id="E2-promise-ignored"
        ),
        pytest.param(Defect.PROMISE_CLEARED, "e2_promise_outlives_role_change", id="E2-promise-cleared"),
        pytest.param(Defect.LEADER_WORD_FORGOTTEN, "e2_promise_outlives_role_change", id="L2-leader-word-forgotten"),
        pytest.param(Defect.NO_QUIET_AFTER_START, "e9_quiet_after_start", id="E9-no-quiet-after-start"),
        pytest.param(Defect.OLD_TERM_COMMIT, "r5_figure_8", id="R5-old-term-commit"),
        pytest.param(Defect.LEASE_FROM_ACK_ARRIVAL, "l2_slow_answers_are_worth_less", id="L2-lease-from-ack-arrival"),
        pytest.param(Defect.READ_WITHOUT_CONFIRMATION, "read_index_without_lease", id="read-without-confirmation"),
        pytest.param(Defect.NO_NOOP_BARRIER, "e12_read_refused_before_noop", id="E12-no-noop-barrier"),
        pytest.param(
            Defect.TRUNCATE_WITHOUT_CONFLICT, "r1_stale_prefix_changes_nothing", id="R1-truncate-without-conflict"
        ),
        pytest.param(
            Defect.ACCEPT_AT_WRONG_PREV, "r1_accepts_only_where_the_log_matches", id="R1-accept-at-wrong-prev"
        ),
    ],
)
def test_script_finds_a_defect(defect: Defect, name: str) -> None:
    assert _is_kept(name, Defect.NONE)
    assert not _is_kept(name, defect)
