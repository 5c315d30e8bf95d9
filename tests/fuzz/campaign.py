"""Attacks on a group of real members for a while; it has to go on as if nothing were."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Final

from primacy.consensus.v1 import consensus_pb2 as pb

from services.consensus.settings import ConsensusSettings
from tests.fuzz.attacks import ATTACKS, Target
from tests.support.consensus_group import Group, MemberProcess, consensus_group

_AT_ONCE: Final = 8
GROWTH_KB: Final = 32 * 1024
"""How much a member may grow; gRPC keeps buffers once it has needed them."""


async def campaign(seed: int, seconds: float) -> int:
    """Attack for so long, with timers that a busy machine does not upset; return how many attacks there were.

    Raises:
        AssertionError: A member ended, grew, or the group changed its leader.
    """
    with tempfile.TemporaryDirectory(prefix="primacy-fuzz-") as directory:
        async with consensus_group(Path(directory), extra={"profile": "wan"}) as group:
            for member in group.members:
                member.start()
            await group.leader(within=30)
            await _attack(group, random.Random(seed), 2)
            before = [resident_kb(member) for member in group.members]
            leader = await group.leader()
            term = (await leader.status()).term
            count = await _attack(group, random.Random(seed + 1), seconds)
            for member, was_kb in zip(group.members, before, strict=True):
                assert member.running, f"{member.name} ended:\n{member.output[-3000:]}"
                grown = resident_kb(member) - was_kb
                assert grown < GROWTH_KB, f"{member.name} grew by {grown} KB"
                assert "Traceback" not in member.output, member.output[-3000:]
            assert (await leader.status()).term == term, "attacks from outside disturbed the group"
            return count


async def _attack(group: Group, chance: random.Random, seconds: float) -> int:
    until = time.monotonic() + seconds
    count = 0

    async def one_after_another(number: int) -> None:
        nonlocal count
        own = random.Random(chance.random() + number)
        while time.monotonic() < until:
            member = own.choice(group.members)
            await own.choice(ATTACKS)(target_of(group, member), own)
            count += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(_AT_ONCE):
            tasks.create_task(one_after_another(number))
    return count


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
