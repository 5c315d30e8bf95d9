"""Attacks on a group of real members for a while; it has to go on as if nothing were."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.settings import ConsensusSettings
from tests.fuzz.attacks import ATTACKS, Target
from tests.support.consensus_group import Group, MemberProcess, consensus_group

_AT_ONCE: Final = 8
GROWTH_KB: Final = 32 * 1024
"""How much a member may grow; gRPC keeps buffers once it has needed them."""


@dataclass
class Round:
    """What came of attacks from one seed.

    Attributes:
        seed: Of the attacks.
        endings: How attacks ended: the reasons of refusals, or what became of connections.
        grown_kb: By how much the member grew that grew most.
        violations: What is wrong; empty = nothing.
    """

    seed: int
    endings: Counter[str] = field(default_factory=Counter)
    grown_kb: int = 0
    violations: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def attacked_group() -> AsyncIterator[Group]:
    """Three members with a leader, with timers that a busy machine does not upset."""
    with tempfile.TemporaryDirectory(prefix="primacy-fuzz-") as directory:
        async with consensus_group(Path(directory), extra={"profile": "wan"}) as group:
            for member in group.members:
                member.start()
            await group.leader(within=30)
            yield group


async def campaign(seed: int, seconds: float) -> Round:
    """Attack for so long."""
    found = Round(seed)
    async with attacked_group() as group:
        await _attack(group, random.Random(seed), 2)
        before = [resident_kb(member) for member in group.members]
        leader = await group.leader()
        term = (await leader.status()).term
        found.endings = await _attack(group, random.Random(seed + 1), seconds)
        for member, was_kb in zip(group.members, before, strict=True):
            if not member.running:
                found.violations.append(f"{member.name} ended:\n{member.output[-3000:]}")
                continue
            found.grown_kb = max(found.grown_kb, resident_kb(member) - was_kb)
            if "Traceback" in member.output:
                found.violations.append(f"{member.name} was surprised:\n{member.output[-3000:]}")
        if found.grown_kb > GROWTH_KB:
            found.violations.append(f"a member grew by {found.grown_kb} KB")
        if not leader.running or (await leader.status()).term != term:
            found.violations.append("attacks from outside disturbed the group")
    return found


async def _attack(group: Group, chance: random.Random, seconds: float) -> Counter[str]:
    until = time.monotonic() + seconds
    endings: Counter[str] = Counter()

    async def one_after_another(number: int) -> None:
        own = random.Random(chance.random() + number)
        while time.monotonic() < until:
            member = own.choice(group.members)
            endings[await own.choice(ATTACKS)(target_of(group, member), own)] += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(_AT_ONCE):
            tasks.create_task(one_after_another(number))
    return endings


def target_of(group: Group, member: MemberProcess) -> Target:
    """Return where to attack a member."""
    sender = group.others(member)[0]
    hello = pb.Hello(
        protocol_min=1,
        protocol_max=1,
        group_id=group_id_of(member),
        member_id=sender.member_id,
        to_member_id=member.member_id,
        incarnation=incarnation_of(sender),
        configuration_index=1,
    )
    return Target(f"127.0.0.1:{member.raft_port}", member.api_endpoint, hello)


def resident_kb(member: MemberProcess) -> int:
    """Return how much memory a member takes, kilobytes."""
    status = Path(f"/proc/{member.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split("kB")[0])


def group_id_of(member: MemberProcess) -> str:
    """Return the id of the group that the members' settings make."""
    listed = member.environment["PRIMACY_CONSENSUS_MEMBERS"]
    settings = ConsensusSettings.model_validate({"node": member.name, "members": json.loads(listed)})
    return settings.group_id


def incarnation_of(member: MemberProcess) -> str:
    """Return which store a member has."""
    with sqlite3.connect(f"file:{member.database}?mode=ro", uri=True) as database:
        return str(database.execute("SELECT incarnation FROM raft_member").fetchone()[0])
