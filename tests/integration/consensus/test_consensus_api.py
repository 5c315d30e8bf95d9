"""The API of a running group, call by call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from primacy.consensus.v1 import consensus_pb2 as pb
from primacy.consensus.v1 import consensus_pb2_grpc as pb_grpc
from primacy.topology.v1 import topology_pb2

from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.status import RemoteError, parse_error
from tests.support.consensus_group import LEASE, Group, MemberProcess, acquire, health, new_id, read, register
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refusal(call: Awaitable[Any]) -> RemoteError:
    """Return how a call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return parse_error(refused.value)


@contextlib.asynccontextmanager
async def held_lease(group: Group) -> AsyncIterator[tuple[MemberProcess, int]]:
    """Hold the lease `recovery` beside the leader; gives the leader and the token, and releases it at the end."""
    leader = await group.leader()
    session = new_id()

    async def granted() -> int:
        return (await acquire(leader, session)).lease.fencing_token

    token = await eventually(granted, within=5, retry_on=grpc.aio.AioRpcError)
    stream = leader.leases.KeepAlive()
    keeper = asyncio.create_task(_keep(stream, session, token))
    try:
        yield leader, token
    finally:
        keeper.cancel()
        stream.cancel()
        await leader.leases.Release(pb.ReleaseRequest(name=LEASE, session_id=session, fencing_token=token), timeout=5)


async def _keep(stream: Any, session: str, token: int) -> None:
    while True:
        await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
        await asyncio.sleep(0.2)


def publication(
    token: int, cluster_id: str, host: str, *, recovery_id: str = "", alias: str = ""
) -> pb.PublishPrimaryRequest:
    return pb.PublishPrimaryRequest(
        request_id=new_id(),
        fencing_token=token,
        cluster_id=cluster_id,
        alias=alias or cluster_id,
        endpoint=topology_pb2.Endpoint(host=host, port=3306),
        server_uuid=new_id(),
        recovery_id=recovery_id,
    )


def step(recovery_id: str, token: int, number: int, phase: pb.StepRecord.Phase.ValueType) -> pb.RecordStepRequest:
    return pb.RecordStepRequest(
        recovery_id=recovery_id, fencing_token=token, step=pb.StepRecord(number=number, phase=phase, data=b"step")
    )


# Group.


async def test_all_members_agree_on_the_leader(group: Group) -> None:
    leader = await group.leader()
    status = await leader.status()
    assert (status.role, status.quorum_have, status.quorum_need) == (pb.ROLE_LEADER, 3, 2)
    assert [peer.member.name for peer in status.peers] == ["node1", "node2", "node3"]
    assert 0 < status.leader_lease_valid_for.ToMilliseconds() <= 300
    assert not status.blockers
    for follower in group.others(leader):
        view = await follower.status()
        assert (view.role, view.term, view.leader.name) == (pb.ROLE_FOLLOWER, status.term, leader.name)
        assert not view.HasField("leader_lease_valid_for")


async def test_leader_is_watched_from_any_member(group: Group) -> None:
    leader = await group.leader()
    for member in group.members:
        stream = member.group.WatchLeader(pb.WatchLeaderRequest())
        first = last = await read(stream)
        assert first.leader.name == leader.name
        assert first.leads_with_lease is (member is leader)
        assert not first.progress
        while not last.progress:  # The group may still record whose store is whose.
            last = await read(stream)
        stream.cancel()
        assert (last.leader.member_id, last.term) == (first.leader.member_id, first.term)


async def test_health_names_the_leader(group: Group) -> None:
    leader = await group.leader()
    for member in group.members:
        assert await health(member)
        assert await health(member, "primacy.leader") is (member is leader)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"group_id": "another"}, "this is group", id="another-group"),
        pytest.param({"to_member_id": 9}, "not 9", id="meant-for-another-member"),
        pytest.param({"member_id": 9}, "not another member", id="stranger"),
        pytest.param({"protocol_min": 7, "protocol_max": 9}, "protocol 7..9", id="another-protocol"),
    ],
)
async def test_stranger_is_refused_before_any_message(group: Group, change: dict[str, Any], says: str) -> None:
    member = group.member(1)
    facts: dict[str, Any] = {"protocol_min": 1, "protocol_max": 1, "member_id": 2, "to_member_id": 1, **change}
    async with open_channel(f"127.0.0.1:{member.raft_port}") as channel:
        stub = pb_grpc.RaftServiceStub(channel)
        vote = await refusal(stub.Vote(pb.VoteRequest(hello=pb.Hello(**facts), term=99), timeout=2))
        stream = stub.Append()
        await stream.write(pb.AppendRequest(hello=pb.Hello(**facts)))
        append = await refusal(read(stream))
    assert vote.reason == append.reason == "PEER_REFUSED"
    if "group_id" in change or "protocol_min" in change:
        assert says in vote.message
    assert (await member.status()).term < 99


# Leases.


async def test_lease_is_granted_once(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        taken = await refusal(acquire(leader))
        assert taken.code is grpc.StatusCode.FAILED_PRECONDITION
        assert taken.reason == "LEASE_HELD"
        assert taken.metadata["fencing_token"] == str(token)
        holder = await acquire(leader, taken.metadata["session_id"])
        assert holder.lease.fencing_token == token
        assert [lease.fencing_token for lease in (await leader.status()).leases] == [token]


async def test_follower_names_the_leader_and_its_services(group: Group) -> None:
    leader = await group.leader()
    for follower in group.others(leader):
        for call in (
            acquire(follower),
            register(follower, 1, forward=False),
            follower.leases.Check(pb.CheckRequest(name="x", fencing_token=1)),
        ):
            refused = await refusal(call)
            assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
            assert refused.reason == "NOT_LEADER"
            assert refused.metadata == {
                "leader": leader.name,
                "endpoint": leader.api_endpoint,
                "recovery_endpoint": f"recovery-{leader.member_id}:50053",
            }


async def test_check_tells_the_newest_token_from_older_ones(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        good = await leader.leases.Check(pb.CheckRequest(name=LEASE, fencing_token=token), timeout=5)
        assert 0 < good.validity.valid_for.ToMilliseconds() <= 300
        stale = await refusal(leader.leases.Check(pb.CheckRequest(name=LEASE, fencing_token=token - 1), timeout=5))
        assert stale.code is grpc.StatusCode.ABORTED
        assert stale.reason == "STALE_FENCING_TOKEN"
        assert stale.metadata == {"newest": str(token), "offered": str(token - 1)}


async def test_kept_lease_is_extended_at_each_round_and_lost_at_release(group: Group) -> None:
    leader = await group.leader()
    session = new_id()
    token = (await acquire(leader, session)).lease.fencing_token
    stream = leader.leases.KeepAlive()
    await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
    pushes = [await read(stream) for _ in range(4)]
    ends = [push.validity.valid_until_boottime_ns for push in pushes]
    assert all(push.state == pb.KeepAliveResponse.STATE_LIVE for push in pushes)
    assert ends == sorted(set(ends))
    assert len({push.validity.lease_seq for push in pushes}) == 1

    await leader.leases.Release(pb.ReleaseRequest(name=LEASE, session_id=session, fencing_token=token), timeout=5)

    async def lost() -> bool:
        return bool((await read(stream)).state == pb.KeepAliveResponse.STATE_LOST)

    await eventually(lost, within=2)


@pytest.mark.parametrize("broken", [pytest.param(True, id="stream-broken"), pytest.param(False, id="silent")])
async def test_session_that_is_not_heard_loses_its_lease(group: Group, broken: bool) -> None:
    leader = await group.leader()
    session = new_id()
    token = (await acquire(leader, session)).lease.fencing_token
    stream = leader.leases.KeepAlive()
    await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=session, fencing_token=token))
    await read(stream)
    if broken:
        stream.cancel()

    async def granted_to_another() -> int:
        other = new_id()
        newer = (await acquire(leader, other)).lease.fencing_token
        await leader.leases.Release(pb.ReleaseRequest(name=LEASE, session_id=other, fencing_token=newer), timeout=5)
        return newer

    newer = await eventually(granted_to_another, within=5, retry_on=grpc.aio.AioRpcError)
    assert newer > token
    stream.cancel()


async def test_token_of_another_session_keeps_nothing_alive(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        stream = leader.leases.KeepAlive()
        await stream.write(pb.KeepAliveRequest(name=LEASE, session_id=new_id(), fencing_token=token))
        assert (await refusal(read(stream))).reason == "STALE_FENCING_TOKEN"


# Journal.


async def test_recovery_from_registration_to_close(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        record = await register(leader, token)
        for phase in (pb.StepRecord.PHASE_INTENT, pb.StepRecord.PHASE_DONE):
            written = await leader.journal.RecordStep(step(record.recovery_id, token, 1, phase), timeout=5)
        assert written.step_count == 1
        closing = pb.CloseRecoveryRequest(
            recovery_id=record.recovery_id, fencing_token=token, data=b"ended", successful=True
        )
        closed = (await leader.journal.CloseRecovery(closing, timeout=5)).record
        assert (closed.open, closed.data) == (False, b"ended")
        assert [(each.number, each.phase, each.data) for each in closed.steps] == [
            (1, pb.StepRecord.PHASE_DONE, b"step")
        ]
        assert closed.steps[0].HasField("end_time")
        for member in group.members:

            async def replicated(member: MemberProcess = member) -> bool:
                request = pb.GetRecordRequest(recovery_id=record.recovery_id)
                return (await member.journal.GetRecord(request, timeout=5)).record == closed

            await eventually(replicated, within=5, retry_on=grpc.aio.AioRpcError)


async def test_first_steps_come_with_the_registration(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        request = pb.RegisterRecoveryRequest(
            recovery_id=new_id(),
            fencing_token=token,
            cluster_id=new_id(),
            failed_instance="db1:3306",
            steps=[pb.StepRecord(number=1, phase=pb.StepRecord.PHASE_INTENT, hold=duration_pb2.Duration(seconds=2))],
        )
        record = (await leader.journal.RegisterRecovery(request, timeout=5)).record
        assert [each.hold.seconds for each in record.steps] == [2]
        further = step(record.recovery_id, token, 1, pb.StepRecord.PHASE_DONE)
        further.more_steps.add(number=2, phase=pb.StepRecord.PHASE_INTENT)
        assert (await leader.journal.RecordStep(further, timeout=5)).step_count == 2


async def test_second_recovery_of_a_cluster_learns_who_has_it(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        record = await register(leader, token)
        refused = await refusal(register(leader, token, cluster_id=record.cluster_id))
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "RECOVERY_OPEN"
        assert refused.metadata["recovery_id"] == record.recovery_id
        again = await register(leader, token, cluster_id=record.cluster_id, recovery_id=record.recovery_id)
        assert again == record


async def test_recent_success_blocks_and_says_until_when(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        record = await register(leader, token)
        closing = pb.CloseRecoveryRequest(recovery_id=record.recovery_id, fencing_token=token, successful=True)
        await leader.journal.CloseRecovery(closing, timeout=5)
        request = pb.RegisterRecoveryRequest(
            recovery_id=new_id(),
            fencing_token=token,
            cluster_id=record.cluster_id,
            failed_instance="db2:3306",
            block_period=duration_pb2.Duration(seconds=3600),
        )
        refused = await refusal(leader.journal.RegisterRecovery(request, timeout=5))
        assert refused.reason == "ANTI_FLAPPING"
        assert refused.metadata["recovery_id"] == record.recovery_id
        assert "T" in refused.metadata["until"]


async def test_newer_holder_adopts_and_the_older_token_is_void(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        record = await register(leader, token)
    async with held_lease(group) as (leader, newer):
        stale = await refusal(
            leader.journal.RecordStep(step(record.recovery_id, token, 1, pb.StepRecord.PHASE_INTENT), timeout=5)
        )
        assert stale.reason == "STALE_FENCING_TOKEN"
        early = await refusal(
            leader.journal.RecordStep(step(record.recovery_id, newer, 1, pb.StepRecord.PHASE_INTENT), timeout=5)
        )
        assert early.reason == "STALE_FENCING_TOKEN"
        adoption = pb.AdoptRecoveryRequest(recovery_id=record.recovery_id, fencing_token=newer)
        adopted = (await leader.journal.AdoptRecovery(adoption, timeout=5)).record
        assert adopted.fencing_token == newer
        await leader.journal.RecordStep(step(record.recovery_id, newer, 1, pb.StepRecord.PHASE_INTENT), timeout=5)


async def test_records_are_listed_in_pages_newest_first(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        made = [(await register(leader, token)).recovery_id for _ in range(3)]
        listed: list[str] = []
        request = pb.ListRecordsRequest(page_size=1, only_open=True)
        while len(listed) < 3:
            page = await leader.journal.ListRecords(request, timeout=5)
            listed += [record.recovery_id for record in page.records if record.recovery_id in made]
            request.page_token = page.next_page_token
        times = [
            (await leader.journal.GetRecord(pb.GetRecordRequest(recovery_id=each))).record.register_time
            for each in listed
        ]
        assert set(listed) == set(made)
        assert [time.ToMicroseconds() for time in times] == sorted((t.ToMicroseconds() for t in times), reverse=True)
        broken = await refusal(leader.journal.ListRecords(pb.ListRecordsRequest(page_token="bm9uZQ=="), timeout=5))
        assert broken.metadata["field"] == "page_token"


async def test_follower_streams_records_whole(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        follower = group.others(leader)[0]
        before = await register(leader, token)

        async def known() -> pb.GetRecordResponse:
            return await follower.journal.GetRecord(pb.GetRecordRequest(recovery_id=before.recovery_id), timeout=5)

        await eventually(known, within=5, retry_on=grpc.aio.AioRpcError)
        stream = follower.journal.WatchRecords(pb.WatchRecordsRequest())
        first = await read(stream)
        assert before.recovery_id in {record.recovery_id for record in first.changed}
        await leader.journal.RecordStep(step(before.recovery_id, token, 1, pb.StepRecord.PHASE_INTENT), timeout=5)

        async def changed() -> bool:
            update = await read(stream)
            return [len(record.steps) for record in update.changed] == [1] and update.revision > first.revision

        await eventually(changed, within=5)
        stream.cancel()


# Directory.


async def test_epoch_grows_with_each_recovery(group: Group) -> None:
    cluster_id = new_id()
    async with held_lease(group) as (leader, token):
        found = (await leader.registry.PublishPrimary(publication(token, cluster_id, "db1"), timeout=5)).primary
        again = (await leader.registry.PublishPrimary(publication(token, cluster_id, "db9"), timeout=5)).primary
        request = publication(token, cluster_id, "db2", recovery_id=new_id())
        made = (await leader.registry.PublishPrimary(request, timeout=5)).primary
        repeated = (await leader.registry.PublishPrimary(request, timeout=5)).primary
        assert (found.epoch, found.endpoint.host) == (1, "db1")
        assert again == found
        assert (made.epoch, made.endpoint.host, made.former[0].endpoint.host) == (2, "db2", "db1")
        assert repeated == made
        request.endpoint.host = "db3"
        reused = await refusal(leader.registry.PublishPrimary(request, timeout=5))
        assert reused.reason == "REQUEST_ID_REUSED"


async def test_primary_is_found_by_id_and_alias_on_any_member(group: Group) -> None:
    cluster_id = new_id()
    async with held_lease(group) as (leader, token):
        await leader.registry.PublishPrimary(
            publication(token, cluster_id, "db1", alias=f"shop-{cluster_id}"), timeout=5
        )
        newest = pb.GetPrimaryRequest(cluster=cluster_id, consistency=pb.CONSISTENCY_LINEARIZABLE)
        assert (await leader.registry.GetPrimary(newest, timeout=5)).primary.epoch == 1
        for follower in group.others(leader):
            assert (await follower.registry.GetPrimary(newest, timeout=5)).primary.epoch == 1

            async def found(member: MemberProcess = follower) -> pb.GetPrimaryResponse:
                return await member.registry.GetPrimary(pb.GetPrimaryRequest(cluster=f"shop-{cluster_id}"), timeout=5)

            response = await eventually(found, within=5, retry_on=grpc.aio.AioRpcError)
            assert response.primary.cluster_id == cluster_id
            assert response.staleness.ToMilliseconds() < 1_000
        unknown = await refusal(leader.registry.GetPrimary(pb.GetPrimaryRequest(cluster="nobody"), timeout=5))
        assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "CLUSTER_UNKNOWN")


async def test_follower_streams_the_directory(group: Group) -> None:
    cluster_id = new_id()
    async with held_lease(group) as (leader, token):
        stream = group.others(leader)[0].registry.WatchPrimaries(pb.WatchPrimariesRequest())
        await read(stream)
        await leader.registry.PublishPrimary(publication(token, cluster_id, "db1"), timeout=5)

        async def told() -> bool:
            return cluster_id in {primary.cluster_id for primary in (await read(stream)).changed}

        await eventually(told, within=5)

        async def progress() -> bool:
            update = await read(stream)
            return not update.changed and update.staleness.ToMilliseconds() < 1_000

        await eventually(progress, within=5)
        stream.cancel()


async def test_primaries_are_listed_in_pages_by_alias(group: Group) -> None:
    async with held_lease(group) as (leader, token):
        for alias in ("b", "a"):
            await leader.registry.PublishPrimary(publication(token, new_id(), "db1", alias=alias), timeout=5)
        first = await leader.registry.ListPrimaries(pb.ListPrimariesRequest(page_size=1), timeout=5)
        rest = await leader.registry.ListPrimaries(pb.ListPrimariesRequest(page_token=first.next_page_token), timeout=5)
        aliases = [primary.alias for primary in (*first.primaries, *rest.primaries)]
        assert aliases == sorted(aliases)
        assert rest.next_page_token == ""


# Malformed requests.


def call(service: str, method: str) -> Callable[[MemberProcess], Callable[..., Awaitable[Any]]]:
    return lambda member: getattr(getattr(member, service), method)


GOOD_ID = "6f2c1d0e-7a57-4c1c-9f0b-0d4f0c6a5b11"


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        pytest.param(call("leases", "Acquire"), pb.AcquireRequest(session_id=GOOD_ID), "name", id="no-name"),
        pytest.param(call("leases", "Acquire"), pb.AcquireRequest(name=" x"), "name", id="padded"),
        pytest.param(
            call("leases", "Acquire"), pb.AcquireRequest(name="x", session_id="me"), "session_id", id="session"
        ),
        pytest.param(call("leases", "Check"), pb.CheckRequest(name="x"), "fencing_token", id="no-token"),
        pytest.param(
            call("journal", "RegisterRecovery"),
            pb.RegisterRecoveryRequest(recovery_id="r1", fencing_token=1),
            "recovery_id",
            id="recovery-id",
        ),
        pytest.param(
            call("journal", "RegisterRecovery"),
            pb.RegisterRecoveryRequest(recovery_id=GOOD_ID, fencing_token=1, cluster_id="c"),
            "cluster_id",
            id="cluster-id",
        ),
        pytest.param(
            call("journal", "RegisterRecovery"),
            pb.RegisterRecoveryRequest(
                recovery_id=GOOD_ID, fencing_token=1, cluster_id=GOOD_ID, failed_instance="d" * 256
            ),
            "failed_instance",
            id="too-long",
        ),
        pytest.param(
            call("journal", "RecordStep"),
            pb.RecordStepRequest(recovery_id=GOOD_ID, fencing_token=1),
            "step.number",
            id="no-step",
        ),
        pytest.param(
            call("journal", "RecordStep"),
            pb.RecordStepRequest(recovery_id=GOOD_ID, fencing_token=1, step=pb.StepRecord(number=1)),
            "step.phase",
            id="no-phase",
        ),
        pytest.param(
            call("journal", "RecordStep"),
            pb.RecordStepRequest(
                recovery_id=GOOD_ID,
                fencing_token=1,
                step=pb.StepRecord(number=1, phase=pb.StepRecord.PHASE_INTENT),
                more_steps=[pb.StepRecord(number=1, phase=pb.StepRecord.PHASE_DONE)],
            ),
            "more_steps.number",
            id="same-step-twice",
        ),
        pytest.param(
            call("journal", "CloseRecovery"),
            pb.CloseRecoveryRequest(recovery_id=GOOD_ID, fencing_token=1, data=bytes(300_000)),
            "data",
            id="too-much-data",
        ),
        pytest.param(
            call("journal", "GetRecord"), pb.GetRecordRequest(recovery_id="x"), "recovery_id", id="get-record"
        ),
        pytest.param(
            call("journal", "ListRecords"), pb.ListRecordsRequest(page_size=1_001), "page_size", id="page-size"
        ),
        pytest.param(
            call("registry", "PublishPrimary"),
            pb.PublishPrimaryRequest(request_id=GOOD_ID, fencing_token=1, cluster_id=GOOD_ID),
            "endpoint.host",
            id="no-host",
        ),
        pytest.param(
            call("registry", "PublishPrimary"),
            pb.PublishPrimaryRequest(endpoint=topology_pb2.Endpoint(host="db1")),
            "request_id",
            id="request-id",
        ),
    ],
)
async def test_malformed_field_is_named(
    group: Group, method: Callable[[MemberProcess], Callable[..., Awaitable[Any]]], request_: Message, field: str
) -> None:
    refused = await refusal(method(group.member(1))(request_, timeout=5))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.reason == "INVALID_FIELD"
    assert refused.metadata["field"] == field


async def test_unknown_recovery_is_told_as_such(group: Group) -> None:
    for member in group.members:
        refused = await refusal(member.journal.GetRecord(pb.GetRecordRequest(recovery_id=new_id()), timeout=5))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RECOVERY_UNKNOWN")
    async with held_lease(group) as (leader, token):
        unknown = await refusal(
            leader.journal.RecordStep(step(new_id(), token, 1, pb.StepRecord.PHASE_INTENT), timeout=5)
        )
        assert unknown.reason == "RECOVERY_UNKNOWN"
