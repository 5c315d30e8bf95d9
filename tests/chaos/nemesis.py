"""What is done to a group: faults drawn from a seed, one after the other, each with time to recover after it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import grpc
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.clock import boottime_ns
from tests.support.consensus_group import Group, MemberProcess
from tests.support.lab.proxy import TcpProxy


class Fault(Enum):
    """One kind of trouble."""

    KILL_LEADER = "kill_leader"
    KILL_FOLLOWER = "kill_follower"
    KILL_PAIR = "kill_pair"
    KILL_AGAIN = "kill_again"
    KILL_ALL = "kill_all"
    STOP_LEADER = "stop_leader"
    STOP_FOLLOWER = "stop_follower"
    CUT_ONE_WAY = "cut_one_way"
    ISOLATE_LEADER = "isolate_leader"
    RESET_LINKS = "reset_links"
    DELAY_LINKS = "delay_links"
    FILL_DISK = "fill_disk"
    TRANSFER = "transfer"


KILLS: Final = {
    Fault.KILL_LEADER: 8,
    Fault.KILL_FOLLOWER: 5,
    Fault.KILL_PAIR: 3,
    Fault.KILL_AGAIN: 3,
    Fault.KILL_ALL: 1,
}
"""Weights among kills: about half of them begin with the leader."""
OTHERS: Final = {
    Fault.STOP_LEADER: 2,
    Fault.STOP_FOLLOWER: 1,
    Fault.CUT_ONE_WAY: 2,
    Fault.ISOLATE_LEADER: 2,
    Fault.RESET_LINKS: 1,
    Fault.DELAY_LINKS: 1,
    Fault.FILL_DISK: 1,
    Fault.TRANSFER: 2,
}
_KILL_SHARE: Final = (0.6, 0.9)
_WHOLE_SHARE: Final = (0.2, 0.7)
_LONG_ABSENCE: Final = 0.1
"""Share of kills after which a member is away for so long that it needs a snapshot."""
_STARTING_S: Final = 2.0
"""A member that is killed again dies within this time of its start: before, while or after it reads its store."""


@dataclass(frozen=True)
class Mix:
    """How often what is done in one campaign; each seed has a mix of its own.

    Attributes:
        weights: By fault.
        whole: Share of faults that wait until the one before is over; the others strike a group that just has a quorum
            again, while members still start.
    """

    weights: Mapping[Fault, float]
    whole: float

    @classmethod
    def draw(cls, chance: random.Random, *, small_disk: bool) -> Mix:
        """Draw the share of kills, and how it is divided; a disk can be filled only where it is small."""
        kill_share = chance.uniform(*_KILL_SHARE)
        kills = {fault: weight * chance.uniform(0.5, 1.5) for fault, weight in KILLS.items()}
        others = {fault: weight * chance.uniform(0.1, 2.0) for fault, weight in OTHERS.items()}
        if not small_disk:
            del others[Fault.FILL_DISK]
        weights = _scaled(kills, kill_share) | _scaled(others, 1 - kill_share)
        return cls(weights, chance.uniform(*_WHOLE_SHARE))


def _scaled(weights: Mapping[Fault, float], total: float) -> dict[Fault, float]:
    present = sum(weights.values())
    return {fault: weight * total / present for fault, weight in weights.items()}


@dataclass
class Schedule:
    """What was done.

    Attributes:
        done: How often each fault.
        kills: Processes killed (-9).
        leader_kills: When the leader of a group that was whole was killed, and who; nanoseconds of T1.
    """

    done: Counter[Fault] = field(default_factory=Counter)
    kills: int = 0
    leader_kills: list[tuple[int, int]] = field(default_factory=list)


class Nemesis:
    """Draws faults and carries them out."""

    def __init__(self, group: Group, seed: int, small_disk: Path | None) -> None:
        """Make a nemesis.

        Args:
            group: All of its members run.
            seed: Of the schedule.
            small_disk: File system of the last member's store; None = there is no small one.
        """
        self.schedule = Schedule()
        self._group = group
        self._random = random.Random(seed)
        self._small_disk = small_disk
        self.mix = Mix.draw(self._random, small_disk=small_disk is not None)

    async def strike(self, steady: Callable[[bool], Awaitable[MemberProcess]]) -> None:
        """Do one thing, and undo it.

        Args:
            steady: Waits until a leader commits, and, if asked to, until all others follow it; returns the leader.
        """
        whole = self._random.random() < self.mix.whole
        fault = self._random.choices(list(self.mix.weights), list(self.mix.weights.values()))[0]
        leader = await steady(whole)
        self.schedule.done[fault] += 1
        match fault:
            case Fault.KILL_LEADER:
                if whole:
                    self.schedule.leader_kills.append((boottime_ns(), leader.member_id))
                await self._kill(leader)
            case Fault.KILL_FOLLOWER:
                await self._kill(self._follower(leader))
            case Fault.KILL_PAIR:
                await self._kill_pair(leader)
            case Fault.KILL_AGAIN:
                await self._kill_again(self._random.choice((leader, self._follower(leader))))
            case Fault.KILL_ALL:
                await self._kill(*self._group.members)
            case Fault.STOP_LEADER:
                await self._stop(leader)
            case Fault.STOP_FOLLOWER:
                await self._stop(self._follower(leader))
            case Fault.CUT_ONE_WAY:
                ends = self._random.sample(self._group.members, 2)
                await self._group.links[ends[0].member_id, ends[1].member_id].hang()
                await self._hold(0.5, 2.0)
            case Fault.ISOLATE_LEADER:
                await self._group.isolate(leader)
                await self._hold(0.5, 2.0)
            case Fault.RESET_LINKS:
                await self._reset()
            case Fault.DELAY_LINKS:
                for link in self._some_links():
                    await link.delay(self._random.uniform(0.005, 0.1))
                await self._hold(0.5, 2.0)
            case Fault.FILL_DISK:
                await self._fill_disk()
            case Fault.TRANSFER:
                await self._transfer(leader)
        await self._group.heal()

    def _follower(self, leader: MemberProcess) -> MemberProcess:
        return self._random.choice(self._group.others(leader))

    def _some_links(self) -> Iterator[TcpProxy]:
        return (link for link in self._group.links.values() if self._random.random() < 0.5)

    async def _hold(self, shortest_s: float, longest_s: float) -> None:
        await asyncio.sleep(self._random.uniform(shortest_s, longest_s))

    async def _kill(self, *members: MemberProcess) -> None:
        for member in members:
            self._end(member)
        await self._absence()
        for member in members:
            member.start()

    def _end(self, member: MemberProcess) -> None:
        self.schedule.kills += member.running
        member.kill()

    async def _absence(self) -> None:
        if self._random.random() < _LONG_ABSENCE:
            await self._hold(2.0, 5.0)
        else:
            await self._hold(0.0, 1.0)

    async def _kill_pair(self, leader: MemberProcess) -> None:
        """Kill two, one shortly after the other: the leader and then a follower, or two followers."""
        followers = self._random.sample(self._group.others(leader), 2)
        first, second = self._random.choice(((leader, followers[0]), (followers[1], followers[0])))
        self._end(first)
        await self._hold(0.0, 0.5)
        await self._kill(second)
        first.start()

    async def _kill_again(self, member: MemberProcess) -> None:
        """Kill a member, and once more while it starts."""
        await self._kill(member)
        await self._hold(0.0, _STARTING_S)
        await self._kill(member)

    async def _stop(self, member: MemberProcess) -> None:
        member.signal(signal.SIGSTOP)
        await self._hold(0.2, 3.0)
        member.signal(signal.SIGCONT)

    async def _transfer(self, leader: MemberProcess) -> None:
        """Hand leadership over, to anybody or to somebody; that may be refused."""
        target = self._random.choice((0, *(other.member_id for other in self._group.others(leader))))
        with contextlib.suppress(grpc.aio.AioRpcError):
            await leader.group.TransferLeadership(pb.TransferLeadershipRequest(member_id=target), timeout=10)

    async def _reset(self) -> None:
        links = list(self._some_links())
        for link in links:
            await link.cut()
        await self._hold(0.0, 0.3)

    async def _fill_disk(self) -> None:
        assert self._small_disk is not None
        ballast = self._small_disk / "full"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65_536))
        await self._hold(1.0, 3.0)
        ballast.unlink()
