"""One operating system process of a server, and the signals it gets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.support.lab.errors import LabError


class ServerProcess:
    """A process that dies with this one, however this one ends."""

    def __init__(self, command: tuple[str, ...], *, directory: Path) -> None:
        """Start `command` in `directory`.

        Raises:
            LabError: Called outside the main thread: the kernel ties the child's life to the thread that made it
                (prctl(2), PR_SET_PDEATHSIG).
        """
        if threading.current_thread() is not threading.main_thread():
            raise LabError("servers start from the main thread only, because they die with the thread that made them")
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise LabError("setpriv is missing (package util-linux)")
        with (directory / "output.log").open("ab") as output:
            # setpriv becomes the command, so the process id is the server's own. A hook of ours between fork and exec
            # would do the same, but it forks the interpreter with all threads that gRPC keeps.
            self._process = subprocess.Popen(
                [setpriv, "--pdeathsig", "KILL", "--", *command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # An interrupt from the keyboard is for the tests, which then clean up.
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; a stopped process runs in this sense."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> int:
        """Send a signal; return the monotonic clock in nanoseconds right before. An ended process ignores it."""
        before = time.monotonic_ns()
        if self.running:
            os.kill(self.pid, number)
        return before

    def wait(self, timeout_s: float) -> None:
        """Block until it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not.
        """
        self._process.wait(timeout_s)
