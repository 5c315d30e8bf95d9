"""The analysis process, as its callers meet it: over gRPC, with a discovery service that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status
from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.shared.runtime.status import parse_error
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Maintenance
from tests.integration.analysis.conftest import AnalysisProcess, FakeDiscovery, serving_port, start_analysis
from tests.support.eventually import eventually
from tests.unit.analysis.builders import State, a_primary, a_replica, a_topology

SERVICE = "primacy.analysis.v1.AnalysisService"


async def is_serving(analysis: AnalysisProcess, service: str = SERVICE) -> bool:
    """Return what health says."""
    check = analysis.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer = await check(health_pb2.HealthCheckRequest(service=service))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def until_listed(analysis: AnalysisProcess, *codes: str) -> None:
    """Wait until exactly these findings are listed."""

    async def says_so() -> bool:
        return await listed(analysis) == list(codes)

    await eventually(says_so, within=15, message=f"listed {codes}", retry_on=grpc.aio.AioRpcError)


async def until_serving(analysis: AnalysisProcess, *, serving: bool = True) -> None:
    """Wait until health says so."""

    async def says_so() -> bool:
        return await is_serving(analysis) is serving and await is_serving(analysis, "") is serving

    await eventually(says_so, within=15, message=f"serving={serving}")


async def listed(analysis: AnalysisProcess) -> list[str]:
    """Return the names of the findings."""
    response = await analysis.stub.ListFindings(pb.ListFindingsRequest())
    return [finding.orchestrator_code for finding in response.findings]


async def test_a_delta_becomes_a_finding_for_watchers(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    discovery.snapshot = a_topology(a_primary(), a_replica(1), a_replica(2))
    await eventually(lambda: discovery.streams > 0, within=15)
    discovery.change(a_primary(), a_replica(1), a_replica(2))
    watch = analysis.stub.WatchFindings(pb.WatchFindingsRequest())
    changes = aiter(watch)
    async with asyncio.timeout(15):
        first = await anext(changes)
    assert (len(first.changed), first.progress) == (0, False)

    discovery.change(a_primary(answers=False), a_replica(1, State.FAILING), a_replica(2, State.FAILING))
    async with asyncio.timeout(15):
        found = [message async for message in _until_change(changes)]
    assert [(finding.kind, finding.actionable) for finding in found[-1].changed] == [
        (pb.FINDING_KIND_DEAD_PRIMARY, True)
    ]
    assert found[-1].revision == 1
    watch.cancel()


async def _until_change(
    changes: AsyncIterator[pb.WatchFindingsResponse],
) -> AsyncIterator[pb.WatchFindingsResponse]:
    """Yield messages up to the first that is not progress."""
    async for message in changes:
        yield message
        if not message.progress:
            return


async def test_a_lost_discovery_makes_nobody_dead(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    discovery.snapshot = a_topology(a_primary(), a_replica(1))
    await until_serving(analysis)
    discovery.change(a_primary(), a_replica(1, State.STOPPED))
    await until_listed(analysis, "MasterSingleReplicaNotReplicating")

    await discovery.stop()
    await until_serving(analysis, serving=False)
    assert await listed(analysis) == ["MasterSingleReplicaNotReplicating"]

    discovery.snapshot = a_topology(a_primary(), a_replica(1))
    await discovery.start()
    await until_serving(analysis)
    assert await listed(analysis) == []


async def test_a_silent_discovery_is_a_lost_one(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    await until_serving(analysis)
    discovery.silent = True
    await until_serving(analysis, serving=False)
    assert discovery.streams >= 1


async def test_a_primary_only_we_cannot_reach_is_explained(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    discovery.snapshot = a_topology(a_primary(answers=False), a_replica(1), a_replica(2))
    await until_serving(analysis)
    await until_listed(analysis, "UnreachableMaster")
    response = await analysis.stub.Explain(pb.ExplainRequest(instance=topology_pb2.Endpoint(host="db0", port=3306)))
    (explanation,) = response.explanations
    dead = next(rule for rule in explanation.rules if rule.kind == pb.FINDING_KIND_DEAD_PRIMARY)
    assert [condition.seen for condition in dead.conditions if not condition.holds] == [
        "2 of 2 direct replicas replicate"
    ]
    assert [rule.kind for rule in explanation.rules if rule.decides] == [pb.FINDING_KIND_UNREACHABLE_PRIMARY]


async def test_a_structure_warning_is_listed_without_a_finding(
    analysis: AnalysisProcess, discovery: FakeDiscovery
) -> None:
    discovery.snapshot = a_topology(a_primary(), a_replica(1), replace(a_replica(2), version="8.0.40"))
    await until_serving(analysis)
    await until_listed(analysis, "NoProblem")
    (finding,) = (await analysis.stub.ListFindings(pb.ListFindingsRequest())).findings
    assert list(finding.structure_warnings) == [pb.STRUCTURE_WARNING_MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS]
    assert list(finding.orchestrator_warnings) == ["MultipleMajorVersionsLoggingReplicasStructureWarning"]
    assert not finding.actionable


async def test_what_was_found_before_is_listed(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    discovery.snapshot = a_topology(a_primary(), a_replica(1))
    await until_serving(analysis)
    discovery.change(a_primary(), a_replica(1, State.STOPPED))
    await until_listed(analysis, "MasterSingleReplicaNotReplicating")
    response = await analysis.stub.ListChanges(pb.ListChangesRequest(cluster="orders"))
    assert [(each.orchestrator_before, each.orchestrator_after) for each in response.changes] == [
        ("NoProblem", "MasterSingleReplicaNotReplicating")
    ]


async def test_what_is_weak_is_listed(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    discovery.snapshot = a_topology(a_primary(), a_replica(1), replace(a_replica(2), read_only=False, log_bin=False))
    await until_serving(analysis)
    first = await analysis.stub.ListAdvice(pb.ListAdviceRequest(cluster="orders", page_size=1))
    rest = await analysis.stub.ListAdvice(pb.ListAdviceRequest(page_token=first.next_page_token))
    assert [(each.kind, each.instance.host) for each in (*first.advice, *rest.advice)] == [
        (pb.ADVICE_KIND_SEVERAL_WRITABLE, "db2"),
        (pb.ADVICE_KIND_REPLICA_UNFIT, "db2"),
    ]


async def test_an_explanation_names_what_keeps_a_finding_from_recovery(
    analysis: AnalysisProcess, discovery: FakeDiscovery
) -> None:
    hidden = replace(a_primary(answers=False), maintenance=Maintenance("ops", "a new disk"))
    discovery.snapshot = a_topology(hidden, a_replica(1, State.FAILING))
    await until_serving(analysis)
    await until_listed(analysis)
    response = await analysis.stub.Explain(pb.ExplainRequest(instance=topology_pb2.Endpoint(host="db0", port=3306)))
    (explanation,) = response.explanations
    assert [rule.kind for rule in explanation.rules if rule.decides] == [pb.FINDING_KIND_DEAD_PRIMARY]
    assert [(gate.name, gate.opens) for gate in explanation.gates if gate.closed] == [
        ("maintenance", "the end of the maintenance")
    ]
    assert len(explanation.warnings) == 10


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason"),
    [
        pytest.param(
            "ListFindings",
            pb.ListFindingsRequest(page_token="?"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            id="bad-token",
        ),
        pytest.param(
            "ListFindings",
            pb.ListFindingsRequest(cluster="nope"),
            grpc.StatusCode.NOT_FOUND,
            "CLUSTER_UNKNOWN",
            id="unknown-cluster",
        ),
        pytest.param(
            "Explain",
            pb.ExplainRequest(instance=topology_pb2.Endpoint(host="nope")),
            grpc.StatusCode.NOT_FOUND,
            "INSTANCE_UNKNOWN",
            id="unknown-instance",
        ),
        pytest.param(
            "Explain", pb.ExplainRequest(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", id="no-subject"
        ),
    ],
)
async def test_refusals_name_their_reason(
    analysis: AnalysisProcess, method: str, request_: object, code: grpc.StatusCode, reason: str
) -> None:
    await until_serving(analysis)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(analysis.stub, method)(request_)
    error = parse_error(refused.value)
    assert (error.code, error.reason) == (code, reason)
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
    details = [detail.TypeName() for detail in status.details]
    assert details.count(error_details_pb2.ErrorInfo.DESCRIPTOR.full_name) == 1


async def test_pages_of_findings(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    dead = [replace(a_primary(answers=False), key=InstanceKey(f"db{number}", 3306)) for number in range(5)]
    discovery.snapshot = a_topology(*dead)
    await until_serving(analysis)
    await until_listed(analysis, *["DeadMasterWithoutReplicas"] * 5)
    hosts: list[str] = []
    token = ""
    while True:
        response = await analysis.stub.ListFindings(pb.ListFindingsRequest(page_size=2, page_token=token))
        hosts += [finding.instance.host for finding in response.findings]
        token = response.next_page_token
        if not token:
            break
    assert hosts == [f"db{number}" for number in range(5)]


async def test_stops_cleanly_with_a_watcher_connected(analysis: AnalysisProcess, discovery: FakeDiscovery) -> None:
    await until_serving(analysis)
    watch = analysis.stub.WatchFindings(pb.WatchFindingsRequest())
    await anext(aiter(watch))
    analysis.process.terminate()
    async with asyncio.timeout(15):
        async for _ in watch:  # Ends by itself; after the grace of a graceful stop it would be cut off with an error.
            pass
        assert await analysis.process.wait() == 0


async def test_answers_unavailable_while_discovery_was_never_there(unused_tcp_port: int) -> None:
    process = await start_analysis(LISTEN="127.0.0.1:0", DISCOVERY_ENDPOINT=f"127.0.0.1:{unused_tcp_port}")
    analysis = AnalysisProcess(process, await serving_port(process))
    assert not await is_serving(analysis)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await analysis.stub.ListFindings(pb.ListFindingsRequest())
    assert parse_error(refused.value).reason == "DEPENDENCY_UNAVAILABLE"
    assert await analysis.stop() == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"LISTEN": "nowhere"}, b"PRIMACY_ANALYSIS_LISTEN", id="malformed"),
        pytest.param({"LISTNE": "127.0.0.1:0"}, b"PRIMACY_ANALYSIS_LISTNE", id="misspelt"),
        pytest.param({"LISTEN": "0.0.0.0:0"}, b"allow_plaintext", id="unsafe"),
        pytest.param({"LOG_LEVEL": "LOUD"}, b"PRIMACY_ANALYSIS_LOG_LEVEL", id="level"),
    ],
)
async def test_wrong_settings_end_with_one_clear_line(settings: dict[str, str], words: bytes) -> None:
    process = await start_analysis(**settings)
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode == 78
    assert words in errors
    assert b"Traceback" not in errors
    assert len(errors.splitlines()) == 1


async def test_a_taken_port_ends_with_one_clear_line(discovery: FakeDiscovery) -> None:
    process = await start_analysis(LISTEN=f"127.0.0.1:{discovery.port}")
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode == 78
    assert [line for line in errors.splitlines() if not line.startswith(b"{")] != []
    assert b"Traceback" not in errors
