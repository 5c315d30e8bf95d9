"""The services through generic clients: buf curl with and without the schema, and grpcurl."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.conftest import Group, Watched
from tests.contract.tools import Tool

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600),  # Making grpcurl takes a minute or two, once.
]

DISCOVERY = "primacy.discovery.v1.DiscoveryService"
ANALYSIS = "primacy.analysis.v1.AnalysisService"
GROUP = "primacy.consensus.v1.GroupService"
REGISTRY = "primacy.consensus.v1.RegistryService"
HEALTH = "grpc.health.v1.Health"
ERROR_INFO = "google.rpc.ErrorInfo"
BAD_REQUEST = "google.rpc.BadRequest"


def endpoint(host_port: str) -> dict[str, Any]:
    """Return an endpoint as JSON."""
    host, _, port = host_port.rpartition(":")
    return {"host": host, "port": int(port)}


@pytest.mark.mysql
class TestWatchedTopology:
    """Discovery and analysis, with a primary and its replica."""

    async def test_services_are_listed_by_reflection(self, reflecting_tool: Tool, watched: Watched) -> None:
        assert {DISCOVERY, HEALTH} <= set(await reflecting_tool.services(watched.discovery))
        assert {ANALYSIS, HEALTH} <= set(await reflecting_tool.services(watched.analysis))

    @pytest.mark.parametrize("service", ["", DISCOVERY], ids=["process", "service"])
    async def test_discovery_is_healthy(self, reflecting_tool: Tool, watched: Watched, service: str) -> None:
        answer = await reflecting_tool.call(watched.discovery, f"{HEALTH}/Check", {"service": service})
        assert answer.messages == ({"status": "SERVING"},)

    @pytest.mark.parametrize("service", ["", ANALYSIS], ids=["process", "service"])
    async def test_analysis_is_healthy(self, reflecting_tool: Tool, watched: Watched, service: str) -> None:
        answer = await reflecting_tool.call(watched.analysis, f"{HEALTH}/Check", {"service": service})
        assert answer.messages == ({"status": "SERVING"},)

    async def test_topology_has_both_servers_and_their_edge(self, tool: Tool, watched: Watched) -> None:
        answer = await tool.call(watched.discovery, f"{DISCOVERY}/GetTopology", {})
        (message,) = answer.messages
        snapshot = message["snapshot"]
        (cluster,) = snapshot["clusters"]
        assert cluster["primary"] == endpoint(watched.primary)
        instances = {instance["endpoint"]["port"]: instance for instance in snapshot["instances"]}
        assert set(instances) == {endpoint(watched.primary)["port"], endpoint(watched.replica)["port"]}
        (channel,) = instances[endpoint(watched.replica)["port"]]["channels"]
        assert channel["source"] == endpoint(watched.primary)
        assert channel["ioState"] == "THREAD_STATE_ON"

    async def test_one_cluster_is_found_by_its_id_and_its_alias(self, tool: Tool, watched: Watched) -> None:
        (listed,) = (await tool.call(watched.discovery, f"{DISCOVERY}/ListClusters", {})).messages
        (cluster,) = listed["clusters"]
        for name in (cluster["clusterId"], cluster["alias"]):
            answer = await tool.call(watched.discovery, f"{DISCOVERY}/GetTopology", {"cluster": name})
            assert len(answer.messages[0]["snapshot"]["instances"]) == 2

    async def test_a_watch_of_the_topology_begins_with_a_snapshot_and_shows_life(
        self, tool: Tool, watched: Watched
    ) -> None:
        answer = await tool.call(watched.discovery, f"{DISCOVERY}/WatchTopology", {}, within_s=2.5)
        assert answer.code == "deadline_exceeded"
        first, *others = answer.messages
        assert len(first["snapshot"]["instances"]) == 2
        assert others
        assert all("progress" in message or "delta" in message for message in others)
        revisions = [int(message["revision"]) for message in answer.messages]
        assert revisions == sorted(revisions)

    async def test_a_watch_of_findings_of_a_healthy_topology_is_quiet(self, tool: Tool, watched: Watched) -> None:
        answer = await tool.call(watched.analysis, f"{ANALYSIS}/WatchFindings", {}, within_s=2.5)
        assert answer.code == "deadline_exceeded"
        first, *others = answer.messages
        assert "changed" not in first
        assert "progress" not in first
        assert others
        assert all(message["progress"] is True for message in others)

    async def test_explain_shows_the_rules_of_a_healthy_primary(self, tool: Tool, watched: Watched) -> None:
        request = {"instance": endpoint(watched.primary)}
        (message,) = (await tool.call(watched.analysis, f"{ANALYSIS}/Explain", request)).messages
        (explanation,) = message["explanations"]
        assert explanation["finding"]["kind"] == "FINDING_KIND_NO_PROBLEM"
        assert len(explanation["rules"]) == 15

    async def test_a_malformed_field_is_named(self, tool: Tool, watched: Watched) -> None:
        answer = await tool.call(watched.discovery, f"{DISCOVERY}/Discover", {"endpoint": {"port": 1}})
        assert answer.code == "invalid_argument"
        assert answer.details[ERROR_INFO]["reason"] == "INVALID_FIELD"
        assert answer.details[ERROR_INFO]["domain"] == "discovery.primacy"
        (violation,) = answer.details[BAD_REQUEST]["fieldViolations"]
        assert violation["field"] == "endpoint.host"
        assert violation["description"]

    async def test_a_bad_page_token_is_named(self, tool: Tool, watched: Watched) -> None:
        answer = await tool.call(watched.analysis, f"{ANALYSIS}/ListFindings", {"page_token": "?"})
        assert answer.code == "invalid_argument"
        assert answer.details[BAD_REQUEST]["fieldViolations"][0]["field"] == "page_token"
        assert answer.details[ERROR_INFO]["domain"] == "analysis.primacy"

    @pytest.mark.parametrize(
        ("service", "method", "request_", "reason"),
        [
            pytest.param(
                "discovery",
                f"{DISCOVERY}/GetInstance",
                {"endpoint": {"host": "nowhere"}},
                "INSTANCE_UNKNOWN",
                id="instance-of-discovery",
            ),
            pytest.param(
                "discovery", f"{DISCOVERY}/GetTopology", {"cluster": "x"}, "CLUSTER_UNKNOWN", id="cluster-of-discovery"
            ),
            pytest.param(
                "analysis",
                f"{ANALYSIS}/Explain",
                {"instance": {"host": "nowhere"}},
                "INSTANCE_UNKNOWN",
                id="instance-of-analysis",
            ),
            pytest.param(
                "analysis", f"{ANALYSIS}/ListFindings", {"cluster": "x"}, "CLUSTER_UNKNOWN", id="cluster-of-analysis"
            ),
        ],
    )
    async def test_what_is_not_known_is_not_found(
        self, tool: Tool, watched: Watched, service: str, method: str, request_: dict[str, Any], reason: str
    ) -> None:
        answer = await tool.call(getattr(watched, service), method, request_)
        assert answer.code == "not_found"
        assert answer.details[ERROR_INFO]["reason"] == reason
        assert answer.message


class TestGroup:
    """Three members of consensus."""

    async def test_services_are_listed_by_reflection(self, reflecting_tool: Tool, group: Group) -> None:
        services = set(await reflecting_tool.services(group.leader))
        assert {GROUP, REGISTRY, HEALTH} <= services
        assert "primacy.consensus.v1.RaftService" not in services

    async def test_one_member_is_known_as_the_leader_to_all(self, tool: Tool, group: Group) -> None:
        for member in (group.leader, *group.followers):
            (message,) = (await tool.call(member, f"{GROUP}/GetStatus", {})).messages
            assert message["leader"]["apiEndpoint"] == group.leader
            assert message["member"]["apiEndpoint"] == member
            assert (message["role"] == "ROLE_LEADER") == (member == group.leader)

    async def test_health_tells_the_leader(self, reflecting_tool: Tool, group: Group) -> None:
        request = {"service": "primacy.leader"}
        answers = {
            member: (await reflecting_tool.call(member, f"{HEALTH}/Check", request)).messages[0]["status"]
            for member in (group.leader, *group.followers)
        }
        assert [member for member, status in answers.items() if status == "SERVING"] == [group.leader]

    async def test_a_follower_refuses_a_linearizable_read_and_names_the_leader(self, tool: Tool, group: Group) -> None:
        request = {"cluster": "x", "consistency": "CONSISTENCY_LINEARIZABLE"}
        answer = await tool.call(group.followers[0], f"{REGISTRY}/GetPrimary", request)
        assert answer.code == "failed_precondition"
        assert answer.details[ERROR_INFO]["reason"] == "NOT_LEADER"
        assert answer.details[ERROR_INFO]["metadata"]["endpoint"] == group.leader

    async def test_an_unknown_cluster_has_no_primary(self, tool: Tool, group: Group) -> None:
        answer = await tool.call(group.leader, f"{REGISTRY}/GetPrimary", {"cluster": "x"})
        assert answer.code == "not_found"
        assert answer.details[ERROR_INFO]["reason"] == "CLUSTER_UNKNOWN"

    async def test_a_watch_of_the_directory_shows_life(self, tool: Tool, group: Group) -> None:
        answer = await tool.call(group.followers[0], f"{REGISTRY}/WatchPrimaries", {}, within_s=2.5)
        assert answer.code == "deadline_exceeded"
        assert len(answer.messages) >= 2
