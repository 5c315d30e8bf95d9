"""One server of the lab: its endpoint, its life and its deaths, and questions to it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.cursors import DictCursor

from services.shared.topology.server import Flavor
from tests.support.lab.accounts import Account, Credentials
from tests.support.lab.distribution import Distribution
from tests.support.lab.errors import LabError, ServerFailed
from tests.support.lab.options import HOST, Role, server_options
from tests.support.lab.ports import PortLease
from tests.support.lab.process import ServerProcess
from tests.support.lab.proxy import TcpProxy
from tests.support.lab.topology import InstanceSpec

_START_TIMEOUT_S: Final = 60.0
_SHUTDOWN_TIMEOUT_S: Final = 30.0
_KILL_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.01


class LabInstance:
    """A real server on loopback.

    Attributes:
        spec: What the topology's line says about it.
        credentials: Its accounts.
        host: Always 127.0.0.1, also what it reports to its source.
        port: Where clients and replicas find it; the same for all its life, restarts included.
        listen_port: Where it listens: `port`, unless a proxy listens there in front of it.
        server_id: Unique in the lab.
        server_uuid: MySQL's `server_uuid`; empty on MariaDB, which has none.
    """

    def __init__(
        self,
        spec: InstanceSpec,
        role: Role,
        *,
        distribution: Distribution,
        credentials: Credentials,
        directory: Path,
        server_id: int,
        port: PortLease,
        proxy: TcpProxy | None,
        executor: Executor,
    ) -> None:
        self.spec = spec
        self.credentials = credentials
        self.host: str = HOST
        self.port = proxy.port if proxy else port.port
        self.listen_port = port.port
        self.server_id = server_id
        self.server_uuid = ""
        self.directory = directory
        self._role = role
        self._distribution = distribution
        self._port = port
        self._proxy = proxy
        self._executor = executor
        self._process: ServerProcess | None = None

    def __repr__(self) -> str:
        return f"<{self.flavor.value} {self.name} at {self.endpoint}>"

    @property
    def name(self) -> str:
        """Name in the topology's line."""
        return self.spec.name

    @property
    def data_center(self) -> str:
        """Data centre in the topology's line; also in the server's table `lab.placement`."""
        return self.spec.data_center

    @property
    def endpoint(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def flavor(self) -> Flavor:
        """MySQL or MariaDB."""
        return self._distribution.flavor

    @property
    def version(self) -> str:
        """Version of the server software."""
        return self._distribution.version

    @property
    def error_log(self) -> Path:
        """The server's error log, of all its lives."""
        return self.directory / "error.log"

    @property
    def data(self) -> Path:
        """Data directory."""
        return self.directory / "data"

    @property
    def running(self) -> bool:
        """Whether its process exists; a stopped one does."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Process id of the current life, or of the last one.

        Raises:
            LabError: It was never started.
        """
        return self._life.pid

    @property
    def network(self) -> TcpProxy:
        """The network between it and everybody but the lab's servers and the lab's own questions.

        Raises:
            LabError: It was deployed without `behind_proxies`.
        """
        if self._proxy is None:
            raise LabError(f"{self.name} has no network to break: deploy with behind_proxies=True")
        return self._proxy

    @property
    def _life(self) -> ServerProcess:
        if self._process is None:
            raise LabError(f"{self.name} was never started")
        return self._process

    def kill(self) -> int:
        """Send SIGKILL; return the monotonic clock in nanoseconds right before."""
        return self._life.signal(signal.SIGKILL)

    def stop(self) -> int:
        """Send SIGSTOP: connections stay open and nothing answers. Returns the monotonic clock as `kill` does."""
        return self._life.signal(signal.SIGSTOP)

    def resume(self) -> int:
        """Send SIGCONT, the end of `stop`. Returns the monotonic clock as `kill` does."""
        return self._life.signal(signal.SIGCONT)

    async def start(self) -> None:
        """Start it and wait until it answers; a no-op while it runs.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        if self.running:
            return
        options = server_options(
            self._distribution,
            self._role,
            data=self.data,
            error_log=self.error_log,
            server_id=self.server_id,
            port=self.listen_port,
            report_port=self.port,
        )
        self._process = ServerProcess((*self._distribution.program, *options), directory=self.directory)
        await self._answering(time.monotonic() + _START_TIMEOUT_S)
        if self.flavor is Flavor.MYSQL:
            self.server_uuid = str((await self.query("SELECT @@server_uuid AS uuid"))[0]["uuid"])

    async def restart(self) -> None:
        """End it if it runs (SIGTERM, orderly) and start it on the same data and port."""
        await self.shutdown()
        await self.start()

    async def shutdown(self) -> None:
        """Send SIGTERM and wait for the orderly end; a stopped process is resumed for it, a killed one reaped."""
        if self._process is None:
            return
        self._process.signal(signal.SIGTERM)
        self._process.signal(signal.SIGCONT)
        await asyncio.to_thread(self._process.wait, _SHUTDOWN_TIMEOUT_S)

    async def query(
        self, sql: str, parameters: Sequence[object] = (), *, account: Account | None = None, timeout_s: float = 5.0
    ) -> list[dict[str, Any]]:
        """Run one statement on a direct connection of its own; return its rows, none for a statement without.

        Args:
            account: Who asks, root by default.
            timeout_s: Limit for connecting and for each read and write.

        Raises:
            pymysql.err.MySQLError: As the server or the network has it; a hung server ends in `OperationalError`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._query, sql, parameters, account, timeout_s)

    async def execute(self, *statements: str, account: Account | None = None, timeout_s: float = 5.0) -> None:
        """Run statements in order on one connection, without their rows; arguments and errors as of `query`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._execute, statements, account, timeout_s)

    async def variable(self, name: str) -> str:
        """Return a global variable as text, `""` for NULL."""
        rows = await self.query("SHOW GLOBAL VARIABLES LIKE %s", (name,))
        return str(rows[0]["Value"] or "")

    async def status(self, name: str) -> str:
        """Return a global status value as text."""
        return str((await self.query("SHOW GLOBAL STATUS LIKE %s", (name,)))[0]["Value"])

    def connect(self, *, account: Account | None = None, timeout_s: float = 5.0) -> pymysql.Connection[DictCursor]:
        """Open a direct connection with autocommit, for callers that may block; they close it."""
        who = account or self.credentials.root
        return pymysql.connect(
            host=self.host,
            port=self.listen_port,
            user=who.user,
            password=who.password,
            autocommit=True,
            cursorclass=DictCursor,
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            write_timeout=timeout_s,
        )

    def close(self) -> None:
        """Kill it, reap it, remove its files and give its port back; harmless when repeated."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._process.wait(_KILL_TIMEOUT_S)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._port.release()

    def _query(
        self, sql: str, parameters: Sequence[object], account: Account | None, timeout_s: float
    ) -> list[dict[str, Any]]:
        with self.connect(account=account, timeout_s=timeout_s) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def _execute(self, statements: Sequence[str], account: Account | None, timeout_s: float) -> None:
        with self.connect(account=account, timeout_s=timeout_s) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    async def _answering(self, deadline: float) -> None:
        while not _accepts(self.host, self.listen_port):
            if not self.running:
                raise ServerFailed(self.name, "ended while starting", self.error_log)
            if time.monotonic() > deadline:
                raise ServerFailed(self.name, f"silent for {_START_TIMEOUT_S} s", self.error_log)
            await asyncio.sleep(_POLL_S)
        await self.query("SELECT 1", timeout_s=max(deadline - time.monotonic(), 1.0))


def _accepts(host: str, port: int) -> bool:
    """Return whether someone listens; on loopback the answer comes at once."""
    with socket.socket() as probe:
        probe.settimeout(0.1)
        return probe.connect_ex((host, port)) == 0
