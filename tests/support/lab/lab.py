"""The lab: deploys fleets of real servers and leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from services.shared.topology.server import Flavor
from tests.support.lab.directory import RunDirectory, sweep
from tests.support.lab.distribution import Distribution, find_distribution
from tests.support.lab.errors import ServerFailed
from tests.support.lab.fleet import Fleet
from tests.support.lab.instance import LabInstance
from tests.support.lab.options import HOST, Role
from tests.support.lab.ports import lease_port
from tests.support.lab.proxy import TcpProxy
from tests.support.lab.sockets import connects_from
from tests.support.lab.template import Template, find_template
from tests.support.lab.topology import InstanceSpec, parse_topology

_START_ATTEMPTS: Final = 3
_QUERY_THREADS: Final = 32


class Lab:
    """An async context manager; on leaving, its servers are killed and their files removed."""

    def __init__(self, directory: Path | None = None) -> None:
        """Keep server files below `directory`, by default the system's directory for temporary files."""
        self._parent = directory or Path(tempfile.gettempdir())
        self._executor = ThreadPoolExecutor(_QUERY_THREADS, thread_name_prefix="lab")
        self._server_ids = itertools.count(101)
        self._instances: list[LabInstance] = []
        self._proxies: list[TcpProxy] = []
        self._run: RunDirectory | None = None

    async def __aenter__(self) -> Self:
        self._parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(sweep, self._parent)
        self._run = RunDirectory(self._parent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for instance in self._instances:
            if instance.running:
                instance.kill()  # All first, so that they die side by side.
        for instance in self._instances:
            instance.close()
        for proxy in self._proxies:
            await proxy.close()
        if self._run is not None:
            self._run.remove()
        self._executor.shutdown(wait=False)

    async def deploy(
        self,
        topology: str,
        *,
        flavor: Flavor = Flavor.MYSQL,
        semi_sync: bool = False,
        behind_proxies: bool = False,
        options: Sequence[str] = (),
        options_for: Mapping[str, Sequence[str]] | None = None,
    ) -> Fleet:
        """Start the servers of `topology` side by side, wire them, and wait until all replicas replicate.

        Args:
            topology: See `parse_topology`.
            semi_sync: Primaries wait for the receipt of one replica (for ever so long as the server's default
                timeout, 10 s), replicas send it. A spec's own `semi_sync` goes first.
            behind_proxies: Put a `TcpProxy` before each server. All the world, replicas too, knows the server by the
                proxy's endpoint; faults of `LabInstance.network` pass the replicas by, so that a primary may be out of
                the reach of everybody else while they still replicate. Costs some CPU of this process.
            options: Further server options for all, such as `--replica-net-timeout=4`.
            options_for: Further options for the instance of that name, after the common ones.

        Raises:
            InvalidTopology: The line does not follow the grammar.
            ServerUnavailable: There is no such server and none can be installed here.
            ServerFailed: A server does not come up.
            AssertionError: A replica does not replicate.
        """
        specs = parse_topology(topology)
        distribution = await asyncio.to_thread(find_distribution, flavor)
        template = await asyncio.to_thread(find_template, distribution)
        roles = {
            spec.name: _role(spec, semi_sync, (*options, *(options_for or {}).get(spec.name, ()))) for spec in specs
        }
        started = await _all(
            [self._start(spec, roles[spec.name], distribution, template, behind_proxies) for spec in specs]
        )
        fleet = Fleet({instance.name: instance for instance in started}, template.credentials)
        await fleet.wire()
        return fleet

    async def _start(
        self, spec: InstanceSpec, role: Role, distribution: Distribution, template: Template, behind_proxy: bool
    ) -> LabInstance:
        """Start one server, on another port when somebody outside the lab took the first meanwhile."""
        for attempt in itertools.count(1):
            instance = await self._prepare(spec, role, distribution, template, behind_proxy)
            try:
                await instance.start()
            except ServerFailed as error:
                if not error.port_taken or attempt == _START_ATTEMPTS:
                    raise
                instance.close()
            else:
                return instance
        raise AssertionError

    async def _prepare(
        self, spec: InstanceSpec, role: Role, distribution: Distribution, template: Template, behind_proxy: bool
    ) -> LabInstance:
        assert self._run is not None, "enter the lab first: `async with Lab() as lab`"
        server_id = next(self._server_ids)
        port = lease_port()
        directory = self._run.path / f"{server_id}-{spec.name}"
        instance = LabInstance(
            spec,
            role,
            distribution=distribution,
            credentials=template.credentials,
            directory=directory,
            server_id=server_id,
            port=port,
            proxy=await self._open_proxy(port.port) if behind_proxy else None,
            executor=self._executor,
        )
        self._instances.append(instance)
        directory.mkdir()
        await _copy(template.data, instance.data)
        return instance

    async def _open_proxy(self, upstream_port: int) -> TcpProxy:
        proxy = TcpProxy(HOST, upstream_port, spared=lambda client: connects_from(self._pids(), client, proxy.port))
        self._proxies.append(proxy)
        return await proxy.__aenter__()

    def _pids(self) -> list[int]:
        return [instance.pid for instance in self._instances if instance.running]


async def _all(starts: Sequence[Coroutine[None, None, LabInstance]]) -> list[LabInstance]:
    """Wait for all, the failed too, so that none is still starting when the lab cleans up; then raise what failed."""
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, LabInstance)]


async def _copy(source: Path, target: Path) -> None:
    process = await asyncio.create_subprocess_exec("cp", "--archive", "--reflink=auto", source, target)
    code = await process.wait()
    if code != 0:
        raise OSError(f"copying {source} to {target} failed with exit code {code}")


def _role(spec: InstanceSpec, semi_sync: bool, extra: Sequence[str]) -> Role:
    takes_part = semi_sync if spec.semi_sync is None else spec.semi_sync
    return Role(replica=spec.source is not None, semi_sync=takes_part, extra=tuple(extra))
