"""What callers of the recovery service get over the wire: values, errors with their reasons, pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.recovery.v1 import recovery_pb2_grpc
from primacy.topology.v1 import topology_pb2

from services.recovery.model import Leadership
from services.recovery.server import ERROR_DOMAIN, ERRORS, SERVICE_NAME, RecoveryServicer
from services.shared.runtime.grpc_client import open_channel
from services.shared.runtime.grpc_server import GrpcServer
from services.shared.runtime.settings import ServiceSettings
from services.shared.runtime.status import parse_error
from services.shared.topology.operators import PromotionRule
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.node import FINDING, Node, dead_primary, running
from tests.support.recovery.topologies import CLUSTER, primary, replica

FAILED = topology_pb2.Endpoint(host="p")
REQUEST = "0b8e4d3a-0000-4000-8000-0000000000aa"


class Served:
    """A node that is served, and a stub for it."""

    def __init__(self, node: Node, channel: grpc.aio.Channel) -> None:
        self.node = node
        self.channel = channel
        self.stub: Any = recovery_pb2_grpc.RecoveryServiceStub(channel)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    node = Node(dead_primary())
    server = GrpcServer(ServiceSettings(), ERROR_DOMAIN, ERRORS, [SERVICE_NAME])
    port = server.listen("127.0.0.1:0")
    recovery_pb2_grpc.add_RecoveryServiceServicer_to_server(RecoveryServicer(node.app), server.grpc)
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel, running(node):
        yield Served(node, channel)
    await server.grpc.stop(None)


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    remote = parse_error(refusal.value)
    return remote.code, remote.reason, dict(remote.metadata)


async def test_recovery_is_started_watched_and_listed(served: Served) -> None:
    served.node.world.change_findings((FINDING,), (), first=False)
    started = await served.stub.StartRecovery(
        pb.StartRecoveryRequest(request_id=REQUEST, failed=FAILED, requested_by="ada")
    )
    assert (started.recovery.recovery_id, started.recovery.started_by) == (REQUEST, "ada")
    await served.node.closed()
    served.node.echo()
    states = [m.recovery.state async for m in served.stub.WatchRecovery(pb.WatchRecoveryRequest(recovery_id=REQUEST))]
    assert states == [pb.Recovery.STATE_SUCCEEDED]
    listed = await served.stub.ListRecoveries(pb.ListRecoveriesRequest(cluster="shop"))
    assert [each.recovery_id for each in listed.recoveries] == [REQUEST]
    got = (await served.stub.GetRecovery(pb.GetRecoveryRequest(recovery_id=REQUEST))).recovery
    assert got.successor.host == "a"
    assert [step.number for step in got.steps] == list(range(1, len(got.steps) + 1))
    assert [step.kind for step in got.steps][-1] == pb.STEP_KIND_VERIFY
    assert got.loss.state == pb.Loss.STATE_UNKNOWN


async def test_plan_of_the_wire_has_what_the_planner_says(served: Served) -> None:
    plan = (await served.stub.Plan(pb.PlanRequest(failed=FAILED))).plan
    assert (plan.cluster_id, plan.chosen.host, plan.failed.port) == (CLUSTER, "a", 3306)
    assert [each.verdict for each in plan.candidates] == [pb.CANDIDATE_VERDICT_CHOSEN, pb.CANDIDATE_VERDICT_ELIGIBLE]
    assert {step.state for step in plan.steps} == {pb.Step.STATE_PLANNED}


MALFORMED = [
    pytest.param("Plan", pb.PlanRequest(), "failed.host", id="no host"),
    pytest.param("Plan", pb.PlanRequest(failed=topology_pb2.Endpoint(host="p", port=70000)), "failed.port", id="port"),
    pytest.param("StartRecovery", pb.StartRecoveryRequest(failed=FAILED, request_id="me"), "request_id", id="request"),
    pytest.param("GetRecovery", pb.GetRecoveryRequest(), "recovery_id", id="no recovery id"),
    pytest.param("GetRecovery", pb.GetRecoveryRequest(recovery_id="x"), "recovery_id", id="recovery id"),
    pytest.param("ListRecoveries", pb.ListRecoveriesRequest(page_size=1001), "page_size", id="page size"),
    pytest.param("ListRecoveries", pb.ListRecoveriesRequest(page_token="x"), "page_token", id="page token"),
]


@pytest.mark.parametrize(("method", "request_message", "field"), MALFORMED)
async def test_malformed_field_is_named(served: Served, method: str, request_message: Any, field: str) -> None:
    code, reason, facts = await refused(getattr(served.stub, method)(request_message))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert facts["field"] == field


async def test_unknown_things_are_not_found(served: Served) -> None:
    stub = served.stub
    calls = {
        "INSTANCE_UNKNOWN": stub.Plan(pb.PlanRequest(failed=topology_pb2.Endpoint(host="nobody"))),
        "RECOVERY_UNKNOWN": stub.GetRecovery(pb.GetRecoveryRequest(recovery_id=REQUEST)),
        "CLUSTER_UNKNOWN": stub.ListRecoveries(pb.ListRecoveriesRequest(cluster="nobody's")),
    }
    for reason, call in calls.items():
        assert (await refused(call))[:2] == (grpc.StatusCode.NOT_FOUND, reason)


async def test_start_is_refused_with_the_reason(served: Served) -> None:
    request = pb.StartRecoveryRequest(failed=FAILED)
    precondition = grpc.StatusCode.FAILED_PRECONDITION
    assert (await refused(served.stub.StartRecovery(request)))[:2] == (precondition, "NO_ACTIONABLE_FINDING")

    served.node.world.leadership = Leadership("node2", "n2:50053")
    code, reason, facts = await refused(served.stub.StartRecovery(request))
    assert (code, reason, facts) == (precondition, "NOT_LEADER", {"leader": "node2", "endpoint": "n2:50053"})
    served.node.world.leadership = Leadership()
    assert (await refused(served.stub.StartRecovery(request)))[:2] == (grpc.StatusCode.UNAVAILABLE, "NO_LEADER")


async def test_no_candidate_is_told_per_replica(served: Served) -> None:
    fleet = FakeFleet(primary(), replica("a", promotion_rule=PromotionRule.MUST_NOT))
    served.node.world.replace_topology(fleet.snapshot())
    served.node.world.change_findings((FINDING,), (), first=False)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await served.stub.StartRecovery(pb.StartRecoveryRequest(failed=FAILED))
    status = rpc_status.from_call(refusal.value)  # type: ignore[arg-type]  # AioRpcError has what it needs.
    failure = error_details_pb2.PreconditionFailure()
    assert any(detail.Unpack(failure) for detail in status.details)
    assert [(each.subject, each.description) for each in failure.violations] == [
        ("a:3306", "its promotion rule is MUST_NOT")
    ]


async def test_blockers_are_listed_with_their_reason(served: Served) -> None:
    served.node.world.leadership = Leadership("node2", "n2:50053")
    served.node.find()
    blocked = (await served.stub.ListBlockers(pb.ListBlockersRequest())).blocked
    assert [(each.instance.host, each.blocker) for each in blocked] == [("p", pb.BLOCKER_NOT_LEADER)]
    assert "n2:50053" in blocked[0].reason
    assert blocked[0].HasField("since_time")


async def test_health_is_not_serving_until_somebody_says_so(served: Served) -> None:
    stub: Any = health_pb2_grpc.HealthStub(served.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
