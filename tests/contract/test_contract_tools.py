"""The services through generic clients: buf curl with and without the schema, and grpcurl."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from tests.contract.conftest import Staging
from tests.contract.tools import Answer, Tool

pytestmark = [
    pytest.mark.mysql,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),  # Making grpcurl takes a minute or two, once.
]

DISCOVERY = "primacy.discovery.v1.DiscoveryService"
ANALYSIS = "primacy.analysis.v1.AnalysisService"
RECOVERY = "primacy.recovery.v1.RecoveryService"
GROUP = "primacy.consensus.v1.GroupService"
LEASES = "primacy.consensus.v1.LeaseService"
REGISTRY = "primacy.consensus.v1.RegistryService"
HEALTH = "grpc.health.v1.Health"
ERROR_INFO = "google.rpc.ErrorInfo"
BAD_REQUEST = "google.rpc.BadRequest"
NOWHERE = {"host": "nowhere", "port": 3306}


def endpoint(host_port: str) -> dict[str, Any]:
    """Return an endpoint as JSON."""
    host, _, port = host_port.rpartition(":")
    return {"host": host, "port": int(port)}


def reason(answer: Answer) -> tuple[str, str]:
    """Return the code of a refusal and its reason."""
    return answer.code, answer.details[ERROR_INFO]["reason"]


@pytest.mark.parametrize(
    ("service", "names"),
    [
        pytest.param("discovery", {DISCOVERY}, id="discovery"),
        pytest.param("analysis", {ANALYSIS}, id="analysis"),
        pytest.param("recovery", {RECOVERY}, id="recovery"),
        pytest.param("consensus", {GROUP, LEASES, REGISTRY}, id="consensus"),
    ],
)
async def test_services_are_listed_by_reflection(
    reflecting_tool: Tool, staging: Staging, service: str, names: set[str]
) -> None:
    listed = set(await reflecting_tool.services(getattr(staging.leader, service)))
    assert names | {HEALTH} <= listed
    assert "primacy.consensus.v1.RaftService" not in listed


@pytest.mark.parametrize(
    ("service", "name"),
    [("discovery", DISCOVERY), ("analysis", ANALYSIS), ("recovery", RECOVERY), ("consensus", GROUP)],
)
async def test_every_service_tells_its_health(reflecting_tool: Tool, staging: Staging, service: str, name: str) -> None:
    for node in (staging.leader, *staging.followers):
        for asked in ("", name):
            answer = await reflecting_tool.call(getattr(node, service), f"{HEALTH}/Check", {"service": asked})
            assert answer.messages == ({"status": "SERVING"},), node


async def test_health_tells_who_leads(reflecting_tool: Tool, staging: Staging) -> None:
    for node in (staging.leader, *staging.followers):
        answer = await reflecting_tool.call(node.consensus, f"{HEALTH}/Check", {"service": "primacy.leader"})
        assert (answer.messages[0]["status"] == "SERVING") == (node == staging.leader)


async def test_topology_has_all_servers_and_their_edges_on_every_node(tool: Tool, staging: Staging) -> None:
    for node in (staging.leader, *staging.followers):
        (message,) = (await tool.call(node.discovery, f"{DISCOVERY}/GetTopology", {})).messages
        (cluster,) = message["snapshot"]["clusters"]
        assert cluster["primary"] == endpoint(staging.primary)
        instances = {each["endpoint"]["port"]: each for each in message["snapshot"]["instances"]}
        assert set(instances) == {endpoint(each)["port"] for each in (staging.primary, *staging.replicas)}
        for replica in staging.replicas:
            (channel,) = instances[endpoint(replica)["port"]]["channels"]
            assert (channel["source"], channel["ioState"]) == (endpoint(staging.primary), "THREAD_STATE_ON")


async def test_one_cluster_is_found_by_its_id_and_its_alias(tool: Tool, staging: Staging) -> None:
    (listed,) = (await tool.call(staging.leader.discovery, f"{DISCOVERY}/ListClusters", {})).messages
    (cluster,) = listed["clusters"]
    for name in (cluster["clusterId"], cluster["alias"]):
        answer = await tool.call(staging.leader.discovery, f"{DISCOVERY}/GetTopology", {"cluster": name})
        assert len(answer.messages[0]["snapshot"]["instances"]) == 3


async def test_instances_come_in_pages(tool: Tool, staging: Staging) -> None:
    ports: list[int] = []
    request: dict[str, Any] = {"page_size": 2}
    while True:
        (page,) = (await tool.call(staging.leader.discovery, f"{DISCOVERY}/ListInstances", request)).messages
        ports += [each["endpoint"]["port"] for each in page["instances"]]
        if not page.get("nextPageToken"):
            break
        request["page_token"] = page["nextPageToken"]
    assert ports == sorted(endpoint(each)["port"] for each in (staging.primary, *staging.replicas))


async def test_a_watch_of_the_topology_begins_with_a_snapshot_and_shows_life(tool: Tool, staging: Staging) -> None:
    answer = await tool.call(staging.leader.discovery, f"{DISCOVERY}/WatchTopology", {}, within_s=2.5)
    assert answer.code == "deadline_exceeded"
    first, *others = answer.messages
    assert len(first["snapshot"]["instances"]) == 3
    assert others
    assert all("progress" in message or "delta" in message for message in others)
    revisions = [int(message["revision"]) for message in answer.messages]
    assert revisions == sorted(revisions)


async def test_a_watch_of_findings_of_a_healthy_topology_is_quiet(tool: Tool, staging: Staging) -> None:
    answer = await tool.call(staging.leader.analysis, f"{ANALYSIS}/WatchFindings", {}, within_s=2.5)
    assert answer.code == "deadline_exceeded"
    first, *others = answer.messages
    assert "changed" not in first
    assert "progress" not in first
    assert others
    assert all(message["progress"] is True for message in others)


async def test_explain_shows_the_rules_of_a_healthy_primary(tool: Tool, staging: Staging) -> None:
    request = {"instance": endpoint(staging.primary)}
    (message,) = (await tool.call(staging.leader.analysis, f"{ANALYSIS}/Explain", request)).messages
    (explanation,) = message["explanations"]
    assert explanation["finding"]["kind"] == "FINDING_KIND_NO_PROBLEM"
    counts = explanation["finding"]["counts"]
    assert (counts["replicas"], counts["valid"], counts["replicating"]) == (2, 2, 2)
    assert len(explanation["rules"]) > 15


async def test_a_plan_names_a_candidate_and_what_would_be_done_without_secrets(tool: Tool, staging: Staging) -> None:
    request = {"failed": endpoint(staging.primary)}
    answer = await tool.call(staging.leader.recovery, f"{RECOVERY}/Plan", request)
    plan = answer.messages[0]["plan"]
    assert plan["chosen"] in [endpoint(replica) for replica in staging.replicas]
    assert {candidate["verdict"] for candidate in plan["candidates"]} >= {"CANDIDATE_VERDICT_CHOSEN"}
    assert all(candidate["reason"] for candidate in plan["candidates"])
    assert any(step.get("statements") for step in plan["steps"])
    assert staging.password not in repr(asdict(answer))


async def test_a_plan_changes_nothing(tool: Tool, staging: Staging) -> None:
    request = {"failed": endpoint(staging.primary)}
    assert (await tool.call(staging.leader.recovery, f"{RECOVERY}/Plan", request)).code == "ok"
    (listed,) = (await tool.call(staging.leader.recovery, f"{RECOVERY}/ListRecoveries", {})).messages
    assert listed.get("recoveries", []) == []
    (refreshed,) = (
        await tool.call(staging.leader.discovery, f"{DISCOVERY}/Refresh", {"endpoint": endpoint(staging.primary)})
    ).messages
    assert refreshed["instance"]["readOnly"] is False


async def test_every_node_knows_the_primary_and_its_epoch(tool: Tool, staging: Staging) -> None:
    for node in (staging.leader, *staging.followers):
        (message,) = (await tool.call(node.consensus, f"{REGISTRY}/ListPrimaries", {})).messages
        (primary,) = message["primaries"]
        assert (primary["endpoint"], primary["epoch"]) == (endpoint(staging.primary), "1")


async def test_a_watch_of_the_directory_begins_with_all_primaries_and_shows_life(tool: Tool, staging: Staging) -> None:
    answer = await tool.call(staging.followers[0].consensus, f"{REGISTRY}/WatchPrimaries", {}, within_s=2.5)
    assert answer.code == "deadline_exceeded"
    assert endpoint(staging.primary) in [each["endpoint"] for each in answer.messages[0]["changed"]]
    assert len(answer.messages) >= 2


async def test_one_member_is_known_as_the_leader_to_all(tool: Tool, staging: Staging) -> None:
    for node in (staging.leader, *staging.followers):
        (message,) = (await tool.call(node.consensus, f"{GROUP}/GetStatus", {})).messages
        assert message["leader"]["apiEndpoint"] == staging.leader.consensus
        assert message["member"]["apiEndpoint"] == node.consensus
        assert (message["role"] == "ROLE_LEADER") == (node == staging.leader)


async def test_a_malformed_field_is_named(tool: Tool, staging: Staging) -> None:
    answer = await tool.call(staging.leader.discovery, f"{DISCOVERY}/Discover", {"endpoint": {"port": 1}})
    assert reason(answer) == ("invalid_argument", "INVALID_FIELD")
    assert answer.details[ERROR_INFO]["domain"] == "discovery.primacy"
    (violation,) = answer.details[BAD_REQUEST]["fieldViolations"]
    assert violation["field"] == "endpoint.host"
    assert violation["description"]


@pytest.mark.parametrize(
    ("service", "method"),
    [
        pytest.param("discovery", f"{DISCOVERY}/ListInstances", id="discovery"),
        pytest.param("analysis", f"{ANALYSIS}/ListFindings", id="analysis"),
        pytest.param("recovery", f"{RECOVERY}/ListRecoveries", id="recovery"),
        pytest.param("consensus", f"{REGISTRY}/ListPrimaries", id="consensus"),
    ],
)
async def test_a_page_token_from_elsewhere_is_refused(tool: Tool, staging: Staging, service: str, method: str) -> None:
    answer = await tool.call(getattr(staging.leader, service), method, {"page_token": "?"})
    assert reason(answer) == ("invalid_argument", "INVALID_FIELD")
    assert answer.details[BAD_REQUEST]["fieldViolations"][0]["field"] == "page_token"
    assert answer.details[ERROR_INFO]["domain"] == f"{service}.primacy"


@pytest.mark.parametrize(
    ("service", "method", "request_", "expected"),
    [
        pytest.param(
            "discovery", f"{DISCOVERY}/GetInstance", {"endpoint": NOWHERE}, "INSTANCE_UNKNOWN", id="discovery-instance"
        ),
        pytest.param(
            "discovery", f"{DISCOVERY}/GetTopology", {"cluster": "x"}, "CLUSTER_UNKNOWN", id="discovery-cluster"
        ),
        pytest.param(
            "analysis", f"{ANALYSIS}/Explain", {"instance": NOWHERE}, "INSTANCE_UNKNOWN", id="analysis-instance"
        ),
        pytest.param(
            "analysis", f"{ANALYSIS}/ListFindings", {"cluster": "x"}, "CLUSTER_UNKNOWN", id="analysis-cluster"
        ),
        pytest.param("recovery", f"{RECOVERY}/Plan", {"failed": NOWHERE}, "INSTANCE_UNKNOWN", id="recovery-instance"),
        pytest.param(
            "recovery",
            f"{RECOVERY}/GetRecovery",
            {"recovery_id": "00000000-0000-4000-8000-000000000000"},
            "RECOVERY_UNKNOWN",
            id="recovery-recovery",
        ),
        pytest.param(
            "consensus", f"{REGISTRY}/GetPrimary", {"cluster": "x"}, "CLUSTER_UNKNOWN", id="consensus-cluster"
        ),
    ],
)
async def test_what_is_not_known_is_not_found(
    tool: Tool, staging: Staging, service: str, method: str, request_: dict[str, Any], expected: str
) -> None:
    answer = await tool.call(getattr(staging.leader, service), method, request_)
    assert reason(answer) == ("not_found", expected)
    assert answer.message


async def test_a_follower_answers_a_linearizable_read(tool: Tool, staging: Staging) -> None:
    request = {"cluster": "x", "consistency": "CONSISTENCY_LINEARIZABLE"}
    answer = await tool.call(staging.followers[0].consensus, f"{REGISTRY}/GetPrimary", request)
    assert reason(answer) == ("not_found", "CLUSTER_UNKNOWN")


async def test_a_follower_grants_no_lease_and_names_the_leader(tool: Tool, staging: Staging) -> None:
    request = {"name": "contract", "session_id": "00000000-0000-4000-8000-000000000000"}
    answer = await tool.call(staging.followers[0].consensus, f"{LEASES}/Acquire", request)
    assert reason(answer) == ("failed_precondition", "NOT_LEADER")
    assert answer.details[ERROR_INFO]["metadata"]["endpoint"] == staging.leader.consensus


async def test_a_follower_starts_no_recovery_and_names_the_leader(tool: Tool, staging: Staging) -> None:
    request = {"failed": endpoint(staging.primary), "requested_by": "contract"}
    answer = await tool.call(staging.followers[0].recovery, f"{RECOVERY}/StartRecovery", request)
    assert reason(answer) == ("failed_precondition", "NOT_LEADER")
    assert answer.details[ERROR_INFO]["metadata"]["endpoint"] == staging.leader.recovery


async def test_a_healthy_primary_is_not_recovered_from(tool: Tool, staging: Staging) -> None:
    request = {"failed": endpoint(staging.primary), "requested_by": "contract"}
    answer = await tool.call(staging.leader.recovery, f"{RECOVERY}/StartRecovery", request)
    assert reason(answer) == ("failed_precondition", "NO_ACTIONABLE_FINDING")
    (listed,) = (await tool.call(staging.leader.recovery, f"{RECOVERY}/ListRecoveries", {})).messages
    assert listed.get("recoveries", []) == []
