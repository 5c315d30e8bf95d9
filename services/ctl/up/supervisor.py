"""Keeps processes running until it is told to stop.

Each process has a task of its own: start, wait until it listens, wait until it ends; then start it again, later with
every crash in a row. A process that says its settings are wrong would say so again: that ends everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from services.ctl.up import process as child
from services.ctl.up.backoff import Backoff
from services.ctl.up.events import Event, EventKind
from services.ctl.up.layout import ProcessSpec
from services.shared.runtime.settings import EXIT_CONFIG

STOP_GRACE_S: Final = 10.0
"""Longer than the five seconds a service gives its running calls."""
_LOOK_AGAIN_S: Final = 0.1


class Supervisor:
    """Runs processes. `stop` ends them all; a second `stop` does so at once."""

    def __init__(self, specs: Sequence[ProcessSpec], report: Callable[[Event], None]) -> None:
        """Make a supervisor that has started nothing yet.

        Args:
            specs: The processes, in the order they start.
            report: Called with everything that happens.
        """
        self._specs = tuple(specs)
        self._report = report
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._listening: set[str] = set()
        self._all_listen = asyncio.Event()
        self._misconfigured = False

    def stop(self) -> None:
        """End all processes; asked again, do not wait for them."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def all_listen(self) -> None:
        """Wait until every process has listened once."""
        await self._all_listen.wait()

    async def run(self) -> bool:
        """Keep the processes running until `stop`. Return False when one of them cannot run with its settings."""
        async with asyncio.TaskGroup() as tasks:
            for spec in self._specs:
                tasks.create_task(self._keep_running(spec))
        return not self._misconfigured

    async def _keep_running(self, spec: ProcessSpec) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            started = time.monotonic()
            process = await child.start(spec)
            if not await self._until_end(spec, process):
                return
            backoff = backoff.after_crash(timedelta(seconds=time.monotonic() - started))
            self._report(self._ended(spec, process, backoff))
            await self._pause(backoff.delay.total_seconds())

    async def _until_end(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> bool:
        """Wait for the end of a process; return False when we ended it."""
        waits = [asyncio.create_task(process.wait()), asyncio.create_task(self._stopping.wait())]
        announcing = asyncio.create_task(self._announce(spec, process))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is not None and not self._stopping.is_set():
                return True
            await self._end(spec, process)
            return False
        finally:
            for task in (*waits, announcing):
                task.cancel()

    async def _end(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None and not await child.stop(process, STOP_GRACE_S, self._hurry):
            self._report(Event(EventKind.KILLED, spec, process.pid, process.returncode))

    async def _announce(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        while not await child.listens(spec.listen):  # noqa: ASYNC110  another process' port tells no event
            await asyncio.sleep(_LOOK_AGAIN_S)
        self._report(Event(EventKind.LISTENING, spec, process.pid))
        self._listening.add(spec.name)
        if len(self._listening) == len(self._specs):
            self._all_listen.set()

    def _ended(self, spec: ProcessSpec, process: asyncio.subprocess.Process, backoff: Backoff) -> Event:
        words = child.last_words(spec.log_file)
        if process.returncode == EXIT_CONFIG:
            self._misconfigured = True
            self._stopping.set()
            return Event(EventKind.MISCONFIGURED, spec, process.pid, process.returncode, last_words=words)
        return Event(EventKind.CRASHED, spec, process.pid, process.returncode, backoff.delay, words)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
