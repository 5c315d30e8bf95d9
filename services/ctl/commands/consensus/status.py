"""`primacy consensus status`: the group as its leader sees it."""

from __future__ import annotations

from services.ctl.client import Suite
from services.ctl.commands.consensus.asking import leader_status
from services.ctl.failure import Exit
from services.ctl.session import DEFAULT_NODES, NodesOption, Output, OutputOption, Session, TimeoutOption, run
from services.ctl.views.consensus import group_lines


def status(
    nodes: NodesOption = DEFAULT_NODES,
    output: OutputOption = Output.TEXT,
    timeout: TimeoutOption = "2s",
) -> None:
    """Show the group as its leader sees it.

    Who leads and for how long its lease is good, how many voters may still be lost, each member with its lag, contact,
    round trip, clock and store, what blocks and what to look at. Another member's view when no leader is reached. Code
    5 when something stands in the way.
    """
    session = Session.of(nodes, output, timeout)

    async def work(suite: Suite) -> Exit:
        found = await leader_status(suite)
        session.show(lambda: group_lines(found), found)
        return Exit.WRONG if found.blockers else Exit.OK

    run(session, work)
