"""The supervisor with real child processes: starts, restarts, stops, and leaves nobody behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from services.ctl.nodes import Service
from services.ctl.up.events import Event, EventKind
from services.ctl.up.layout import ProcessSpec
from services.ctl.up.supervisor import Supervisor
from tests.support.eventually import eventually
from tests.support.suite import free_base_port

LISTEN = """
import signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + LISTEN


def spec(directory: Path, *program: str) -> ProcessSpec:
    """Return a process that stands for a service."""
    port = free_base_port(2)
    return ProcessSpec(
        node="node1",
        service=Service.ANALYSIS,
        program=("-c", *program, str(port)),
        listen=f"127.0.0.1:{port}",
        ports=(port,),
        environment={},
        log_file=directory / "analysis.log",
    )


@contextlib.asynccontextmanager
async def supervised(process: ProcessSpec) -> AsyncIterator[tuple[Supervisor, list[Event], asyncio.Task[bool]]]:
    """Run a supervisor over one process; whatever happens, end it."""
    events: list[Event] = []
    supervisor = Supervisor([process], events.append)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, events, task
    finally:
        supervisor.stop()
        await asyncio.wait([task], timeout=5)
        supervisor.stop()
        await task


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_started_process_is_announced_once_it_listens(tmp_path: Path) -> None:
    async with supervised(spec(tmp_path, LISTEN)) as (supervisor, events, _):
        await asyncio.wait_for(supervisor.all_listen(), 10)

    assert [event.kind for event in events] == [EventKind.LISTENING]


async def test_killed_process_is_started_again_and_said_so(tmp_path: Path) -> None:
    async with supervised(spec(tmp_path, LISTEN)) as (supervisor, events, _):
        await asyncio.wait_for(supervisor.all_listen(), 10)
        os.kill(events[0].pid, signal.SIGKILL)
        await eventually(lambda: len(events) == 3, within=10, message=lambda: events)

    assert [event.kind for event in events] == [EventKind.LISTENING, EventKind.CRASHED, EventKind.LISTENING]
    assert events[1].exit_code == -signal.SIGKILL
    assert events[1].restart_in is not None
    assert events[2].pid != events[0].pid


async def test_crash_is_told_with_the_last_line_of_the_log(tmp_path: Path) -> None:
    async with supervised(spec(tmp_path, "import sys; sys.exit('store is broken')")) as (_, events, _task):
        await eventually(lambda: len(events) >= 2, within=10, message=lambda: events)

    assert events[0].last_words == "store is broken"
    assert events[0].exit_code == 1
    first, second = events[0].restart_in, events[1].restart_in
    assert first is not None
    assert second == first * 2


async def test_process_with_wrong_settings_ends_everything(tmp_path: Path) -> None:
    program = "import sys; print('setting X: wrong', file=sys.stderr); sys.exit(78)"
    async with supervised(spec(tmp_path, program)) as (_, events, task):
        runs_well = await asyncio.wait_for(asyncio.shield(task), 10)

    assert not runs_well
    assert [(event.kind, event.last_words) for event in events] == [(EventKind.MISCONFIGURED, "setting X: wrong")]


async def test_stop_ends_the_process_and_is_no_crash(tmp_path: Path) -> None:
    async with supervised(spec(tmp_path, LISTEN)) as (supervisor, events, task):
        await asyncio.wait_for(supervisor.all_listen(), 10)
        supervisor.stop()
        assert await asyncio.wait_for(asyncio.shield(task), 5)

    assert not alive(events[0].pid)
    assert len(events) == 1


async def test_second_stop_kills_what_does_not_listen_to_the_first(tmp_path: Path) -> None:
    async with supervised(spec(tmp_path, DEAF)) as (supervisor, events, task):
        await asyncio.wait_for(supervisor.all_listen(), 10)
        supervisor.stop()
        done, _ = await asyncio.wait([task], timeout=0.3)
        assert not done
        supervisor.stop()
        await asyncio.wait_for(asyncio.shield(task), 5)

    assert not alive(events[0].pid)
    assert events[-1].kind is EventKind.KILLED


PARENT = """
import asyncio, pathlib, sys
from tests.integration.ctl.test_ctl_supervisor import LISTEN, Supervisor, spec
process = spec(pathlib.Path(sys.argv[1]), LISTEN)
asyncio.run(Supervisor([process], lambda event: print(event.pid, flush=True)).run())
"""


async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    assert alive(child)

    parent.kill()
    await parent.wait()

    await eventually(lambda: not alive(child), within=5, message="the child lives on")
