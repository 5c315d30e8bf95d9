"""`primacy plan`: what a recovery would do, without doing it; of a topology in a file as well.

Of a file, `python -m services.recovery.offline` makes the plan, whose planner it is: the command line only starts it.
"""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer
from google.protobuf import json_format
from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.api import RECOVERY
from services.ctl.arguments import parse_endpoint, parse_instance
from services.ctl.client import Suite
from services.ctl.failure import CtlError, Exit
from services.ctl.program import end_as, run_program
from services.ctl.render import Renderer
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.plan import plan_lines

_OFFLINE: Final = "services.recovery.offline"
_EXITS: Final = {0: Exit.OK, 1: Exit.REFUSED, 2: Exit.USAGE, 3: Exit.NOT_FOUND}
_KIND: Final = "RECOVERY_KIND_"
KINDS: Final = {
    name.removeprefix(_KIND).lower().replace("_", "-"): number for name, number in pb.RecoveryKind.items() if number
}


def plan(
    instance: Annotated[str, typer.Argument(metavar="[HOST:PORT]", help="The instance to take as dead.")] = "",
    failed: Annotated[str, typer.Option(metavar="HOST:PORT", help="The same as the argument.")] = "",
    kind: Annotated[
        str, typer.Option(metavar="KIND", help=f"{', '.join(KINDS)}; default: what its place suggests, were it dead.")
    ] = "",
    target: Annotated[str, typer.Option(metavar="HOST:PORT", help="Takeover, switchover: who is to take over.")] = "",
    snapshot: Annotated[
        str, typer.Option(metavar="FILE", help="Plan for the topology in a file; - for standard input. Asks no node.")
    ] = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "10s",
) -> None:
    """Show what a recovery would do; changes nothing.

    Candidates with the reason each is taken or refused, the statements per server, what may be lost. The file of
    --snapshot is what `primacy topology --output json` writes; it may also have `policy` that steers the choice (such
    as {"prevent_cross_region": true}): see PlanningPolicy in recovery.proto. A switchover without --target goes to the
    best replica. Code 1 when what was asked for cannot be done; 2 when the file is malformed.
    """
    named = failed or instance
    if not named or (failed and instance and failed != instance):
        raise CtlError("name one instance, as HOST:PORT or with --failed", Exit.USAGE)
    if kind and kind not in KINDS:
        raise CtlError(f"{kind!r} is no kind; kinds are {', '.join(KINDS)}", Exit.USAGE)
    if snapshot:
        _plan_offline(snapshot, named, kind, target, output)
        return
    session = Session.of(nodes, output, timeout)
    request = pb.PlanRequest(
        failed=parse_endpoint(named),
        kind=pb.RecoveryKind.ValueType(KINDS[kind] if kind else 0),
        target=parse_endpoint(target) if target else None,
    )

    async def work(suite: Suite) -> Exit:
        found = (await suite.first(RECOVERY.call(lambda stub: stub.Plan, request))).plan
        session.show(lambda: plan_lines(found), found)
        return Exit.OK if found.HasField("chosen") and not found.refusal else Exit.REFUSED

    run(session, work)


def _plan_offline(snapshot: str, failed: str, kind: str, target: str, output: Output) -> None:
    arguments = ["--failed", str(parse_instance(failed)), "--any-target"]
    arguments += ["--kind", kind] if kind else []
    arguments += ["--target", str(parse_instance(target))] if target else []
    done = run_program(_OFFLINE, (*arguments, "--", snapshot), capture=True)
    if done.stdout and output is Output.JSON:
        sys.stdout.write(done.stdout)
    elif done.stdout:
        Renderer().print(plan_lines(json_format.Parse(done.stdout, pb.FailoverPlan())))
    end_as(done, _EXITS)
