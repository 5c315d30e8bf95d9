"""One child process: started so that it dies with us, stopped politely, then not."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.ctl.up.layout import ProcessSpec

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LOG_KEPT_BYTES: Final = 16 * 1024 * 1024
"""A log larger than this is put aside (`.1`) when its process starts."""
_TAIL_BYTES: Final = 4096
_LINE_LENGTH: Final = 300


def dies_with(parent: int) -> Callable[[], None]:
    """Return what a child runs before its program: the kernel ends it when its parent is gone, however that happened.

    Args:
        parent: Process id of the parent: had it died before the request took effect, nobody would tell the child.
    """

    def ask_kernel() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


async def start(spec: ProcessSpec) -> asyncio.subprocess.Process:
    """Start a process. Its output goes to its log; Ctrl-C at the terminal reaches only us.

    Raises:
        OSError: The log cannot be written, or there is no room for another process.
    """
    spec.log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _put_aside(spec.log_file)
    with spec.log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *spec.program,
            env={**os.environ, **spec.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),
        )


def _put_aside(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > _LOG_KEPT_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


async def stop(process: asyncio.subprocess.Process, grace_s: float, hurry: asyncio.Event) -> bool:
    """End a process: SIGTERM, and SIGKILL when it does not end in time. Return whether it ended by itself.

    Args:
        process: A process of ours, not waited for yet.
        grace_s: How long it may take.
        hurry: When set, do not wait any longer.
    """
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    waits = [asyncio.create_task(process.wait()), asyncio.create_task(hurry.wait())]
    await asyncio.wait(waits, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
    for task in waits:
        task.cancel()
    if process.returncode is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    return False


async def listens(host_port: str) -> bool:
    """Return whether something accepts connections there."""
    host, _, port = host_port.rpartition(":")
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def last_words(log_file: Path) -> str:
    """Return the last line of a log, shortened; empty when there is none."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((content.strip()[:_LINE_LENGTH] for content in reversed(lines) if content.strip()), "")
