"""A group of real consensus processes on loopback, with a stretch of network between each two of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc

from services.shared.runtime.grpc_client import open_channel
from tests.support.eventually import eventually
from tests.support.lab.ports import PortLease, lease_port
from tests.support.lab.process import ServerProcess
from tests.support.lab.proxy import TcpProxy
from tests.support.lab.uplink import Uplink

REPOSITORY: Final = Path(__file__).parents[2]
LEASE: Final = "recovery"
NOT_FORWARDED: Final = ("primacy-forward", "never")
"""Metadata of a call that a follower is to refuse."""


class _Process(ServerProcess):
    @property
    def exit_code(self) -> int:
        """Exit code of the ended process."""
        return int(self._process.returncode)


class MemberProcess:
    """One member: its settings, its process, its API."""

    def __init__(self, member_id: int, directory: Path, *, wrapper: tuple[str, ...] = ()) -> None:
        """Reserve ports; `wrapper` is put before the command, for example `prlimit …`."""
        self.member_id = member_id
        self.name = f"node{member_id}"
        self.directory = directory
        self.environment: dict[str, str] = {}
        self.credentials: grpc.ChannelCredentials | None = None
        self._wrapper = wrapper
        self._api: PortLease = lease_port()
        self._raft: PortLease = lease_port()
        self._process: _Process | None = None
        self._channel: grpc.aio.Channel | None = None

    @property
    def api_endpoint(self) -> str:
        """Where its API is."""
        return f"127.0.0.1:{self._api.port}"

    @property
    def raft_port(self) -> int:
        """Where peers reach it."""
        return self._raft.port

    @property
    def database(self) -> Path:
        """Its SQLite file, unless the environment says otherwise."""
        return self.directory / "consensus.db"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything it wrote so far."""
        log = self.directory / "output.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to its API."""
        if self._channel is None:
            self._channel = (
                open_channel(self.api_endpoint)
                if self.credentials is None
                else grpc.aio.secure_channel(
                    self.api_endpoint, self.credentials, (("grpc.ssl_target_name_override", self.name),)
                )
            )
        return self._channel

    @property
    def group(self) -> pb_grpc.GroupServiceAsyncStub:
        """Its GroupService."""
        return pb_grpc.GroupServiceStub(self.channel)

    @property
    def leases(self) -> pb_grpc.LeaseServiceAsyncStub:
        """Its LeaseService."""
        return pb_grpc.LeaseServiceStub(self.channel)

    @property
    def registry(self) -> pb_grpc.RegistryServiceAsyncStub:
        """Its RegistryService."""
        return pb_grpc.RegistryServiceStub(self.channel)

    @property
    def journal(self) -> pb_grpc.JournalServiceAsyncStub:
        """Its JournalService."""
        return pb_grpc.JournalServiceStub(self.channel)

    def start(self) -> None:
        """Start its process."""
        assert not self.running
        self.directory.mkdir(parents=True, exist_ok=True)
        command = (
            *self._wrapper,
            "env",
            *(f"{name}={value}" for name, value in self.environment.items()),
            sys.executable,
            "-m",
            "services.consensus",
        )
        self._process = _Process(command, directory=self.directory)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process."""
        assert self._process is not None
        self._process.signal(number)

    def kill(self) -> None:
        """End its process as a power cut would."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            self._process.wait(10)

    def wait(self) -> int:
        """Wait until its process ended by itself; return the exit code."""
        assert self._process is not None
        self._process.wait(15)
        return self._process.exit_code

    async def status(self) -> pb.GetStatusResponse:
        """Return its view of the group."""
        return await self.group.GetStatus(pb.GetStatusRequest(), timeout=2)

    async def close(self) -> None:
        """End everything."""
        if self._channel is not None:
            await self._channel.close()
        if self._process is not None:
            self._process.signal(signal.SIGCONT)
        self.kill()
        self._api.release()
        self._raft.release()


class Group:
    """Members and the links between them; `links[a, b]` carries what member a sends to member b."""

    def __init__(self, members: tuple[MemberProcess, ...], links: Mapping[tuple[int, int], TcpProxy]) -> None:
        self.members = members
        self.links = links

    def member(self, member_id: int) -> MemberProcess:
        """Return a member."""
        return self.members[member_id - 1]

    def others(self, member: MemberProcess) -> tuple[MemberProcess, ...]:
        """Return all members but one."""
        return tuple(other for other in self.members if other is not member)

    def links_of(self, member: MemberProcess) -> Iterator[TcpProxy]:
        """Return the links to and from a member."""
        return (link for ends, link in self.links.items() if member.member_id in ends)

    async def isolate(self, member: MemberProcess) -> None:
        """Let nothing through to or from a member; its connections stay open."""
        for link in self.links_of(member):
            await link.hang()

    async def heal(self) -> None:
        """Let everything through."""
        for link in self.links.values():
            await link.heal()

    async def leader(self, *, among: tuple[MemberProcess, ...] = (), within: float = 30) -> MemberProcess:
        """Wait until a member leads with a valid lease and return it."""

        async def leading() -> MemberProcess | None:
            for member in among or self.members:
                if not member.running:
                    continue
                status = await member.status()
                if status.role == pb.ROLE_LEADER and status.HasField("leader_lease_valid_for"):
                    return member
            return None

        found = await eventually(leading, within=within, retry_on=grpc.aio.AioRpcError, message=self._views)
        assert found is not None
        return found

    async def agree(self, *, within: float = 10) -> None:
        """Wait until all running members have applied the same."""

        async def equal() -> bool:
            views = [await member.status() for member in self.members if member.running]
            return len({(view.applied_index, view.state_digest) for view in views}) == 1 and all(
                view.applied_index == view.last_index for view in views
            )

        await eventually(equal, within=within, retry_on=grpc.aio.AioRpcError, message=self._views)

    def _views(self) -> str:
        return "".join(f"\n{member.name}:\n{member.output[-2000:]}" for member in self.members)

    async def joiner(self, stack: contextlib.AsyncExitStack, member_id: int) -> MemberProcess:
        """Make a member that waits to be added under an id; it does not run yet."""
        member = MemberProcess(member_id, self.members[0].directory.parent / f"node{member_id}")
        stack.push_async_callback(member.close)
        listed = "PRIMACY_CONSENSUS_MEMBERS"
        own = _environment(member, (member,))
        shared = {name: value for name, value in self.members[0].environment.items() if name not in own}
        member.environment = {**shared, **own}
        del member.environment[listed]
        member.environment["PRIMACY_CONSENSUS_JOIN"] = "true"
        member.environment["PRIMACY_CONSENSUS_MEMBER_ID"] = str(member_id)
        return member


@contextlib.asynccontextmanager
async def consensus_group(
    directory: Path, size: int = 3, *, linked: bool = False, extra: Mapping[str, str] | None = None
) -> AsyncIterator[Group]:
    """Make a group of members that do not run yet; whatever happens, nothing of it is left.

    Args:
        directory: For databases and logs.
        size: Number of members.
        linked: Put a proxy between each two members.
        extra: Further settings of every member, without prefix.
    """
    members = tuple(MemberProcess(number, directory / f"node{number}") for number in range(1, size + 1))
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            stack.push_async_callback(member.close)
        links = {}
        for sender in members if linked else ():
            for receiver in members:
                if sender is not receiver:
                    proxy = await stack.enter_async_context(TcpProxy("127.0.0.1", receiver.raft_port))
                    links[sender.member_id, receiver.member_id] = proxy
        for member in members:
            member.environment = (
                await _uplink(stack, member, members, links)
                | _environment(member, members)
                | {f"PRIMACY_CONSENSUS_{name.upper()}": value for name, value in (extra or {}).items()}
            )
        yield Group(members, links)


async def _uplink(
    stack: contextlib.AsyncExitStack,
    member: MemberProcess,
    members: tuple[MemberProcess, ...],
    links: Mapping[tuple[int, int], TcpProxy],
) -> dict[str, str]:
    """Return what lets a member reach the others over its links; nothing when there are none."""
    if not links:
        return {}
    others = [other for other in members if other is not member]
    reached = {f"127.0.0.1:{other.raft_port}": links[member.member_id, other.member_id] for other in others}
    return (await stack.enter_async_context(Uplink(reached))).environment


def _environment(member: MemberProcess, members: tuple[MemberProcess, ...]) -> dict[str, str]:
    listed = [
        {
            "member_id": other.member_id,
            "name": other.name,
            "raft_endpoint": f"127.0.0.1:{other.raft_port}",
            "api_endpoint": other.api_endpoint,
            "recovery_endpoint": f"recovery-{other.member_id}:50053",
        }
        for other in members
    ]
    return {
        "PYTHONPATH": str(REPOSITORY),
        "PATH": os.environ["PATH"],
        "PRIMACY_CONSENSUS_NODE": member.name,
        "PRIMACY_CONSENSUS_LISTEN": member.api_endpoint,
        "PRIMACY_CONSENSUS_RAFT_LISTEN": f"127.0.0.1:{member.raft_port}",
        "PRIMACY_CONSENSUS_STORE_URL": f"sqlite:///{member.database}",
        "PRIMACY_CONSENSUS_MEMBERS": json.dumps(listed),
        "PRIMACY_CONSENSUS_ALLOW_VOLATILE_STORE": "true",
        "PRIMACY_CONSENSUS_READINESS_GRACE": "1h",  # No recovery runs beside them.
    }


def new_id() -> str:
    """Return a fresh UUID as text."""
    return str(uuid.uuid4())


async def acquire(member: MemberProcess, session_id: str | None = None) -> pb.AcquireResponse:
    """Acquire the lease `recovery` beside a member."""
    request = pb.AcquireRequest(name=LEASE, session_id=session_id or new_id())
    return await member.leases.Acquire(request, timeout=5)


async def register(
    member: MemberProcess,
    token: int,
    *,
    cluster_id: str | None = None,
    recovery_id: str | None = None,
    forward: bool = True,
) -> pb.RecoveryRecord:
    """Open a recovery; without `forward` a follower refuses it rather than ask the leader."""
    request = pb.RegisterRecoveryRequest(
        recovery_id=recovery_id or new_id(),
        fencing_token=token,
        cluster_id=cluster_id or new_id(),
        failed_instance="db1:3306",
        data=b"begun",
    )
    metadata = () if forward else (NOT_FORWARDED,)
    return (await member.journal.RegisterRecovery(request, timeout=5, metadata=metadata)).record


async def read(stream: Any) -> Any:
    """Return the next message of a stream, within five seconds."""
    async with asyncio.timeout(5):
        return await stream.read()


async def health(member: MemberProcess, service: str = "") -> bool:
    """Tell whether a member's health says SERVING."""
    check = health_pb2_grpc.HealthStub(member.channel).Check  # type: ignore[attr-defined]  # The types know no fields.
    response = await check(health_pb2.HealthCheckRequest(service=service), timeout=2)
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
