"""`python -m services.analysis.offline FILE`: what the rules say of a topology in a file; asks no service, no server.

Prints one line for each finding, in list order; with `--output json` one object a line:

    {"instance": "db0:3306", "code": "DEAD_PRIMARY", "orchestrator_code": "DeadMaster", "actionable": true,
     "structure_warnings": ["NoLoggingReplicasStructureWarning"], "description": "…", …}

Findings of instances in downtime are left out, as the downtime asks, unless `--downtimed` is given; so are those about
replicas all of which are in downtime. An instance in which nothing is wrong has no line, unless `--healthy` is given.
With `--advice` lines follow about what is weak beyond the decision table; they have `advice` in place of a code.

Exit codes: 0 the file was judged, whatever was found; 2 bad arguments, or the file is not a topology: standard error
says which field in which line, and nothing was written to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from services.analysis.advice import Advice
from services.analysis.analyst import Analyst
from services.analysis.case import Case, read_case
from services.analysis.kinds import FindingKind
from services.analysis.model import Finding
from services.shared.runtime.clock import utc_now
from services.shared.runtime.text_input import problem_of, read_text
from services.shared.topology.snapshot_file import SnapshotFileError

EXIT_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge one file and return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        case = read_case(read_text(given.file))
    except (OSError, UnicodeDecodeError, SnapshotFileError) as error:
        sys.stderr.write(f"analyze: {given.file}: {problem_of(error)}\n")
        return EXIT_USAGE
    now = case.now or utc_now()
    analyst = _analyst_of(case, now)
    found = _found(analyst, now, downtimed=given.downtimed, healthy=given.healthy)
    advice = analyst.advice() if given.advice else ()
    json_wanted = given.output == "json"
    lines = [*map(_as_json if json_wanted else _as_text, found)]
    lines += map(_advice_as_json if json_wanted else _advice_as_text, advice)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _analyst_of(case: Case, now: datetime) -> Analyst:
    analyst = Analyst(case.limits)
    analyst.take(case.snapshot, now)
    analyst.take_over(case.memories, now)
    return analyst


def _found(analyst: Analyst, now: datetime, *, downtimed: bool, healthy: bool) -> list[Finding]:
    """Return what is found, in list order.

    Args:
        analyst: Knows the topology.
        now: When it is.
        downtimed: Also findings that downtime tells to leave alone.
        healthy: Also instances that are analysed and in which nothing is wrong.
    """
    found = analyst.findings()
    if healthy:
        found = (*found, *analyst.healthy(now))
    shown = (finding for finding in found if downtimed or not finding.skippable)
    return sorted(shown, key=lambda finding: finding.place)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.analysis.offline", description="Judge a topology in a file."
    )
    parser.add_argument("file", metavar="FILE", help="TopologySnapshot in protobuf JSON; - for standard input")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("--downtimed", action="store_true", help="also what downtime tells to leave alone")
    parser.add_argument("--healthy", action="store_true", help="also instances in which nothing is wrong")
    parser.add_argument("--advice", action="store_true", help="also what is weak beyond the decision table")
    return parser


def _advice_as_text(advice: Advice) -> str:
    return f"{advice.instance} (cluster {advice.cluster_id}): {advice.kind.value}\n  {advice.seen}; {advice.remedy}"


def _advice_as_json(advice: Advice) -> str:
    told = {
        "instance": str(advice.instance),
        "advice": advice.kind.name,
        "description": f"{advice.kind.value}: {advice.seen}",
        "remedy": advice.remedy,
        "cluster_id": advice.cluster_id,
    }
    return json.dumps(told, ensure_ascii=False)


def _as_text(finding: Finding) -> str:
    words = (
        [finding.kind.orchestrator_code] if finding.kind is not FindingKind.NO_PROBLEM or not finding.warnings else []
    )
    summary = ", ".join([*words, *(warning.orchestrator_name for warning in finding.warnings)])
    marks = " [in downtime]" if finding.skippable else ""
    return f"{finding.instance} (cluster {_cluster(finding)}): {summary}{marks}\n  {finding.description}"


def _cluster(finding: Finding) -> str:
    return finding.cluster_alias or finding.cluster_id or str(finding.instance)


def _as_json(finding: Finding) -> str:
    recovery = finding.kind.consequence.recovery
    told: dict[str, Any] = {
        "instance": str(finding.instance),
        "code": finding.kind.name,
        "orchestrator_code": finding.kind.orchestrator_code,
        "actionable": finding.actionable,
        "structure_warnings": [warning.orchestrator_name for warning in finding.warnings],
        "description": finding.description,
        "cluster_id": finding.cluster_id,
        "cluster_alias": finding.cluster_alias,
        "instance_type": finding.instance_type.value,
        "recovery": recovery.name if recovery is not None else "",
        "registered": finding.kind.consequence.registered,
        "emergencies": [each.name for each in finding.kind.consequence.emergency],
        "downtimed": finding.downtimed,
        "replicas_downtimed": finding.replicas_downtimed,
        "graced": finding.graced,
        "counts": asdict(finding.counts),
        "replicas": [str(key) for key in finding.replicas],
    }
    return json.dumps(told, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
