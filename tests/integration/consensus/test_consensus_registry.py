"""The registry and sessions of a real group of one, call by call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message
from primacy.consensus.v1 import consensus_pb2, consensus_pb2_grpc
from primacy.consensus.v1 import registry_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.shared.runtime.status import RemoteError, parse_error
from tests.support.consensus_group import MemberProcess, acquire, consensus_group, new_id, read
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from primacy.consensus.v1.consensus_pb2_grpc import RegistryServiceAsyncStub, SessionServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER = "ops"
WHY = "disk is replaced"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def member(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemberProcess]:
    """The one member of a group that leads; sessions are closed after 600 ms of silence."""
    async with consensus_group(tmp_path_factory.mktemp("one"), 1, extra={"session_ttl": "600ms"}) as group:
        group.members[0].start()
        await group.leader(within=60)
        yield group.members[0]


@pytest.fixture
def registry(member: MemberProcess) -> RegistryServiceAsyncStub:
    """Its RegistryService."""
    return member.registry


@pytest.fixture
def sessions(member: MemberProcess) -> SessionServiceAsyncStub:
    """Its SessionService."""
    return consensus_pb2_grpc.SessionServiceStub(member.channel)


def at(host: str) -> topology_pb2.Endpoint:
    return topology_pb2.Endpoint(host=host, port=3306)


def seconds(number: float) -> duration_pb2.Duration:
    span = duration_pb2.Duration()
    span.FromMilliseconds(round(number * 1000))
    return span


def origin(request_id: str = "") -> dict[str, Any]:
    return {"request_id": request_id or new_id(), "owner": OWNER, "reason": WHY}


async def refusal(call: Awaitable[Any]) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return parse_error(refused.value)


async def test_downtime_is_listed_until_it_is_ended(registry: RegistryServiceAsyncStub) -> None:
    target = pb.Target(instance=at("db1"))
    begun = (await registry.BeginDowntime(pb.BeginDowntimeRequest(target=target, **origin()))).downtime
    assert begun.end_time.ToMilliseconds() - begun.begin_time.ToMilliseconds() == 600_000
    assert (begun.written.owner, begun.written.reason) == (OWNER, WHY)

    listed = await registry.ListDowntimes(pb.ListDowntimesRequest(target=target))
    assert list(listed.downtimes) == [begun]
    assert listed.index >= begun.written.log_index
    assert (await registry.EndDowntime(pb.EndDowntimeRequest(target=target, **origin()))).downtime == begun
    assert not (await registry.ListDowntimes(pb.ListDowntimesRequest(target=target))).downtimes
    again = await refusal(registry.EndDowntime(pb.EndDowntimeRequest(target=target, **origin())))
    assert (again.code, again.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_UNKNOWN")


async def test_downtime_ends_by_itself_though_nobody_writes(
    registry: RegistryServiceAsyncStub,
) -> None:
    target = pb.Target(cluster_id=new_id())
    await registry.BeginDowntime(pb.BeginDowntimeRequest(target=target, duration=seconds(0.2), **origin()))

    async def gone() -> bool:
        return not (await registry.ListDowntimes(pb.ListDowntimesRequest(target=target))).downtimes

    await eventually(gone, within=5)


async def test_repeated_request_takes_effect_once(registry: RegistryServiceAsyncStub) -> None:
    request = pb.BeginMaintenanceRequest(target=pb.Target(instance=at("db2")), **origin())
    first = await registry.BeginMaintenance(request)
    assert await registry.BeginMaintenance(request) == first
    await registry.EndMaintenance(pb.EndMaintenanceRequest(target=request.target, **origin()))
    assert await registry.BeginMaintenance(request) == first, "P1: the first answer, without effect"
    assert not (await registry.ListMaintenances(pb.ListMaintenancesRequest(target=request.target))).maintenances
    request.target.instance.host = "db3"
    reused = await refusal(registry.BeginMaintenance(request))
    assert (reused.code, reused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_maintenance_has_one_holder_at_a_time(registry: RegistryServiceAsyncStub) -> None:
    target = pb.Target(instance=at("db4"))
    held = (await registry.BeginMaintenance(pb.BeginMaintenanceRequest(target=target, **origin()))).maintenance
    second = await refusal(registry.BeginMaintenance(pb.BeginMaintenanceRequest(target=target, **origin())))
    assert (second.reason, second.metadata["owner"]) == ("MAINTENANCE_HELD", OWNER)
    longer = pb.BeginMaintenanceRequest(
        target=target, maintenance_id=held.maintenance_id, duration=seconds(3600), **origin()
    )
    prolonged = (await registry.BeginMaintenance(longer)).maintenance
    assert prolonged.maintenance_id == held.maintenance_id
    assert prolonged.end_time.seconds > held.end_time.seconds


async def test_rules_tags_pools_names_and_settings_are_kept(
    registry: RegistryServiceAsyncStub,
) -> None:
    rule = await registry.SetPromotionRule(
        pb.SetPromotionRuleRequest(instance=at("r1"), rule=topology_pb2.PROMOTION_RULE_PREFER, **origin())
    )
    tag = await registry.SetTag(pb.SetTagRequest(instance=at("r1"), name="rack", value="a7", **origin()))
    pool = await registry.SetPool(pb.SetPoolRequest(name="readers", instances=[at("r2"), at("r1")], **origin()))
    assert [endpoint.host for endpoint in pool.pool.instances] == ["r1", "r2"]
    cluster_id = new_id()
    name = await registry.SetClusterName(pb.SetClusterNameRequest(cluster_id=cluster_id, alias="shop", **origin()))
    setting = await registry.SetSetting(pb.SetSettingRequest(name="team", value="storage", **origin()))

    only_r1 = at("r1")
    rules = await registry.ListPromotionRules(pb.ListPromotionRulesRequest(instance=only_r1))
    assert list(rules.promotion_rules) == [rule.promotion_rule]
    assert list((await registry.ListTags(pb.ListTagsRequest(name="rack", value="a7"))).tags) == [tag.tag]
    assert not (await registry.ListTags(pb.ListTagsRequest(name="rack", value="b1"))).tags
    assert list((await registry.ListPools(pb.ListPoolsRequest(instance=only_r1))).pools) == [pool.pool]
    names = await registry.ListClusterNames(pb.ListClusterNamesRequest(alias="shop"))
    assert list(names.cluster_names) == [name.cluster_name]
    assert setting.setting in (await registry.ListSettings(pb.ListSettingsRequest())).settings

    taken = await refusal(
        registry.SetClusterName(pb.SetClusterNameRequest(cluster_id=new_id(), alias="shop", **origin()))
    )
    assert (taken.reason, taken.metadata["cluster_id"]) == ("ALIAS_TAKEN", cluster_id)
    for deleted in (
        registry.DeletePromotionRule(pb.DeletePromotionRuleRequest(instance=only_r1, **origin())),
        registry.DeleteTag(pb.DeleteTagRequest(instance=only_r1, name="rack", **origin())),
        registry.DeletePool(pb.DeletePoolRequest(name="readers", **origin())),
        registry.DeleteClusterName(pb.DeleteClusterNameRequest(cluster_id=cluster_id, **origin())),
        registry.DeleteSetting(pb.DeleteSettingRequest(name="team", **origin())),
    ):
        await deleted
    assert not (await registry.ListTags(pb.ListTagsRequest())).tags


async def test_contradictory_policy_is_refused_when_it_is_set(
    registry: RegistryServiceAsyncStub,
) -> None:
    fleet = pb.Policy(fleet=True, mode=pb.Policy.MODE_ACT, fence_required=True)
    before = (await registry.SetPolicy(pb.SetPolicyRequest(policy=fleet, **origin()))).policy
    cluster = pb.Policy(cluster_id=new_id(), loss_rule=pb.Policy.LOSS_RULE_AVAILABILITY_FIRST)
    refused = await refusal(registry.SetPolicy(pb.SetPolicyRequest(policy=cluster, **origin())))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTRADICTION")
    assert cluster.cluster_id in refused.message
    cluster.fence_required = False
    await registry.SetPolicy(pb.SetPolicyRequest(policy=cluster, **origin()))
    listed = await registry.ListPolicies(pb.ListPoliciesRequest(consistency=pb.READ_CONSISTENCY_LINEARIZABLE))
    assert before in listed.policies
    assert listed.policy_revision > before.written.log_index
    await registry.DeletePolicy(pb.DeletePolicyRequest(policy=cluster, **origin()))
    await registry.DeletePolicy(pb.DeletePolicyRequest(policy=fleet, **origin()))


Malformed = Callable[["RegistryServiceAsyncStub"], Awaitable[Message]]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        pytest.param(
            lambda stub: stub.SetTag(pb.SetTagRequest(instance=at("a"), name="x", **{**origin(), "owner": ""})),
            "owner",
            id="no-owner",
        ),
        pytest.param(
            lambda stub: stub.SetTag(pb.SetTagRequest(instance=at("a"), name="Upper case", **origin())),
            "name",
            id="bad-name",
        ),
        pytest.param(lambda stub: stub.BeginDowntime(pb.BeginDowntimeRequest(**origin())), "target", id="no-target"),
        pytest.param(
            lambda stub: stub.BeginDowntime(
                pb.BeginDowntimeRequest(
                    target=pb.Target(instance=at("a")),
                    duration=seconds(9),
                    end_time=timestamp_pb2.Timestamp(seconds=2**33),
                    **origin(),
                )
            ),
            "duration",
            id="two-ends",
        ),
        pytest.param(
            lambda stub: stub.SetPromotionRule(
                pb.SetPromotionRuleRequest(instance=at("a"), rule=topology_pb2.PROMOTION_RULE_MUST, **origin())
            ),
            "rule",
            id="must",
        ),
        pytest.param(
            lambda stub: stub.SetPolicy(pb.SetPolicyRequest(policy=pb.Policy(fleet=True), **origin())),
            "policy",
            id="policy-says-nothing",
        ),
        pytest.param(
            lambda stub: stub.SetSetting(pb.SetSettingRequest(name="x", value="y", **{**origin(), "request_id": "?"})),
            "request_id",
            id="no-uuid",
        ),
    ],
)
async def test_malformed_request_names_the_field(
    registry: RegistryServiceAsyncStub, call: Malformed, field: str
) -> None:
    refused = await refusal(call(registry))
    assert (refused.code, refused.metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_watch_tells_everything_then_changes_then_that_it_lives(
    registry: RegistryServiceAsyncStub,
) -> None:
    kept = (await registry.SetTag(pb.SetTagRequest(instance=at("w1"), name="kept", **origin()))).tag
    stream = registry.WatchRegistry(pb.WatchRegistryRequest())
    snapshot = await read(stream)
    assert snapshot.complete
    assert pb.RegistryItem(tag=kept) in snapshot.changed
    changed = (await registry.SetTag(pb.SetTagRequest(instance=at("w1"), name="kept", value="x", **origin()))).tag
    message = await read(stream)
    assert list(message.changed) == [pb.RegistryItem(tag=changed)]
    assert message.revision > snapshot.revision
    await registry.DeleteTag(pb.DeleteTagRequest(instance=at("w1"), name="kept", **origin()))
    message = await read(stream)
    assert (list(message.changed), list(message.removed)) == ([], [pb.RegistryItem(tag=changed)])
    progress = await read(stream)
    assert (list(progress.changed), list(progress.removed), progress.complete) == ([], [], True)
    stream.cancel()


async def test_list_is_paged_and_never_from_before_what_the_caller_saw(
    registry: RegistryServiceAsyncStub,
) -> None:
    written = [
        (await registry.SetTag(pb.SetTagRequest(instance=at(f"p{number}"), name="page", **origin()))).tag
        for number in range(3)
    ]
    first = await registry.ListTags(pb.ListTagsRequest(name="page", page_size=2))
    rest = await registry.ListTags(pb.ListTagsRequest(name="page", page_size=2, page_token=first.next_page_token))
    assert [*first.tags, *rest.tags] == written
    assert not rest.next_page_token
    ahead = pb.ListTagsRequest(min_index=first.index + 1)
    waiting = asyncio.ensure_future(registry.ListTags(ahead))
    await registry.SetTag(pb.SetTagRequest(instance=at("p9"), name="page", **origin()))
    assert (await waiting).index >= ahead.min_index
    behind = await refusal(registry.ListTags(pb.ListTagsRequest(min_index=2**60)))
    assert (behind.code, behind.reason) == (grpc.StatusCode.UNAVAILABLE, "INDEX_NOT_APPLIED")


async def test_session_answers_a_repeated_call_and_nothing_once_it_is_closed(
    registry: RegistryServiceAsyncStub, sessions: SessionServiceAsyncStub
) -> None:
    session_id = (
        await sessions.OpenSession(pb.OpenSessionRequest(request_id=new_id(), owner=OWNER))
    ).session.session_id
    request = pb.SetSettingRequest(
        owner=OWNER,
        reason=WHY,
        name="once",
        value="1",
        session_call=pb.SessionCall(session_id=session_id, sequence=1),
    )
    first = await registry.SetSetting(request)
    assert await registry.SetSetting(request) == first
    await sessions.CloseSession(pb.CloseSessionRequest(session_id=session_id))
    refused = await refusal(registry.SetSetting(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_UNKNOWN")


async def test_silent_session_is_closed(registry: RegistryServiceAsyncStub, sessions: SessionServiceAsyncStub) -> None:
    opened = await sessions.OpenSession(pb.OpenSessionRequest(request_id=new_id(), owner=OWNER))
    assert opened.time_to_live == seconds(0.6)
    session_id = opened.session.session_id
    await sessions.TouchSession(pb.TouchSessionRequest(session_id=session_id, acked_below=2))
    passed = pb.SetSettingRequest(
        owner=OWNER,
        reason=WHY,
        name="passed",
        value="1",
        session_call=pb.SessionCall(session_id=session_id, sequence=1),
    )
    assert (await refusal(registry.SetSetting(passed))).reason == "SESSION_SEQUENCE_PASSED"

    async def closed() -> bool:
        return (await refusal(registry.SetSetting(passed))).reason == "SESSION_UNKNOWN"

    await eventually(closed, within=5)


async def test_automatic_recovery_is_gated_again_where_it_is_registered(
    member: MemberProcess, registry: RegistryServiceAsyncStub
) -> None:
    token = (await acquire(member)).lease.fencing_token
    policies = await registry.ListPolicies(pb.ListPoliciesRequest())

    async def register(*, automatic: bool = True, policy_revision: int = 0) -> str:
        request = consensus_pb2.RegisterRecoveryRequest(
            recovery_id=new_id(),
            fencing_token=token,
            cluster_id=new_id(),
            failed_instance="gate:3306",
            automatic=automatic,
            policy_revision=policy_revision,
        )
        try:
            await member.journal.RegisterRecovery(request)
        except grpc.aio.AioRpcError as error:
            return parse_error(error).reason
        return "REGISTERED"

    target = pb.Target(instance=at("gate"))
    await registry.BeginDowntime(pb.BeginDowntimeRequest(target=target, **origin()))
    assert await register() == "DOWNTIMED"
    assert await register(automatic=False) == "REGISTERED"
    await registry.EndDowntime(pb.EndDowntimeRequest(target=target, **origin()))
    await registry.SetSetting(pb.SetSettingRequest(name="recoveries", value="off", **origin()))
    assert await register() == "RECOVERIES_DISABLED"
    await registry.DeleteSetting(pb.DeleteSettingRequest(name="recoveries", **origin()))
    policy = pb.Policy(fleet=True, mode=pb.Policy.MODE_ACT)
    newest = (await registry.SetPolicy(pb.SetPolicyRequest(policy=policy, **origin()))).policy.written.log_index
    assert await register(policy_revision=policies.policy_revision or 1) == "POLICY_CHANGED"
    assert await register(policy_revision=newest) == "REGISTERED"


@pytest.mark.asyncio(loop_scope="function")
async def test_any_member_takes_a_write_and_answers_not_from_before_it(tmp_path: Path) -> None:
    async with consensus_group(tmp_path) as group:
        for each in group.members:
            each.start()
        follower, other = group.others(await group.leader(within=60))
        written = await follower.registry.SetTag(pb.SetTagRequest(instance=at("db1"), name="rack", **origin()))
        seen = pb.ListTagsRequest(min_index=written.tag.written.log_index)
        assert list((await other.registry.ListTags(seen)).tags) == [written.tag]
        newest = pb.ListTagsRequest(consistency=pb.READ_CONSISTENCY_LINEARIZABLE)
        assert list((await other.registry.ListTags(newest)).tags) == [written.tag]
        opened = consensus_pb2_grpc.SessionServiceStub(follower.channel).OpenSession(
            pb.OpenSessionRequest(request_id=new_id(), owner=OWNER)
        )
        assert (await opened).session.session_id > written.tag.written.log_index
        await group.agree(within=60)
