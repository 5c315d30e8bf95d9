"""Thousands of connections to one member that say nothing, all at the same time (W1).

Half of them go to the port of the peers, half to that of the clients, and none is given up before the member ends it.
Meanwhile an operation that needs a quorum is carried out again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from tests.fuzz.attacks import ANSWERED, LEFT_OPEN, Target, connect, refusal_of, silent_streams
from tests.fuzz.campaign import GROWTH_KB, resident_kb, target_of
from tests.support.consensus_group import Group, MemberProcess, new_id
from tests.support.eventually import eventually

STREAMS: Final = 64
"""Streams that are opened by a caller who speaks the protocol, and say nothing either: those are refused by name."""
FEW_FILES: Final = 256
"""Fewer than the connections that a member's ports admit."""
_WITHIN_S: Final = 20.0
"""How long a silent connection may live; both ports end it after 2 to 5 s."""
_AT_ONCE: Final = 500
_SPARE_FILES: Final = 200
_WRITE_S: Final = 1.0
_SAMPLE_S: Final = 0.02
_STARVED_MS: Final = 500.0
"""Nearly half of the shortest election timeout of these groups: who waits for a processor for so long in one second may
be late without any attack."""


@dataclass
class Silence:
    """What came of it.

    Attributes:
        wanted: Connections to open.
        opened: Connections that were made.
        unreached: Connections that were not, by why.
        most_held: Files that the member had open at most, beyond those before.
        left_open: Connections that the member had not ended in time.
        longest_s: Life of the connection that lived longest.
        before_kb: Memory of the member before; later the most, and what it took in the end.
        terms: By how much the terms of all members grew: elections.
        lapses: By how much the number of the leader's lease grew.
        writes: Writes meanwhile, by how they ended.
        slowest_ms: The slowest of them, seen from a process that is busy with the connections.
        reasons: How silent streams were refused.
        limits: Open files that this process and the member may have.
        cpu_wait_ms: For how long a member that was ready to run had to wait for a processor, the most in one second.
        crowded: The member may have fewer files open than its ports admit connections: those beyond wait in the kernel.
        violations: What is wrong; empty = nothing.
    """

    wanted: int
    opened: int = 0
    unreached: Counter[str] = field(default_factory=Counter)
    most_held: int = 0
    left_open: int = 0
    longest_s: float = 0.0
    before_kb: int = 0
    most_kb: int = 0
    after_kb: int = 0
    terms: int = 0
    lapses: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    limits: tuple[int, int] = (0, 0)
    cpu_wait_ms: float = 0.0
    crowded: bool = False
    violations: list[str] = field(default_factory=list)

    @property
    def starved(self) -> bool:
        """Whether this machine was too busy to tell what the connections did to heartbeats."""
        return self.cpu_wait_ms > _STARVED_MS

    def judge(self) -> None:
        """Say what is wrong."""
        grown_kb = self.after_kb - self.before_kb
        expected = {"PEER_REFUSED", LEFT_OPEN} if self.starved else {"PEER_REFUSED"}
        wrong = {
            f"{self.terms} elections, {self.lapses} lapses of the leader's lease": (self.terms or self.lapses)
            and not self.starved,
            f"the member grew by {grown_kb} KB": grown_kb > GROWTH_KB,
            f"{self.left_open} connections were left open": self.left_open and not self.crowded,
            f"silent streams were refused with {told(self.reasons)}": not set(self.reasons) <= expected,
            "nothing was committed meanwhile": not self.writes[ANSWERED],
        }
        self.violations += [text for text, is_wrong in wrong.items() if is_wrong]

    def __str__(self) -> str:
        facts = {
            "connections": f"{self.opened}/{self.wanted}",
            "unreached": told(self.unreached),
            "most_held": self.most_held,
            "left_open": self.left_open,
            "longest_s": f"{self.longest_s:.1f}",
            "rss_before_mb": f"{self.before_kb / 1024:.1f}",
            "rss_most_mb": f"{self.most_kb / 1024:.1f}",
            "rss_after_mb": f"{self.after_kb / 1024:.1f}",
            "elections": self.terms,
            "lease_lapses": self.lapses,
            "writes": told(self.writes),
            "slowest_write_ms": f"{self.slowest_ms:.0f}",
            "cpu_wait_ms": f"{self.cpu_wait_ms:.0f}",
            "starved": "yes" if self.starved else "no",
            "stream_reasons": told(self.reasons),
            "files_here": self.limits[0],
            "files_member": self.limits[1],
        }
        return " ".join(f"{name}={value}" for name, value in facts.items())


def told(counted: Counter[str]) -> str:
    """Return counts as one word; `none` for none."""
    return ",".join(f"{name}:{count}" for name, count in counted.most_common()) or "none"


async def keep_silent(group: Group, count: int, *, member_files: int | None = None) -> Silence:
    """Say nothing to the leader over so many connections.

    Args:
        group: Has a leader.
        count: Connections; no more are tried than this process may have open.
        member_files: How many files the leader may have open; None = as many as are needed, where that is allowed.
    """
    leader = await group.leader()
    found = Silence(count, before_kb=resident_kb(leader), crowded=member_files is not None)
    needed = count + _SPARE_FILES
    own = raise_files(os.getpid(), needed)
    its = raise_files(leader.pid, member_files or needed, exactly=member_files is not None)
    found.limits = own, its
    before = await leader.status()
    files = _open_files(leader.pid)
    target = target_of(group, leader)
    watching = [asyncio.create_task(_write(leader, found)), asyncio.create_task(_sample(leader, found, files))]
    watching += [asyncio.create_task(_watch_waits(member, found)) for member in group.members]
    try:
        await _fall_silent(target, min(count, own - _own_files() - _SPARE_FILES // 2), found)
        found.reasons.update(await silent_streams(target, STREAMS))
    finally:
        for task in watching:
            task.cancel()
        ended = await asyncio.gather(*watching, return_exceptions=True)
    broken = [error for error in ended if isinstance(error, Exception)]
    if broken:
        raise ExceptionGroup("could not watch", broken)
    if not leader.running:
        found.violations.append(f"{leader.name} ended:\n{leader.output[-3000:]}")
        return found
    found.after_kb = resident_kb(leader)
    after = {member.name: await _status(member) for member in group.members}
    found.terms = max(view.term for view in after.values()) - before.term
    found.lapses = after[leader.name].lease_seq - before.lease_seq
    found.judge()
    return found


def raise_files(pid: int, wanted: int, *, exactly: bool = False) -> int:
    """Let a process have so many files open, or as many as is allowed; return how many.

    Args:
        pid: Of a process of this user.
        wanted: How many.
        exactly: Lower the limit too, where it is higher.
    """
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if soft >= wanted and not exactly:
        return soft
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
        with contextlib.suppress(PermissionError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            break
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


async def _fall_silent(target: Target, count: int, found: Silence) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(endpoint: str) -> None:
        async with gate:
            try:
                reader, writer = await connect(endpoint)
            except OSError as error:
                found.unreached[error.strerror or type(error).__name__] += 1
                return
        found.opened += 1
        begun = time.monotonic()
        try:
            async with asyncio.timeout(_WITHIN_S):
                with contextlib.suppress(OSError):
                    while await reader.read(1024):
                        pass
        except TimeoutError:
            found.left_open += 1
        found.longest_s = max(found.longest_s, time.monotonic() - begun)
        writer.close()

    ends = (target.raft, target.api)
    await asyncio.gather(*(one(ends[number % 2]) for number in range(count)))


async def _write(leader: MemberProcess, found: Silence) -> None:
    """Have the leader commit one entry after the other, until cancelled."""
    instance = topology_pb2.Endpoint(host="db1", port=3306)
    while True:
        request = pb.SetTagRequest(instance=instance, name="rack", owner="fuzz", reason="silence", request_id=new_id())
        begun = time.monotonic()
        try:
            await leader.registry.SetTag(request, timeout=_WRITE_S)
        except grpc.aio.AioRpcError as error:
            found.writes[refusal_of(error)] += 1
        else:
            found.writes[ANSWERED] += 1
        found.slowest_ms = max(found.slowest_ms, (time.monotonic() - begun) * 1e3)
        await asyncio.sleep(_SAMPLE_S)


async def _sample(member: MemberProcess, found: Silence, files: int) -> None:
    while member.running:
        found.most_kb = max(found.most_kb, resident_kb(member))
        found.most_held = max(found.most_held, _open_files(member.pid) - files)
        await asyncio.sleep(_SAMPLE_S)


async def _watch_waits(member: MemberProcess, found: Silence) -> None:
    """Follow how long the event loop of a member waits for a processor."""
    while member.running:
        begun, waited_ns = time.monotonic(), _waited_ns(member.pid)
        await asyncio.sleep(1)
        per_s = (_waited_ns(member.pid) - waited_ns) / (time.monotonic() - begun)
        found.cpu_wait_ms = max(found.cpu_wait_ms, per_s / 1e6)


def _waited_ns(pid: int) -> int:
    """Return how long the first thread of a process has waited for a processor; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0


async def _status(member: MemberProcess) -> consensus_pb2.GetStatusResponse:
    return await eventually(member.status, within=_WITHIN_S, retry_on=grpc.aio.AioRpcError)


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _own_files() -> int:
    return _open_files(os.getpid())
