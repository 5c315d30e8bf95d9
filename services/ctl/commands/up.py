"""`primacy up`: a node, or a whole suite, on this machine."""

from __future__ import annotations

import asyncio
import enum
import signal
from pathlib import Path
from typing import Annotated

import typer

from services.ctl.arguments import parse_instance
from services.ctl.failure import Exit
from services.ctl.nodes import DEFAULT_BASE_PORT, RAFT_OFFSET
from services.ctl.output import Output, json_line
from services.ctl.render import Renderer
from services.ctl.session import OutputOption
from services.ctl.text import Line, good, line, strong
from services.ctl.up.data import check_password_file, check_ports, claimed, default_data
from services.ctl.up.events import Event, event_json, event_line
from services.ctl.up.layout import PORT_STEP, SuiteOptions, nodes_of, suite_processes
from services.ctl.up.supervisor import Supervisor


class Policy(enum.StrEnum):
    """What recovery may do by itself."""

    ACT = "act"
    OBSERVE = "observe"


_MOST_NODES = 7
_LAST_BASE_PORT = 65535 - RAFT_OFFSET - PORT_STEP * (_MOST_NODES - 1)


def up(
    nodes: Annotated[int, typer.Option(min=1, max=_MOST_NODES, help="How many nodes; 3 survive the loss of one.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Where to keep data and logs. [default: ~/.local/state/primacy]"),
    ] = None,
    base_port: Annotated[
        int, typer.Option(min=1, max=_LAST_BASE_PORT, help=f"First port; node k begins {PORT_STEP} * (k - 1) above.")
    ] = DEFAULT_BASE_PORT,
    seed: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="A server to discover; repeatable.")
    ] = None,
    mysql_user: Annotated[str, typer.Option(envvar="PRIMACY_MYSQL_USER", help="Account for the servers.")] = "",
    mysql_password_file: Annotated[
        Path | None, typer.Option(envvar="PRIMACY_MYSQL_PASSWORD_FILE", help="File with its password.")
    ] = None,
    policy: Annotated[Policy | None, typer.Option(help="act: repair by itself; observe: only tell.")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run a node here, or a whole suite: --nodes 3.

    A node is all four services, on SQLite; nothing else has to be installed. Starts a service that crashes again,
    writes the logs into the data directory, stops everything on Ctrl-C. Further settings of the services are taken
    from the environment (PRIMACY_DISCOVERY_POLL=1s).
    """
    options = SuiteOptions(
        data=(data or default_data()).expanduser().absolute(),
        node_count=nodes,
        base_port=base_port,
        mysql_user=mysql_user,
        mysql_password_file=mysql_password_file.expanduser().absolute() if mysql_password_file else None,
        seeds=tuple(str(parse_instance(text)) for text in seed or ()),
        policy=policy.value if policy else "",
    )
    check_password_file(options.mysql_password_file)
    with claimed(options):
        specs = suite_processes(options)
        check_ports(specs)
        runs_well = asyncio.run(_supervise(options, output))
    if not runs_well:
        raise typer.Exit(int(Exit.REFUSED))


async def _supervise(options: SuiteOptions, output: Output) -> bool:
    renderer = Renderer()

    def report(event: Event) -> None:
        _say(renderer, output, event_line(event), event_json(event))

    supervisor = Supervisor(suite_processes(options), report)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    greeting = asyncio.create_task(_greet(supervisor, options, renderer, output))
    try:
        return await supervisor.run()
    finally:
        greeting.cancel()
        _say(renderer, output, line("stopped"), {"event": "stopped"})


async def _greet(supervisor: Supervisor, options: SuiteOptions, renderer: Renderer, output: Output) -> None:
    await supervisor.all_listen()
    where = ",".join(str(node) for node in nodes_of(options))
    words = line(good("all listen"), "; try: ", strong(f"primacy status --nodes {where}"), "; Ctrl-C stops")
    _say(renderer, output, words, {"event": "ready", "nodes": where})


def _say(renderer: Renderer, output: Output, text: Line, value: dict[str, object]) -> None:
    if output is Output.JSON:
        print(json_line(value), flush=True)
    else:
        renderer.print([text])
