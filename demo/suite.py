"""A suite of three nodes, started as an operator would: by `primacy up`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from services.ctl.failure import CtlError, Exit
from services.ctl.nodes import Node, parse_nodes
from services.ctl.up.process import dies_with
from tests.support.lab import Fleet
from tests.support.suite import free_base_port

NODE_COUNT: Final = 3
_CRASHES_AT_MOST: Final = 3
_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 20.0
_ACCOUNT_FILE: Final = "mysql-account"
_SETTINGS_PREFIX: Final = "PRIMACY_"

Report = Callable[[dict[str, Any]], None]


@contextlib.asynccontextmanager
async def running_suite(fleet: Fleet, directory: Path, report: Report) -> AsyncIterator[tuple[Node, ...]]:
    """Run three nodes that watch a fleet; yield where they are once all services listen.

    Args:
        fleet: The servers to watch.
        directory: Empty; for data, logs and the password.
        report: Called with every event of `primacy up`.

    Raises:
        CtlError: The suite does not come up.
    """
    process = await _start(fleet, directory)
    ready: asyncio.Future[tuple[Node, ...]] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(_follow(process, report, ready))
    try:
        yield await asyncio.wait_for(ready, _START_TIMEOUT_S)
    except TimeoutError:
        raise CtlError(f"the suite did not come up within {_START_TIMEOUT_S:.0f} s", Exit.UNAVAILABLE) from None
    finally:
        await _stop(process)
        await following
        (directory / _ACCOUNT_FILE).unlink()


async def _start(fleet: Fleet, directory: Path) -> asyncio.subprocess.Process:
    account = fleet.credentials.management
    password_file = directory / _ACCOUNT_FILE
    password_file.touch(mode=0o600)
    password_file.write_text(account.password, encoding="utf-8")
    options = {
        "--nodes": str(NODE_COUNT),
        "--data": str(directory / "data"),
        "--base-port": str(free_base_port(NODE_COUNT)),
        "--mysql-user": account.user,
        "--mysql-password-file": str(password_file),
        "--seed": fleet.primary.endpoint,
        "--policy": "act",
        "--output": "json",
    }
    arguments = [word for option in options.items() for word in option]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.ctl", "up", *arguments),
        env={name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_PREFIX)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=dies_with(os.getpid()),
    )


async def _follow(process: asyncio.subprocess.Process, report: Report, ready: asyncio.Future[tuple[Node, ...]]) -> None:
    """Report every event until the suite has ended; the first `ready` tells where the nodes are."""
    assert process.stdout is not None
    crashes: Counter[str] = Counter()
    async for text in process.stdout:
        event = json.loads(text)
        report(event)
        if ready.done():
            continue
        if event["event"] == "ready":
            ready.set_result(parse_nodes(event["nodes"]))
        elif event["event"] == "crashed":
            name = f"{event['node']} {event['service']}"
            crashes[name] += 1
            if crashes[name] == _CRASHES_AT_MOST:
                ready.set_exception(CtlError(f"{name} does not stay up: {event['last_words']}", Exit.UNAVAILABLE))
    if not ready.done():
        ready.set_exception(CtlError("the suite ended before it was ready", Exit.UNAVAILABLE))


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
