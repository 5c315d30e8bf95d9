"""Every rule has a test that names it, and every rule that the code cites is one (`docs/consensus-rules.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RULES = re.findall(r"^\| ([A-Z]\d+) \|", (ROOT / "docs/consensus-rules.md").read_text(), re.MULTILINE)
CITED = re.compile(r"\b([TCERLMAPFSNWI][1-9]\d?)\b")

SHOWN_BY = {
    "T4": "tests/unit/consensus/test_consensus_machine.py::test_machine_time_never_goes_back",
    "R9": "tests/unit/consensus/test_consensus_store_writer.py::test_what_queued_meanwhile_is_the_next_transaction",
    "M9": "tests/unit/consensus/test_consensus_peers.py::test_changed_endpoint_is_followed",
    "A1": "tests/unit/consensus/test_consensus_machine.py::test_any_history_keeps_the_invariants",
    "A2": "tests/unit/consensus/test_consensus_machine.py::test_write_under_a_token_that_is_not_the_newest_is_refused",
    "A5": "tests/unit/consensus/test_consensus_machine.py::test_commands_survive_the_log",
    "P2": "tests/unit/consensus/test_consensus_requests.py::test_one_entry_forgets_a_bounded_number",
    "F11": "tests/unit/consensus/test_consensus_machine.py::test_write_under_a_token_that_is_not_the_newest_is_refused",
    "F12": "tests/unit/recovery/test_recovery_lease.py::test_statement_is_refused_when_the_lease_is",
    "S6": "tests/simulation/test_simulation.py::test_invariants_hold_under_faults_and_the_group_recovers",
    "W2": "tests/unit/consensus/test_consensus_peers.py::test_newer_heartbeat_and_ack_replace_unsent_older_ones",
    "W3": "tests/unit/consensus/test_consensus_peers.py::test_broken_stream_is_reported_and_opened_again",
    "W4": "tests/simulation/test_simulation.py::test_invariants_hold_under_faults_and_the_group_recovers",
}
"""Tests of rules that no test text names."""


def _words_of_tests() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("*.[pt][yx]*"):
        if path.suffix in (".py", ".txt") and path != Path(__file__):
            yield from CITED.findall(path.read_text())


NAMED = frozenset(_words_of_tests())


def test_list_of_rules_is_read() -> None:
    assert len(RULES) == len(set(RULES)) > 90


@pytest.mark.parametrize("rule", RULES)
def test_rule_has_a_test_that_names_it(rule: str) -> None:
    if rule in NAMED:
        return
    path, _, name = SHOWN_BY.get(rule, "").partition("::")
    assert path, f"no test names {rule}"
    assert f"def {name}(" in (ROOT / path).read_text(), f"{rule}: there is no {path}::{name}"


def test_code_cites_only_rules_of_the_list() -> None:
    cited = {
        (rule, path.name)
        for path in (ROOT / "services/consensus").rglob("*.py")
        for rule in CITED.findall(path.read_text())
    }
    assert cited
    assert not {(rule, name) for rule, name in cited if rule not in RULES}
