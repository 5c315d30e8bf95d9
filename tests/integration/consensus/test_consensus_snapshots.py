"""Members that were away so long that the others have forgotten what they lack (15)."""

from __future__ import annotations

from pathlib import Path

from tests.support.consensus_group import MemberProcess, acquire, consensus_group, register
from tests.support.eventually import eventually

SHORT = {"snapshot_entries": "20", "trailing_entries": "5", "max_log": "1KiB", "session_ttl": "60s"}
"""A log that is compacted soon, whoever is behind."""


async def _first_index(member: MemberProcess) -> int:
    return (await member.status()).first_index


async def test_member_that_was_away_for_long_gets_a_snapshot_and_keeps_it(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra=SHORT) as group:
        for member in group.members:
            member.start()
        leader = await group.leader(within=30)
        await group.agree(within=30)
        away = group.others(leader)[0]
        away.kill()
        token = (await acquire(leader)).lease.fencing_token
        for _ in range(60):
            await register(leader, token)

        async def compacted() -> bool:
            return await _first_index(leader) > 30

        await eventually(compacted, within=10)
        away.start()
        await group.agree(within=30)
        assert "consensus.snapshot_installed" in away.output
        assert await _first_index(away) > 30

        # What it was given is on its disk, and what follows fits.
        away.kill()
        await register(leader, token)
        away.start()
        await group.agree(within=30)
        assert away.output.count("consensus.snapshot_installed") == 1
        assert (await away.status()).applied_index == (await leader.status()).commit_index


async def test_group_goes_on_when_the_leader_dies_while_it_sends_a_snapshot(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, extra=SHORT) as group:
        for member in group.members:
            member.start()
        leader = await group.leader(within=30)
        await group.agree(within=30)
        away, other = group.others(leader)
        away.kill()
        token = (await acquire(leader)).lease.fencing_token
        for _ in range(60):
            await register(leader, token)
        away.start()
        await eventually(lambda: "consensus.snapshot_begun" in leader.output, within=10)
        leader.kill()
        # Nothing is committed without the member that needs the snapshot.
        successor = await group.leader(among=(away, other), within=30)
        await acquire(successor)
        leader.start()
        await group.agree(within=30)
