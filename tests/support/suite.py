"""A whole suite as real processes: nodes of four services each, that can be killed, stopped, restarted and isolated.

async with Suite(fleet, directory, nodes=3) as suite:
    await suite.settled()
    suite.node(1).kill()
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc
from primacy.analysis.v1 import analysis_pb2, analysis_pb2_grpc
from primacy.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from primacy.discovery.v1 import discovery_pb2, discovery_pb2_grpc
from primacy.recovery.v1 import recovery_pb2, recovery_pb2_grpc
from primacy.topology.v1 import topology_pb2

from services.ctl.nodes import RAFT_OFFSET, Node, Service
from services.ctl.up.layout import PORT_STEP, ProcessSpec, SuiteOptions, nodes_of, suite_processes
from services.shared.runtime.grpc_client import open_channel
from tests.support.eventually import eventually
from tests.support.lab import Fleet, LabInstance
from tests.support.lab.ports import ports_in_a_row
from tests.support.lab.process import ServerProcess
from tests.support.lab.proxy import TcpProxy
from tests.support.lab.uplink import Uplink

_REPOSITORY: Final = Path(__file__).parents[2]
_CALL_TIMEOUT_S: Final = 5.0
_KILL_TIMEOUT_S: Final = 10.0
_PREFIX: Final = "PRIMACY_"


class ServiceProcess:
    """One service of one node."""

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self._environment = {**spec.environment, **environment}
        self._process: ServerProcess | None = None

    @property
    def log(self) -> str:
        """Everything it wrote, in all its lives."""
        file = self.spec.log_file.parent / self.spec.service.label / "output.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @property
    def pid(self) -> int:
        """Process id of its present life, or of the last one."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process exists."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start it; a no-op while it runs."""
        if self.running:
            return
        directory = self.spec.log_file.parent / self.spec.service.label
        directory.mkdir(parents=True, exist_ok=True)
        settings = [f"{name}={value}" for name, value in self._environment.items()]
        inherited = [f"--unset={name}" for name in os.environ if name.startswith(_PREFIX)]
        program = (sys.executable, *self.spec.program)
        self._process = ServerProcess(
            ("env", *inherited, f"PYTHONPATH={_REPOSITORY}", *settings, *program), directory=directory
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a no-op when it does not run."""
        if self._process is not None and self._process.running:
            self._process.signal(number)

    def kill(self) -> None:
        """End it as a power cut would, and reap it."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._process.wait(_KILL_TIMEOUT_S)


class SuiteNode:
    """One of each service, and channels to them."""

    def __init__(self, name: str, node: Node, processes: Mapping[Service, ServiceProcess]) -> None:
        self.name = name
        self.node = node
        self.processes = processes
        self._channels: dict[Service, grpc.aio.Channel] = {}

    def __repr__(self) -> str:
        return f"<{self.name} at {self.node}>"

    @property
    def running(self) -> bool:
        """Whether all of its services run."""
        return all(process.running for process in self.processes.values())

    def channel(self, service: Service) -> grpc.aio.Channel:
        """Return the channel to one of its services; the suite closes it."""
        if service not in self._channels:
            self._channels[service] = open_channel(self.node.endpoint(service))
        return self._channels[service]

    @property
    def discovery(self) -> discovery_pb2_grpc.DiscoveryServiceAsyncStub:
        """Its DiscoveryService."""
        return discovery_pb2_grpc.DiscoveryServiceStub(self.channel(Service.DISCOVERY))

    @property
    def analysis(self) -> analysis_pb2_grpc.AnalysisServiceAsyncStub:
        """Its AnalysisService."""
        return analysis_pb2_grpc.AnalysisServiceStub(self.channel(Service.ANALYSIS))

    @property
    def recovery(self) -> recovery_pb2_grpc.RecoveryServiceAsyncStub:
        """Its RecoveryService."""
        return recovery_pb2_grpc.RecoveryServiceStub(self.channel(Service.RECOVERY))

    @property
    def group(self) -> consensus_pb2_grpc.GroupServiceAsyncStub:
        """Its GroupService."""
        return consensus_pb2_grpc.GroupServiceStub(self.channel(Service.CONSENSUS))

    @property
    def registry(self) -> consensus_pb2_grpc.RegistryServiceAsyncStub:
        """Its RegistryService."""
        return consensus_pb2_grpc.RegistryServiceStub(self.channel(Service.CONSENSUS))

    def start(self) -> None:
        """Start what does not run."""
        for process in self.processes.values():
            process.start()

    def kill(self) -> None:
        """End all four at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        for process in self.processes.values():
            process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all four."""
        for process in self.processes.values():
            process.signal(number)

    async def status(self) -> consensus_pb2.GetStatusResponse:
        """Return its member's view of the group."""
        return await self.group.GetStatus(consensus_pb2.GetStatusRequest(), timeout=_CALL_TIMEOUT_S)

    async def instances(self) -> dict[str, topology_pb2.Instance]:
        """Return what it knows of every instance, by `host:port`."""
        answer = await self.discovery.GetTopology(discovery_pb2.GetTopologyRequest(), timeout=_CALL_TIMEOUT_S)
        return {f"{each.endpoint.host}:{each.endpoint.port}": each for each in answer.snapshot.instances}

    async def findings(self) -> list[analysis_pb2.Finding]:
        """Return its findings."""
        answer = await self.analysis.ListFindings(analysis_pb2.ListFindingsRequest(), timeout=_CALL_TIMEOUT_S)
        return list(answer.findings)

    async def recoveries(self) -> list[recovery_pb2.Recovery]:
        """Return the recoveries it knows, newest first."""
        answer = await self.recovery.ListRecoveries(recovery_pb2.ListRecoveriesRequest(), timeout=_CALL_TIMEOUT_S)
        return list(answer.recoveries)

    async def primaries(self) -> dict[str, consensus_pb2.Primary]:
        """Return its copy of the directory, by `host:port` of the primary."""
        answer = await self.registry.ListPrimaries(consensus_pb2.ListPrimariesRequest(), timeout=_CALL_TIMEOUT_S)
        return {f"{each.endpoint.host}:{each.endpoint.port}": each for each in answer.primaries}

    async def knows(self, fleet: Fleet) -> bool:
        """Return whether it has read the whole fleet, without problems, and has its primary in the directory."""
        known = await self.instances()
        seen = [known.get(instance.endpoint) for instance in fleet]
        complete = all(each is not None and each.reading.last_check_valid and not each.problems for each in seen)
        return complete and fleet.primary.endpoint in await self.primaries()

    async def close(self) -> None:
        """Close its channels and end its processes."""
        for channel in self._channels.values():
            await channel.close()
        self.signal(signal.SIGCONT)
        self.kill()


class Suite:
    """Nodes on loopback, all with the settings of `primacy up`; entering starts them, leaving ends them."""

    def __init__(
        self,
        fleet: Fleet,
        directory: Path,
        *,
        nodes: int = 3,
        linked: bool = False,
        seeds: Sequence[str] | None = None,
        policy: str = "act",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a suite that watches a fleet.

        Args:
            fleet: Whose accounts the suite uses; its primary is the seed unless `seeds` says otherwise.
            directory: For stores, logs and the password.
            nodes: How many.
            linked: Put a proxy between each two members of the Raft group, for `isolate`.
            seeds: Servers to discover from the start.
            policy: `act` or `observe`.
            settings: Further settings of every service, with their full names.
        """
        self._linked = linked
        self._settings = dict(settings or {})
        directory.mkdir(parents=True, exist_ok=True)
        password_file = directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(fleet.credentials.management.password, encoding="utf-8")
        self._options = SuiteOptions(
            data=directory / "nodes",
            node_count=nodes,
            base_port=free_base_port(nodes),
            mysql_user=fleet.credentials.management.user,
            mysql_password_file=password_file,
            seeds=tuple(seeds if seeds is not None else (fleet.primary.endpoint,)),
            policy=policy,
        )
        self._links: dict[tuple[int, int], TcpProxy] = {}
        self._uplinks: dict[int, Uplink] = {}
        self._stack = contextlib.AsyncExitStack()
        self.nodes: tuple[SuiteNode, ...] = ()

    async def __aenter__(self) -> Self:
        if self._linked:
            await self._link()
        self.nodes = self._make_nodes()
        for node in self.nodes:
            self._stack.push_async_callback(node.close)
            node.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def node(self, number: int) -> SuiteNode:
        """Return a node, 1-based."""
        return self.nodes[number - 1]

    @property
    def running(self) -> tuple[SuiteNode, ...]:
        """The nodes all of whose services run."""
        return tuple(node for node in self.nodes if node.running)

    async def leader(self, *, among: Sequence[SuiteNode] = (), within: float = 30.0) -> SuiteNode:
        """Wait until a node leads with a valid lease, and return it."""

        async def leading() -> SuiteNode | None:
            for node in among or self.running:
                status = await node.status()
                if status.role == consensus_pb2.ROLE_LEADER and status.HasField("leader_lease_valid_for"):
                    return node
            return None

        found = await eventually(leading, within=within, retry_on=grpc.aio.AioRpcError, message=self.logs)
        assert found is not None
        return found

    async def settled(self, fleet: Fleet, *, within: float = 60.0) -> None:
        """Wait until every running node knows the fleet, and somebody holds the lease `recovery`."""

        async def all_know() -> bool:
            known = await asyncio.gather(*(node.knows(fleet) for node in self.running))
            leases = (await self.running[0].status()).leases
            return all(known) and any(lease.name == "recovery" for lease in leases)

        await eventually(all_know, within=within, retry_on=grpc.aio.AioRpcError, message=self.logs)

    async def discover(self, instance: LabInstance) -> None:
        """Let every running node discover a topology from one of its servers."""
        endpoint = topology_pb2.Endpoint(host=instance.host, port=instance.port)
        request = discovery_pb2.DiscoverRequest(endpoint=endpoint)
        await asyncio.gather(*(node.discovery.Discover(request, timeout=30) for node in self.running))

    async def forget(self, fleet: Fleet) -> None:
        """Let every running node forget the servers of a fleet."""
        for instance in fleet:
            request = discovery_pb2.ForgetRequest(
                endpoint=topology_pb2.Endpoint(host=instance.host, port=instance.port)
            )
            for node in self.running:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await node.discovery.Forget(request, timeout=_CALL_TIMEOUT_S)

    async def isolate(self, node: SuiteNode) -> None:
        """Let nothing through between a member of the Raft group and its peers; its connections stay open."""
        assert self._linked, "make the suite with linked=True"
        number = self.nodes.index(node) + 1
        for ends, link in self._links.items():
            if number in ends:
                await link.hang()

    async def heal(self) -> None:
        """Let everything through again."""
        for link in self._links.values():
            await link.heal()

    def logs(self) -> str:
        """Return the last lines of every service, for the message of a failed wait."""
        return "".join(
            f"\n--- {process.spec.name}\n{process.log[-1500:]}"
            for node in self.nodes
            for process in node.processes.values()
        )

    async def _link(self) -> None:
        numbers = range(1, self._options.node_count + 1)
        raft_ports = [node.base_port + RAFT_OFFSET for node in nodes_of(self._options)]
        for sender in numbers:
            reached = {}
            for receiver in numbers:
                if sender != receiver:
                    proxy = TcpProxy("127.0.0.1", raft_ports[receiver - 1])
                    self._links[sender, receiver] = await self._stack.enter_async_context(proxy)
                    reached[f"127.0.0.1:{raft_ports[receiver - 1]}"] = proxy
            self._uplinks[sender] = await self._stack.enter_async_context(Uplink(reached))

    def _make_nodes(self) -> tuple[SuiteNode, ...]:
        specs = suite_processes(self._options)
        return tuple(
            SuiteNode(
                f"node{number}",
                node,
                {spec.service: self._process(number, spec) for spec in specs if spec.node == f"node{number}"},
            )
            for number, node in enumerate(nodes_of(self._options), start=1)
        )

    def _process(self, number: int, spec: ProcessSpec) -> ServiceProcess:
        prefix = f"{_PREFIX}{spec.service.name}_"
        environment = {name: value for name, value in self._settings.items() if name.startswith(prefix)}
        if spec.service is Service.CONSENSUS:
            uplink = self._uplinks.get(number)
            environment |= {
                **({} if uplink is None else uplink.environment),
                f"{prefix}ALLOW_VOLATILE_STORE": "true",  # Test directories may be on tmpfs.
            }
        return ServiceProcess(spec, environment)


def free_base_port(nodes: int) -> int:
    """Return the first of enough free ports in a row for so many nodes."""
    return ports_in_a_row(PORT_STEP * (nodes - 1) + RAFT_OFFSET + 1)
