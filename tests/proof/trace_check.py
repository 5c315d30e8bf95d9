"""Replays the invariants I1-I11 of section 21.3 on traces of real members: `python -m tests.proof.trace_check FILES`.

All members ran on one host, so their times compare. A trace tells everything before others can see it; what a killed
process had told nobody may be missing from its trace, or may be torn in its last line. Beside members, executors may
tell of their grants (`grant`: token) and statements (`statement`: token, instance), with I9 and I10 to keep.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.proof.invariants import Report, TraceCheck
from tests.proof.member_trace import Line


def read_trace(path: Path) -> Iterator[Line]:
    """Return the lines of a file in their order; half a line that a killed process left is passed over.

    Raises:
        ValueError: A line cannot be read, and its process went on after it.
    """
    torn = ""
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if not text:
            continue
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            line, torn = None, torn or text
        if line is None:
            continue
        if torn and line["kind"] != "boot":
            raise ValueError(f"{path}: not a line of a trace: {torn[:80]}")
        torn = ""
        yield line


def check_traces(traces: Iterable[Sequence[Line]]) -> Report:
    """Check the traces of several members and executors against one another."""
    check = TraceCheck()
    lines = [
        (line["at"], place, number, line) for place, trace in enumerate(traces) for number, line in enumerate(trace)
    ]
    for _, _, _, line in sorted(lines, key=lambda each: each[:3]):
        check.take(line)
    return check.finish()


def main() -> int:
    """Check the files the command line names; print what is wrong, and one line in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.trace_check")
    parser.add_argument("files", nargs="+", type=Path, help="traces of all members of one group, and of executors")
    options = parser.parse_args()
    report = check_traces([list(read_trace(path)) for path in options.files])
    for violation in report.violations:
        print(violation)
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
