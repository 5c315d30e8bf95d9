"""Services as processes of their own, started as an operator starts them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from tests.contract.tools import ROOT
from tests.support.lab.ports import PortLease, lease_port

START_WITHIN_S: Final = 40.0


class RunningService:
    """`python -m services.<name>`; an async context manager that stops it."""

    def __init__(self, name: str, *ports: PortLease, **environ: str) -> None:
        """Prepare a service.

        Args:
            name: Of the service.
            ports: The first is where its API listens, by default one of its own; all are given back in the end.
            environ: Settings, without the prefix.
        """
        self.name = name
        self._ports = ports or (lease_port(),)
        self.endpoint = f"127.0.0.1:{self._ports[0].port}"
        prefix = f"PRIMACY_{name.upper()}_"
        self._environ = {f"{prefix}{key}": value for key, value in {"LISTEN": self.endpoint, **environ}.items()}
        self._log: list[str] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"services.{self.name}",
            cwd=ROOT,
            env={**os.environ, **self._environ},
            stderr=asyncio.subprocess.PIPE,
        )
        self._serving = asyncio.Event()
        self._reader = asyncio.create_task(self._read_log())
        waiting = asyncio.create_task(self._serving.wait())
        await asyncio.wait((waiting, self._reader), timeout=START_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._serving.is_set():
            await self.__aexit__()
            raise AssertionError(f"{self.name} does not serve: {''.join(self._log[-20:])}")
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader
        for port in self._ports:
            port.release()

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode(errors="replace")
            self._log.append(text)
            if text.startswith("{") and json.loads(text).get("event") == f"{self.name}.serving":
                self._serving.set()


def group_of(size: int, directory: Path) -> Sequence[RunningService]:
    """Return the members of a consensus group, not started yet."""
    ports = [(lease_port(), lease_port()) for _ in range(size)]
    members = [
        {
            "member_id": number,
            "name": f"node{number}",
            "raft_endpoint": f"127.0.0.1:{raft.port}",
            "api_endpoint": f"127.0.0.1:{api.port}",
        }
        for number, (api, raft) in enumerate(ports, start=1)
    ]
    return [
        RunningService(
            "consensus",
            api,
            raft,
            NODE=f"node{number}",
            RAFT_LISTEN=f"127.0.0.1:{raft.port}",
            STORE_URL=f"sqlite:///{directory}/consensus-{number}.db",
            ALLOW_VOLATILE_STORE="true",
            MEMBERS=json.dumps(members),
        )
        for number, (api, raft) in enumerate(ports, start=1)
    ]
