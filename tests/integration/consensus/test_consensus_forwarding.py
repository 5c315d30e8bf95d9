"""Any member takes any write and answers newest reads: it asks the leader (P4, 12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from primacy.consensus.v1 import consensus_pb2 as pb

from services.shared.runtime.status import parse_error
from tests.support.consensus_group import NOT_FORWARDED, Group, acquire, consensus_group, new_id, register


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    """Three members with a leader."""
    async with consensus_group(tmp_path) as made:
        for member in made.members:
            member.start()
        await made.leader(within=20)
        yield made


def publication(token: int, cluster_id: str) -> pb.PublishPrimaryRequest:
    request = pb.PublishPrimaryRequest(
        request_id=new_id(), fencing_token=token, cluster_id=cluster_id, alias=f"shop-{cluster_id}"
    )
    request.endpoint.host, request.endpoint.port = "db1", 3306
    return request


async def test_write_on_a_follower_shows_in_the_next_newest_read_of_another(group: Group) -> None:
    leader = await group.leader()
    token = (await acquire(leader)).lease.fencing_token
    one, other = group.others(leader)
    for _ in range(10):
        cluster_id = new_id()
        await one.registry.PublishPrimary(publication(token, cluster_id), timeout=5)
        newest = pb.GetPrimaryRequest(cluster=cluster_id, consistency=pb.CONSISTENCY_LINEARIZABLE)
        assert (await other.registry.GetPrimary(newest, timeout=5)).primary.epoch == 1


async def test_refusal_of_the_leader_reaches_the_callers_of_followers(group: Group) -> None:
    leader = await group.leader()
    token = (await acquire(leader)).lease.fencing_token
    follower = group.others(leader)[0]
    opened = await register(follower, token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await register(follower, token, cluster_id=opened.cluster_id)
    told = parse_error(refused.value)
    assert told.reason == "RECOVERY_OPEN"
    assert told.metadata["recovery_id"] == opened.recovery_id


async def test_stream_of_writes_is_taken_by_any_member(group: Group) -> None:
    leader = await group.leader()
    token = (await acquire(leader)).lease.fencing_token
    for member in group.members:
        call: Any = member.journal.Write()
        recovery_id = (await register(member, token)).recovery_id
        writes = [
            pb.WriteRequest(
                sequence=number,
                record_step=pb.RecordStepRequest(
                    recovery_id=recovery_id,
                    fencing_token=token,
                    step=pb.StepRecord(number=number, phase=pb.StepRecord.PHASE_INTENT),
                ),
            )
            for number in range(1, 41)
        ]
        writes[0].more.extend(writes[1:20])
        for message in (writes[0], *writes[20:]):
            await call.write(message)
        answers: dict[int, pb.WriteResponse] = {}
        async with asyncio.timeout(10):
            while len(answers) < 40:
                response = await call.read()
                answers |= {answer.sequence: answer for answer in (response, *response.more)}
        assert {answer.WhichOneof("response") for answer in answers.values()} == {"record_step"}
        record = (await leader.journal.GetRecord(pb.GetRecordRequest(recovery_id=recovery_id), timeout=5)).record
        assert len(record.steps) == 40
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_stream_on_a_follower_that_may_not_forward_names_the_leader(group: Group) -> None:
    leader = await group.leader()
    call: Any = group.others(leader)[0].journal.Write(metadata=(NOT_FORWARDED,))
    close = pb.CloseRecoveryRequest(recovery_id=new_id(), fencing_token=1)
    await call.write(pb.WriteRequest(sequence=1, close_recovery=close))
    async with asyncio.timeout(5):
        answer = await call.read()
    assert f"{leader.name} does" in status_pb2.Status.FromString(answer.error).message


async def test_nobody_leads_means_that_nothing_was_written(group: Group) -> None:
    leader = await group.leader()
    token = (await acquire(leader)).lease.fencing_token
    survivor, other = group.others(leader)
    leader.kill()
    other.kill()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await register(survivor, token)
    assert parse_error(refused.value).reason in {"NO_LEADER", "OUTCOME_UNKNOWN"}
