"""`primacy primaries`: who takes the writes."""

from __future__ import annotations

from typing import Annotated

import typer
from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import REGISTRY
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.paging import all_pages
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
from services.ctl.views.primaries import primaries_lines, primary_line


def primaries(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on and show every change.")] = False,
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
) -> None:
    """List who takes the writes of each cluster.

    The epoch grows with every change: a consumer refuses an answer with an epoch below one it has seen.
    """
    session = Session.of(nodes, output, timeout)
    run(session, lambda suite: _watch(session, suite) if watch else _list(session, suite))


async def _list(session: Session, suite: Suite) -> Exit:
    found = await list_primaries(suite)
    session.show(lambda: primaries_lines(found), {"primaries": found})
    return Exit.OK


async def list_primaries(suite: Suite) -> list[pb.Primary]:
    """Return the directory, by alias, all pages."""
    found = await all_pages(
        lambda request: suite.first(REGISTRY.call(lambda stub: stub.ListPrimaries, request)),
        pb.ListPrimariesRequest(),
    )
    return list(found.primaries)


async def _watch(session: Session, suite: Suite) -> Exit:
    """Show every entry whose epoch grows; an older answer of a node that lags is passed over."""
    epochs: dict[str, int] = {}
    stream = REGISTRY.stream(lambda stub: stub.WatchPrimaries, pb.WatchPrimariesRequest())
    async for message in suite.watch(stream):
        for primary in message.changed:
            if primary.epoch > epochs.get(primary.cluster_id, 0):
                epochs[primary.cluster_id] = primary.epoch
                _show(session, primary)
    return Exit.OK


def _show(session: Session, primary: pb.Primary) -> None:
    session.show(lambda: [primary_line(primary)], primary)
