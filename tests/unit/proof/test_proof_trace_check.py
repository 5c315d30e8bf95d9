"""The offline check passes the trace of a healthy group, and finds each broken rule in one that was tampered with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.proof.member_trace import Line
from tests.proof.trace_check import check_traces, read_trace

Traces = dict[int, list[Line]]


def line(at: int, member: int, kind: str, **facts: Any) -> Line:
    return {"at": at, "member": member, "kind": kind, **facts}


def boot(at: int, member: int, **facts: Any) -> Line:
    blank = {
        "term": 1,
        "vote": 0,
        "promise_ns": 0,
        "mark": [1, 1],
        "applied": 1,
        "entries": [],
        "configurations": [[0, 0, [1, 2, 3], []]],
    }
    return line(at, member, "boot", **(blank | facts))


def write(at: int, member: int, batch: int, **facts: Any) -> Line:
    return line(at, member, "write", batch=batch, **facts)


def vote(term: int, voted_for: int) -> dict[str, int]:
    return {"term": term, "vote": voted_for, "promise_ns": 300}


def healthy() -> Traces:
    """Member 1 leads term 2 and commits two entries; member 2 is killed, comes back, and leads term 3."""
    return {
        1: [
            boot(1, 1),
            write(10, 1, 1, **vote(2, 1)),
            line(11, 1, "durable", batch=1),
            write(20, 1, 2, entries=[[2, 2, "noop"]], configurations=[]),
            line(20, 1, "role", role="leader", term=2, leader=1),
            line(24, 1, "durable", batch=2),
            line(26, 1, "commit", term=2, first=2, last=2),
            line(27, 1, "lease", term=2, seq=1, until=300),
            write(30, 1, 3, entries=[[3, 2, "a"]], configurations=[]),
            line(32, 1, "durable", batch=3),
            line(33, 1, "commit", term=2, first=3, last=3),
            line(50, 1, "lease", term=2, seq=1, until=320),
            line(330, 1, "lease", term=2, seq=1, until=0),
            write(430, 1, 4, **vote(3, 2)),
            line(430, 1, "role", role="follower", term=3, leader=0),
            line(431, 1, "durable", batch=4),
        ],
        2: [
            boot(2, 2),
            write(12, 2, 1, **vote(2, 1)),
            line(13, 2, "durable", batch=1),
            write(21, 2, 2, entries=[[2, 2, "noop"]], configurations=[]),
            line(23, 2, "durable", batch=2),
            write(31, 2, 3, entries=[[3, 2, "a"]], configurations=[]),
            line(32, 2, "durable", batch=3),
            line(35, 2, "commit", term=2, first=2, last=3),
            # Written to disk, and killed before it was told: not reported as durable, but there.
            write(36, 2, 4, entries=[[4, 2, "b"]], configurations=[]),
            boot(100, 2, **vote(2, 1), applied=3, entries=[[2, 2, "noop"], [3, 2, "a"], [4, 2, "b"]]),
            write(420, 2, 1, **vote(3, 2)),
            line(421, 2, "durable", batch=1),
            write(440, 2, 2, entries=[[5, 3, "noop"]], configurations=[]),
            line(440, 2, "role", role="leader", term=3, leader=2),
            line(441, 2, "durable", batch=2),
            line(450, 2, "commit", term=3, first=4, last=5),
            line(451, 2, "lease", term=3, seq=2, until=700),
        ],
        3: [
            boot(3, 3),
            write(14, 3, 1, **vote(2, 1)),
            write(22, 3, 2, entries=[[2, 2, "noop"]], configurations=[]),
            line(25, 3, "durable", batch=2),
            write(40, 3, 3, entries=[[3, 2, "x"]], truncate=3, configurations=[]) | {"entries": [[3, 2, "a"]]},
            line(41, 3, "durable", batch=3),
            write(442, 3, 4, **vote(3, 2), entries=[[4, 2, "b"], [5, 3, "noop"]], configurations=[]),
            line(443, 3, "durable", batch=4),
        ],
        9: [
            line(60, 9, "grant", token=3),
            line(61, 9, "statement", token=3, instance="db1"),
            line(460, 9, "grant", token=6),
            line(461, 9, "statement", token=6, instance="db1"),
        ],
    }


def violations(traces: Traces) -> list[str]:
    return check_traces([traces[member] for member in sorted(traces)]).violations


def test_healthy_group_passes_and_is_counted() -> None:
    report = check_traces(list(healthy().values()))
    assert report.violations == []
    assert (report.counts["terms_led"], report.counts["entries_committed"], report.counts["members"]) == (2, 4, 3)


def test_configuration_that_came_in_a_snapshot_counts() -> None:
    traces = healthy()
    traces[3] = [
        boot(3, 3, term=0, mark=[0, 0], applied=0, configurations=[[0, 0, [], []]]),
        write(451, 3, 1, install=[4, 2]),
        line(451, 3, "group", voters=[1, 2, 3], learners=[]),
        line(452, 3, "durable", batch=1),
        write(460, 3, 2, **vote(4, 3)),
        line(461, 3, "durable", batch=2),
        write(462, 3, 3, entries=[[5, 3, "noop"], [6, 4, "noop"]], configurations=[]),
        line(462, 3, "role", role="leader", term=4, leader=3),
        line(463, 3, "durable", batch=3),
        line(464, 3, "commit", term=4, first=5, last=6),
    ]
    assert violations(traces)[-1].startswith("I6: 6 is durable on [3] of [1, 2, 3]:")


def two_leaders(traces: Traces) -> None:
    traces[3].append(line(50, 3, "role", role="leader", term=2, leader=3))


def leader_truncates(traces: Traces) -> None:
    traces[1].insert(8, write(28, 1, 9, truncate=3))


def content_differs(traces: Traces) -> None:
    traces[3][4]["entries"] = [[3, 2, "other"]]


def log_has_a_gap(traces: Traces) -> None:
    traces[3][6]["entries"] = [[5, 3, "noop"]]


def leader_lacks_a_committed_entry(traces: Traces) -> None:
    traces[2] = [
        *traces[2][:5],
        write(420, 2, 4, **vote(3, 2)),
        write(440, 2, 5, entries=[[3, 3, "noop"]], configurations=[]),
        line(440, 2, "role", role="leader", term=3, leader=2),
    ]
    traces[3] = [*traces[3][:4], write(29, 3, 3, entries=[[3, 2, "a"]]), line(31, 3, "durable", batch=3)]


def another_entry_is_applied(traces: Traces) -> None:
    traces[3] = [
        *traces[3][:4],
        write(40, 3, 3, entries=[[3, 4, "z"]], configurations=[]),
        line(50, 3, "commit", term=4, first=2, last=3),
    ]


def committed_before_it_is_durable(traces: Traces) -> None:
    traces[2][6]["at"] = 39


def voted_twice(traces: Traces) -> None:
    traces[3][6] |= vote(2, 3)


def vote_is_forgotten(traces: Traces) -> None:
    traces[2][9] |= vote(1, 0)


def leases_overlap(traces: Traces) -> None:
    traces[1][11]["until"] = 500
    del traces[1][12]


def lease_of_a_killed_leader_overlaps(traces: Traces) -> None:
    traces[1] = traces[1][:12]
    traces[1][11]["until"] = 500


def follower_has_a_lease(traces: Traces) -> None:
    traces[3].append(line(800, 3, "lease", term=3, seq=9, until=900))


def token_does_not_grow(traces: Traces) -> None:
    traces[9][2]["token"] = 3


def older_executor_acts_later(traces: Traces) -> None:
    traces[9].append(line(462, 9, "statement", token=3, instance="db1"))


def statement_without_a_lease(traces: Traces) -> None:
    traces[9].insert(2, line(400, 9, "statement", token=3, instance="db1"))


def two_configurations_open(traces: Traces) -> None:
    traces[1].insert(9, write(31, 1, 9, entries=[[4, 2, "c"], [5, 2, "d"]], configurations=TWO_CHANGES))


TWO_CHANGES = [[4, 1, [1, 2, 3, 4], []], [5, 4, [1, 2, 3, 4, 5], []]]


def two_voters_change_at_once(traces: Traces) -> None:
    change = [[4, 0, [1, 2, 3, 4, 5], []]]
    traces[1].insert(10, write(34, 1, 9, entries=[[4, 2, "c"]], configurations=change))


def commit_leaves_one_out(traces: Traces) -> None:
    traces[2][7]["first"] = 3


def committed_entry_is_truncated(traces: Traces) -> None:
    traces[2].insert(8, write(35, 2, 4, truncate=3))


def term_falls(traces: Traces) -> None:
    traces[3].append(line(500, 3, "role", role="follower", term=1, leader=0))


def durable_entry_is_gone(traces: Traces) -> None:
    traces[2][9]["entries"] = [[2, 2, "noop"]]


@pytest.mark.parametrize(
    ("tamper", "rule"),
    [
        pytest.param(two_leaders, "I1", id="two leaders of one term"),
        pytest.param(leader_truncates, "I2", id="a leader truncates"),
        pytest.param(content_differs, "I3", id="one place, two contents"),
        pytest.param(log_has_a_gap, "S3", id="a gap"),
        pytest.param(leader_lacks_a_committed_entry, "I4", id="an incomplete leader"),
        pytest.param(another_entry_is_applied, "I5", id="two entries applied at one index"),
        pytest.param(committed_before_it_is_durable, "I6", id="committed too early"),
        pytest.param(voted_twice, "I7", id="two votes in one term"),
        pytest.param(vote_is_forgotten, "I7", id="a vote is forgotten in a crash"),
        pytest.param(leases_overlap, "I8", id="two leases"),
        pytest.param(lease_of_a_killed_leader_overlaps, "I8", id="a lease while a killed leader's runs"),
        pytest.param(follower_has_a_lease, "I8", id="a follower's lease"),
        pytest.param(token_does_not_grow, "I9", id="a token twice"),
        pytest.param(older_executor_acts_later, "I9", id="an older executor after a newer"),
        pytest.param(statement_without_a_lease, "I10", id="a statement between leases"),
        pytest.param(two_configurations_open, "I11", id="two configurations open"),
        pytest.param(two_voters_change_at_once, "I11", id="two voters at once"),
        pytest.param(commit_leaves_one_out, "I16", id="a commit leaves one out"),
        pytest.param(committed_entry_is_truncated, "I16", id="a committed entry is truncated"),
        pytest.param(term_falls, "I16", id="a term falls"),
        pytest.param(durable_entry_is_gone, "S2", id="a durable entry is gone after a start"),
    ],
)
def test_broken_rule_is_found(tamper: Callable[[Traces], None], rule: str) -> None:
    traces = copy.deepcopy(healthy())
    tamper(traces)
    assert any(violation.startswith(f"{rule}:") for violation in violations(traces)), violations(traces)


def test_half_a_line_of_a_killed_process_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    whole = [boot(1, 1), boot(2, 1)]
    file.write_text(f'{json.dumps(whole[0])}\n{{"at": 1, "mem\n\n{json.dumps(whole[1])}\n{{"at":', encoding="utf-8")
    assert list(read_trace(file)) == whole


def test_damage_in_the_middle_of_a_trace_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(f'{{"at": 1, "mem\n{json.dumps(line(1, 1, "durable", batch=1))}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="not a line of a trace"):
        list(read_trace(file))
