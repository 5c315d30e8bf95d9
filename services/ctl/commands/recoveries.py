"""`primacy recoveries`: what was repaired, what is being repaired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

import typer
from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.api import RECOVERY
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.follow import follow, outcome
from services.ctl.session import (
    DEFAULT_NODES,
    DEFAULT_TIMEOUT,
    NodesOption,
    Output,
    OutputOption,
    Session,
    TimeoutOption,
    run,
)
from services.ctl.text import columns
from services.ctl.views.recoveries import recoveries_lines, recovery_cells, recovery_lines

_LOOK_AGAIN_S: Final = 1.0
_KEPT: Final = 100
"""How many of the newest recoveries are listed: one page."""


def recoveries(
    recovery_id: Annotated[str, typer.Argument(metavar="[ID]", help="Show this one in full; default: list all.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on and show every change.")] = False,
    cluster: Annotated[str, typer.Option(metavar="CLUSTER", help="Only this cluster: its id or exact alias.")] = "",
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List recoveries, or show one step by step.

    Newest first, the last 100. With an id and --watch it ends with the recovery: code 0 when it succeeded, 5 with
    losses, 1 when it failed.
    """
    session = Session.of(nodes, output, timeout)
    if recovery_id and watch:
        run(session, lambda suite: _watch_one(session, suite, recovery_id))
    elif recovery_id:
        run(session, lambda suite: _show_one(session, suite, recovery_id))
    elif watch:
        run(session, lambda suite: _watch_all(session, suite, cluster))
    else:
        run(session, lambda suite: _show_all(session, suite, cluster))


async def _show_one(session: Session, suite: Suite, recovery_id: str) -> Exit:
    request = pb.GetRecoveryRequest(recovery_id=recovery_id)
    _show(session, (await suite.first(RECOVERY.call(lambda stub: stub.GetRecovery, request))).recovery)
    return Exit.OK


def _show(session: Session, recovery: pb.Recovery) -> None:
    session.show(lambda: recovery_lines(recovery), recovery)


async def _watch_one(session: Session, suite: Suite, recovery_id: str) -> Exit:
    last = pb.Recovery()
    async for recovery in follow(suite, recovery_id):
        _show(session, recovery)
        last = recovery
    return outcome(last)


async def _show_all(session: Session, suite: Suite, cluster: str) -> Exit:
    found = await list_recoveries(suite, cluster)
    session.show(lambda: recoveries_lines(found), {"recoveries": found})
    return Exit.OK


async def _watch_all(session: Session, suite: Suite, cluster: str) -> Exit:
    async for recovery in changes(suite, cluster):
        _show_briefly(session, recovery)
    return Exit.OK


def _show_briefly(session: Session, recovery: pb.Recovery) -> None:
    session.show(lambda: columns([recovery_cells(recovery)]), recovery)


async def changes(suite: Suite, cluster: str) -> AsyncIterator[pb.Recovery]:
    """Yield the recoveries there are, oldest first, then each that is new or changed; looks once a second."""
    seen: dict[str, bytes] = {}
    while True:
        for recovery in reversed(await list_recoveries(suite, cluster)):
            content = recovery.SerializeToString(deterministic=True)
            if seen.get(recovery.recovery_id) != content:
                seen[recovery.recovery_id] = content
                yield recovery
        await asyncio.sleep(_LOOK_AGAIN_S)


async def list_recoveries(suite: Suite, cluster: str) -> list[pb.Recovery]:
    """Return the newest recoveries, newest first, one page."""
    request = pb.ListRecoveriesRequest(cluster=cluster, page_size=_KEPT)
    return list((await suite.first(RECOVERY.call(lambda stub: stub.ListRecoveries, request))).recoveries)
