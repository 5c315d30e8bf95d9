"""`primacy consensus watch`: who leads and who is in the group, as it changes."""

from __future__ import annotations

from primacy.consensus.v1 import consensus_pb2 as pb

from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import stub
from services.ctl.failure import Exit
from services.ctl.nodes import Service
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
        messages = suite.watch(Service.CONSENSUS, lambda channel: stub(channel).WatchLeader(pb.WatchLeaderRequest()))
        async for message in messages:
            if not message.progress:
                session.show(lambda shown=message: [leadership_line(shown, utc_now())], message)  # type: ignore[misc]
        return Exit.OK

    run(session, work)
