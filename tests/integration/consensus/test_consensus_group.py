"""Groups of real processes: they elect, commit, survive kill -9, and give up what they must when cut off."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.support.consensus_group import LEASE, acquire, consensus_group, new_id, read, register
from tests.support.eventually import eventually


async def test_three_members_commit_and_survive_the_leaders_death(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        recovery = await register(leader, token)

        leader.kill()
        successor = await group.leader(among=group.others(leader))
        found = await successor.journal.GetRecord(pb.GetRecordRequest(recovery_id=recovery.recovery_id), timeout=5)

        assert found.record == recovery
        newer = (await acquire(successor)).lease.fencing_token
        assert newer > token
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await register(successor, token)
        assert parse_error(refused.value).reason == "STALE_FENCING_TOKEN"
        leader.start()
        await group.agree()


async def test_restart_of_all_keeps_the_state(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        token = (await acquire(leader)).lease.fencing_token
        recovery = await register(leader, token)
        for member in group.members:
            member.kill()

        for member in group.members:
            member.start()
        await group.leader()
        await group.agree()
        for member in group.members:
            found = await member.journal.GetRecord(pb.GetRecordRequest(recovery_id=recovery.recovery_id), timeout=5)
            assert found.record == recovery


async def test_one_member_alone_is_its_own_quorum(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, size=1) as group:
        group.member(1).start()
        leader = await group.leader()
        assert (await acquire(leader)).lease.fencing_token > 0


async def test_isolated_leader_loses_its_lease_and_refuses(tmp_path: Path) -> None:
    async with consensus_group(tmp_path, linked=True) as group:
        for member in group.members:
            member.start()
        leader = await group.leader()
        session = new_id()
        token = (await acquire(leader, session)).lease.fencing_token
        stream = leader.leases.KeepAlive()
        await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
        assert (await read(stream)).state == pb.KeepAliveResponse.STATE_LIVE

        await group.isolate(leader)
        successor = await group.leader(among=group.others(leader))
        newer = (await acquire(successor)).lease.fencing_token

        async def lost() -> bool:
            return bool((await read(stream)).state == pb.KeepAliveResponse.STATE_LOST)

        await eventually(lost, within=2, message="LOST is pushed")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await register(leader, token)
        assert parse_error(refused.value).reason == "NO_LEADER"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await leader.leases.Check(pb.CheckRequest(name=LEASE, fencing_token=token), timeout=5)
        assert parse_error(refused.value).reason == "NO_LEADER"

        await group.heal()
        await group.agree()
        assert newer > token
