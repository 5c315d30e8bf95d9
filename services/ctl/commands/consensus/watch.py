"""`primacy consensus watch`: who leads and who is in the group, as it changes."""

from __future__ import annotations

from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.api import GROUP
from services.ctl.client import Suite
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import leadership_line
from services.shared.runtime.clock import utc_now


def watch(
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "5s",
) -> None:
    """Follow one member's view of leader, term and members; ends on Ctrl-C."""
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        async for message in suite.watch(GROUP.stream(lambda stub: stub.WatchLeader, pb.WatchLeaderRequest())):
            if not message.progress:
                _show(session, message)
        return Exit.OK

    run(session, work)


def _show(session: Session, message: pb.WatchLeaderResponse) -> None:
    session.show(lambda: [leadership_line(message, utc_now())], message)
