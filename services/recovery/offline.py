"""`python -m services.recovery.offline`: plans a recovery of a topology in a file; asks no service, no server.

    offline --failed HOST:PORT [--kind KIND] [--target HOST:PORT] [--any-target] FILE

Prints the plan that the recovery service would make of this topology as one JSON object, a
`primacy.recovery.v1.FailoverPlan`: `chosen`, `candidates` in order with verdict and reason, `steps`, and so on. FILE is
protobuf JSON of a `TopologySnapshot`, as `primacy topology --output json` writes it; `-` is standard input. Beside the
snapshot's own fields it may have `policy`, a `primacy.recovery.v1.PlanningPolicy`.

Exit codes: 0 planned; 1 what was asked for cannot be done, and the plan says why; 2 bad arguments, or the file is not a
topology or contradicts itself: standard error says which field in which line, and nothing was written to standard
output; 3 the instance is not in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from google.protobuf import json_format

from services.recovery.case import read_case
from services.recovery.convert import plan_to_proto
from services.recovery.model import FailoverPlan, RecoveryKind
from services.recovery.planning import kind_if_dead, plan
from services.recovery.situation import Situation
from services.shared.runtime.text_input import problem_of, read_text
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot_file import SnapshotFileError

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNKNOWN: Final = 3
_KINDS: Final = {kind.value.replace("_", "-"): kind for kind in RecoveryKind}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make one plan and return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        situation = read_case(read_text(given.file), given.failed)
    except (OSError, UnicodeDecodeError, SnapshotFileError) as error:
        return _fail(f"{given.file}: {problem_of(error)}", EXIT_USAGE)
    if given.failed not in situation.snapshot.instances and not situation.replicas:
        return _fail(f"{given.failed} is not in {given.file}, and nobody there replicates from it", EXIT_UNKNOWN)
    planned = plan(_asked(situation, given))
    sys.stdout.write(_json(planned) + "\n")
    return 0 if planned.chosen is not None and planned.refusal is None else EXIT_REFUSED


def _asked(situation: Situation, given: argparse.Namespace) -> Situation:
    kind = _KINDS[given.kind] if given.kind else kind_if_dead(situation)
    return replace(situation, kind=kind, target=given.target, any_target=given.any_target)


def _json(planned: FailoverPlan) -> str:
    values = json_format.MessageToDict(
        plan_to_proto(planned), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(values, ensure_ascii=False)


def _fail(problem: str, code: int) -> int:
    sys.stderr.write(f"plan: {problem}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.recovery.offline", description="Plan a recovery of a topology in a file."
    )
    parser.add_argument("file", metavar="FILE", help="TopologySnapshot in protobuf JSON; - for standard input")
    parser.add_argument("--failed", required=True, type=InstanceKey.parse, metavar="HOST:PORT")
    parser.add_argument("--kind", choices=sorted(_KINDS), help="default: what its place in the topology suggests")
    parser.add_argument("--target", type=InstanceKey.parse, metavar="HOST:PORT", help="who is to take over")
    parser.add_argument("--any-target", action="store_true", help="switchover: whoever is best, when nobody is named")
    return parser


if __name__ == "__main__":
    sys.exit(main())
