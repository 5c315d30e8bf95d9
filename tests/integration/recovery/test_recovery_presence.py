"""The recovery beside a member makes it ready to lead, and unready when it could not do its work (8.3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from primacy.consensus.v1 import consensus_pb2 as pb

from services.recovery.consensus_client import ConsensusClient
from services.recovery.presence import Presence
from tests.support.consensus_group import consensus_group, health, new_id
from tests.support.eventually import eventually


async def test_member_is_ready_while_its_recovery_says_that_it_could_work(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, 1, extra={"readiness_grace": "1500ms"}) as group:
        member = group.members[0]
        member.start()
        await group.leader()

        async def ready(expected: bool) -> bool:
            blocked = pb.BLOCKER_NOT_READY in (await member.status()).blockers
            return blocked is not expected and await health(member, "primacy.leader") is expected

        await eventually(lambda: ready(False), within=10)
        able = True
        presence = asyncio.create_task(Presence(ConsensusClient(member.channel), new_id(), lambda: able).run())
        try:
            await eventually(lambda: ready(True), within=10)
            able = False
            await eventually(lambda: ready(False), within=10)
            able = True
            await eventually(lambda: ready(True), within=10)
        finally:
            presence.cancel()
            await asyncio.gather(presence, return_exceptions=True)
        await eventually(lambda: ready(False), within=10)
