"""The trace tells everything the core gave out, in lines that the offline check reads."""

from __future__ import annotations

from pathlib import Path

from services.consensus.raft.configuration import GroupMember, MemberKind, configuration_of, encode_configuration
from services.consensus.raft.model import BootState, Entry, EntryKind, HardState, LogMark, Role
from services.consensus.raft.outputs import LeaderLease, Leadership, Output, PersistBatch
from services.consensus.raft.trace import Trace
from tests.proof.member_trace import Line
from tests.proof.trace_check import check_traces, read_trace

GROUP = configuration_of([GroupMember(1), GroupMember(2, kind=MemberKind.LEARNER)])
NOOP = Entry(2, 2, EntryKind.NOOP, 0, b"")
COMMAND = Entry(3, 2, EntryKind.COMMAND, 5, b"command")
CONFIG = Entry(4, 2, EntryKind.CONFIG, 6, encode_configuration(GROUP.promoted(2, 1)))


def traced(file: Path) -> list[Line]:
    with file.open("ab", buffering=0) as out:
        trace = Trace(1, out.write)
        trace.booted(10, BootState(HardState(1, 0, 300), (), 1, LogMark(1, 1), GROUP, 1))
        first = PersistBatch(1, HardState(2, 1, 300), None, (NOOP, COMMAND, CONFIG), 4, 2)
        trace.output(20, Output(persist=(first,), leadership=Leadership(Role.LEADER, 2, 1)))
        trace.durable(21, 1)
        trace.output(21, Output(configuration=GROUP))
        trace.output(22, Output(committed=(NOOP, COMMAND), lease=LeaderLease(2, 7, 300)))
        trace.output(23, Output(persist=(PersistBatch(2, None, 4, (), 3, 2, LogMark(2, 2), LogMark(3, 2)),)))
    return list(read_trace(file))


def test_trace_tells_what_the_core_gave_out_in_order(tmp_path: Path) -> None:
    lines = traced(tmp_path / "trace")
    assert [line["kind"] for line in lines] == ["boot", "write", "role", "durable", "group", "commit", "lease", "write"]
    boot, first, role, durable, group, commit, lease, second = lines
    assert (group["voters"], group["learners"]) == ([1], [2])
    assert boot["configurations"] == [[0, 0, [1], [2]]]
    assert (boot["term"], boot["promise_ns"], boot["mark"], boot["applied"]) == (1, 300, [1, 1], 1)
    assert [entry[:2] for entry in first["entries"]] == [[2, 2], [3, 2], [4, 2]]
    assert first["configurations"] == [[4, 1, [1, 2], []]]
    assert (role["role"], role["term"], durable["batch"]) == ("leader", 2, 1)
    assert (commit["first"], commit["last"], commit["term"]) == (2, 3, 2)
    assert (lease["term"], lease["seq"], lease["until"]) == (2, 7, 300)
    assert (second["truncate"], second["install"], second["compact"]) == (4, [2, 2], [3, 2])


def test_entries_of_other_content_have_another_hash(tmp_path: Path) -> None:
    noop, command, config = (entry[2] for entry in traced(tmp_path / "trace")[1]["entries"])
    assert len({noop, command, config}) == 3


def test_trace_passes_the_check(tmp_path: Path) -> None:
    assert check_traces([traced(tmp_path / "trace")[:4]]).violations == []


def test_lines_that_follow_half_a_line_of_a_killed_process_are_read(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_bytes(b'{"at":1,"memb')
    assert traced(file)[0]["kind"] == "boot"
