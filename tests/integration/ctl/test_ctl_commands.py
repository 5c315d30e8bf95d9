"""The command line as a process against real gRPC servers: answers, exit codes, errors."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from primacy.analysis.v1 import analysis_pb2
from primacy.consensus.v1 import consensus_pb2
from primacy.discovery.v1 import discovery_pb2
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.ctl.nodes import Node, Service
from services.shared.runtime.errors import ClusterUnknown, InstanceUnknown, InvalidField, NoLeader, NotLeader
from tests.integration.ctl.ctl_world import SILENCE, Done, FakeNode, primacy, running
from tests.support.suite import free_base_port

P = topology_pb2.Endpoint(host="p", port=3306)
R = topology_pb2.Endpoint(host="r", port=3306)
NO_PROBLEM = analysis_pb2.Finding(kind=analysis_pb2.FINDING_KIND_NO_PROBLEM)
RECOVERY_ID = "5e7c9a52-7c5e-4a53-8a0e-111111111111"


def member(node: Node, number: int) -> consensus_pb2.Member:
    """Return a member as the group describes it."""
    return consensus_pb2.Member(
        member_id=number,
        name=f"node{number}",
        api_endpoint=node.endpoint(Service.CONSENSUS),
        recovery_endpoint=node.endpoint(Service.RECOVERY),
    )


def group(me: Node, *nodes: Node) -> consensus_pb2.GetStatusResponse:
    """Return the status of a member of a healthy group led by its first node."""
    members = [member(node, number) for number, node in enumerate(nodes, start=1)]
    return consensus_pb2.GetStatusResponse(
        member=members[nodes.index(me)],
        role=consensus_pb2.ROLE_LEADER if me == nodes[0] else consensus_pb2.ROLE_FOLLOWER,
        term=1,
        leader=members[0],
        peers=[consensus_pb2.PeerStatus(member=peer) for peer in members],
        quorum_have=2,
        quorum_need=2,
    )


@asynccontextmanager
async def one_node(**answers: Any) -> AsyncIterator[FakeNode]:
    """Run a node that leads a group of its own."""
    node = Node("127.0.0.1", free_base_port(2))
    defaults = {"GetStatus": group(node, node), "ListBlockers": recovery_pb2.ListBlockersResponse()}
    async with running(FakeNode(node, {**defaults, **answers})) as fake:
        yield fake


async def ask(fake: FakeNode, *arguments: str) -> Done:
    """Run a command against one node."""
    return await primacy(*arguments, "--nodes", str(fake.node))


def recovery(state: recovery_pb2.Recovery.State.ValueType) -> recovery_pb2.Recovery:
    """Return a recovery in a state."""
    return recovery_pb2.Recovery(recovery_id=RECOVERY_ID, failed=P, successor=R, state=state)


async def test_topology_draws_the_tree_and_speaks_json() -> None:
    snapshot = topology_pb2.TopologySnapshot(
        clusters=[topology_pb2.Cluster(cluster_id="id", alias="orders", primary=P, epoch=2)],
        instances=[
            topology_pb2.Instance(endpoint=P, cluster_id="id"),
            topology_pb2.Instance(endpoint=R, cluster_id="id", channels=[topology_pb2.ReplicationChannel(source=P)]),
        ],
    )
    async with one_node(GetTopology=discovery_pb2.GetTopologyResponse(snapshot=snapshot)) as node:
        text = await ask(node, "topology", "orders")
        value = await ask(node, "topology", "--output", "json")

    assert text.code == 0
    assert text.out.startswith("cluster orders: primary p:3306, epoch 2")
    assert "└─ r:3306 [?,unchecked,?,?,?]" in text.out
    assert "\x1b" not in text.out
    assert node.asked[0][1].cluster == "orders"
    assert json.loads(value.out)["instances"][0]["endpoint"] == {"host": "p", "port": 3306}
    assert len(value.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(ClusterUnknown("x"), 3, "cluster x is not known", id="not found"),
        pytest.param(InvalidField("cluster", "is too long"), 2, "cluster: is too long", id="invalid argument"),
        pytest.param(NotLeader("node2", ""), 1, "does not lead", id="refused"),
        pytest.param(NoLeader(), 4, "nobody leads", id="unavailable"),
    ],
)
async def test_refusal_is_one_line_and_an_exit_code(error: Exception, code: int, words: str) -> None:
    async with one_node(GetTopology=error) as node:
        done = await ask(node, "topology", "x")

    assert done.code == code
    assert done.out == ""
    assert words in done.err
    assert len(done.err.splitlines()) == 1


async def test_error_inside_a_service_is_told_without_a_traceback() -> None:
    async with one_node() as node:
        done = await ask(node, "topology")  # No answer is set: the servicer raises KeyError.

    assert done.code == 70
    assert done.err.endswith("that service's log has the details\n")
    assert "Traceback" not in done.err


async def test_nobody_there_exits_with_4_and_says_what_to_do() -> None:
    done = await primacy("topology", "--nodes", f"127.0.0.1:{free_base_port(2)}")

    assert done.code == 4
    assert "primacy up" in done.err
    assert len(done.err.splitlines()) == 1


async def test_silent_first_node_is_passed_over() -> None:
    async with one_node(ListPrimaries=consensus_pb2.ListPrimariesResponse()) as node:
        done = await primacy("primaries", "--nodes", f"127.0.0.1:{free_base_port(2)},{node.node}")

    assert done.code == 0
    assert "the directory is empty" in done.out


async def test_findings_come_from_all_pages_and_exit_with_5() -> None:
    first = analysis_pb2.ListFindingsResponse(
        findings=[analysis_pb2.Finding(instance=P)], next_page_token="2", staleness=Duration()
    )
    second = analysis_pb2.ListFindingsResponse(findings=[analysis_pb2.Finding(instance=R)], staleness=Duration())
    async with one_node(ListFindings=first, ListFindings2=second) as node:
        done = await ask(node, "findings", "-o", "json")

    assert done.code == 5
    assert [finding["instance"]["host"] for finding in json.loads(done.out)["findings"]] == ["p", "r"]


async def test_nothing_wrong_exits_with_0() -> None:
    async with one_node(ListFindings=analysis_pb2.ListFindingsResponse(staleness=Duration())) as node:
        done = await ask(node, "findings")

    assert (done.code, done.out) == (0, "nothing is wrong\n")


@pytest.mark.parametrize(("chosen", "code"), [(R, 0), (None, 1)])
async def test_plan_without_a_successor_exits_with_1(chosen: topology_pb2.Endpoint | None, code: int) -> None:
    plan = recovery_pb2.FailoverPlan(failed=P, chosen=chosen)
    async with one_node(Plan=recovery_pb2.PlanResponse(plan=plan)) as node:
        done = await ask(node, "plan", "p")

    assert done.code == code
    assert node.asked[-1][1].failed == P


async def test_recover_follows_not_leader_to_the_leader() -> None:
    started = recovery_pb2.StartRecoveryResponse(recovery=recovery(recovery_pb2.Recovery.STATE_RUNNING))
    async with one_node(StartRecovery=started) as leader:
        refusal = NotLeader("node1", leader.node.endpoint(Service.RECOVERY))
        async with one_node(StartRecovery=refusal) as follower:
            done = await ask(follower, "recover", "p:3306", "--request-id", RECOVERY_ID)

    assert done.code == 0
    assert RECOVERY_ID in done.out
    ((_, request),) = [call for call in leader.asked if call[0] == "StartRecovery"]
    assert request.request_id == RECOVERY_ID
    assert "@" in request.requested_by


async def test_recover_waits_for_an_election_only_until_its_deadline() -> None:
    async with one_node(StartRecovery=NoLeader()) as node:
        done = await ask(node, "recover", "p:3306", "--timeout", "600ms")

    assert done.code == 4
    assert len([name for name, _ in node.asked if name == "StartRecovery"]) > 1


@pytest.mark.parametrize(
    ("state", "code"),
    [
        pytest.param(recovery_pb2.Recovery.STATE_SUCCEEDED, 0, id="succeeded"),
        pytest.param(recovery_pb2.Recovery.STATE_SUCCEEDED_WITH_LOSSES, 5, id="with losses"),
        pytest.param(recovery_pb2.Recovery.STATE_FAILED, 1, id="failed"),
    ],
)
async def test_recover_waits_for_the_end_and_tells_it(state: recovery_pb2.Recovery.State.ValueType, code: int) -> None:
    running_ = recovery(recovery_pb2.Recovery.STATE_RUNNING)
    messages = [
        recovery_pb2.WatchRecoveryResponse(revision=1, recovery=running_),
        recovery_pb2.WatchRecoveryResponse(revision=1),
        recovery_pb2.WatchRecoveryResponse(revision=2, recovery=recovery(state)),
    ]
    async with one_node(
        StartRecovery=recovery_pb2.StartRecoveryResponse(recovery=running_), WatchRecovery=messages
    ) as node:
        done = await ask(node, "recover", "p:3306", "--wait", "--output", "json")

    assert done.code == code
    assert json.loads(done.out)["state"] == recovery_pb2.Recovery.State.Name(state)


async def test_watching_a_recovery_prints_one_object_a_line() -> None:
    messages = [
        recovery_pb2.WatchRecoveryResponse(recovery=recovery(recovery_pb2.Recovery.STATE_RUNNING)),
        recovery_pb2.WatchRecoveryResponse(recovery=recovery(recovery_pb2.Recovery.STATE_SUCCEEDED)),
    ]
    async with one_node(WatchRecovery=messages) as node:
        done = await ask(node, "recoveries", RECOVERY_ID, "--watch", "-o", "json")

    assert done.code == 0
    assert [json.loads(line)["state"] for line in done.out.splitlines()] == ["STATE_RUNNING", "STATE_SUCCEEDED"]


async def test_stream_that_ends_before_the_recovery_is_not_success() -> None:
    messages = [recovery_pb2.WatchRecoveryResponse(recovery=recovery(recovery_pb2.Recovery.STATE_RUNNING))]
    async with one_node(WatchRecovery=messages) as node:
        done = await ask(node, "recoveries", RECOVERY_ID, "--watch")

    assert done.code != 0


async def test_recoveries_are_listed_for_a_cluster() -> None:
    listed = recovery_pb2.ListRecoveriesResponse(recoveries=[recovery(recovery_pb2.Recovery.STATE_SUCCEEDED)])
    async with one_node(ListRecoveries=listed) as node:
        done = await ask(node, "recoveries", "--cluster", "orders")

    assert done.code == 0
    assert "p:3306 -> r:3306" in done.out
    assert node.asked[-1][1].cluster == "orders"


async def test_watch_of_primaries_passes_over_an_older_epoch() -> None:
    def entry(host: str, epoch: int) -> consensus_pb2.WatchPrimariesResponse:
        endpoint = topology_pb2.Endpoint(host=host, port=3306)
        return consensus_pb2.WatchPrimariesResponse(
            changed=[consensus_pb2.Primary(cluster_id="id", endpoint=endpoint, epoch=epoch)]
        )

    async with one_node(WatchPrimaries=[entry("a", 2), entry("stale", 1), entry("b", 3)]) as node:
        done = await ask(node, "primaries", "--watch", "-o", "json")

    assert [json.loads(line)["endpoint"]["host"] for line in done.out.splitlines()] == ["a", "b"]


async def test_status_of_a_healthy_node_exits_with_0() -> None:
    async with one_node() as node:
        done = await ask(node, "status")

    assert done.code == 0
    assert "leads" in done.out
    assert "all serving" in done.out


async def test_status_asks_the_members_nobody_named_and_exits_with_5_when_one_is_gone() -> None:
    gone = Node("127.0.0.1", free_base_port(2))
    async with one_node() as node:
        node.answers["GetStatus"] = group(node.node, node.node, gone)
        done = await ask(node, "status", "-o", "json")

    value = json.loads(done.out)
    assert done.code == 5
    assert [(entry["node"], entry["healthy"]) for entry in value["nodes"]] == [
        (str(node.node), True),
        (str(gone), False),
    ]
    assert value["blocked_known"] is True


async def test_status_tells_what_nobody_acts_on() -> None:
    blocked = recovery_pb2.BlockedFinding(
        instance=P, orchestrator_code="DeadMaster", blocker=recovery_pb2.BLOCKER_POLICY, reason="policy is observe"
    )
    async with one_node(ListBlockers=recovery_pb2.ListBlockersResponse(blocked=[blocked])) as node:
        done = await ask(node, "status")

    assert done.code == 5
    assert "DeadMaster p:3306 is not acted on: POLICY" in done.out


async def test_discover_tells_every_member_and_exits_with_5_when_one_did_not_hear() -> None:
    gone = Node("127.0.0.1", free_base_port(2))
    found = discovery_pb2.DiscoverResponse(found=[P, R])
    async with one_node(Discover=found) as node:
        node.answers["GetStatus"] = group(node.node, node.node, gone)
        done = await ask(node, "discover", "p:3306")

    assert done.code == 5
    assert f"2 instances known to {node.node}" in done.out
    assert f"{gone}: discovery at {gone}: does not answer" in done.out


async def test_explain_takes_host_and_port_for_an_instance_first_then_for_a_cluster() -> None:
    explained = analysis_pb2.ExplainResponse(explanations=[analysis_pb2.Explanation(instance=P, finding=NO_PROBLEM)])
    async with one_node(**{"Explain instance": InstanceUnknown("p:3306"), "Explain cluster": explained}) as node:
        done = await ask(node, "explain", "p:3306")

    assert done.code == 0
    assert "p:3306: no problem" in done.out
    assert [name for name, _ in node.asked if name.startswith("Explain")] == ["Explain instance", "Explain cluster"]


async def test_explain_of_the_unknown_exits_with_3() -> None:
    unknown = {"Explain instance": InstanceUnknown("p:3306"), "Explain cluster": ClusterUnknown("p:3306")}
    async with one_node(**unknown) as node:
        done = await ask(node, "explain", "p:3306")

    assert done.code == 3
    assert "instance p:3306 is not known" in done.err


async def test_explain_shows_only_blockers_of_what_it_explains() -> None:
    explained = analysis_pb2.ExplainResponse(explanations=[analysis_pb2.Explanation(instance=P)])
    blocked = recovery_pb2.ListBlockersResponse(
        blocked=[
            recovery_pb2.BlockedFinding(instance=P, blocker=recovery_pb2.BLOCKER_POLICY),
            recovery_pb2.BlockedFinding(instance=R, blocker=recovery_pb2.BLOCKER_DOWNTIME),
        ]
    )
    async with one_node(**{"Explain cluster": explained, "ListBlockers": blocked}) as node:
        done = await ask(node, "explain", "orders")

    assert "POLICY" in done.out
    assert "DOWNTIME" not in done.out


@pytest.mark.parametrize(
    ("service", "options", "code", "words"),
    [
        pytest.param(Service.ANALYSIS, (), 0, "serving", id="serving"),
        pytest.param(Service.DISCOVERY, (), 4, "unreachable", id="not there"),
        pytest.param(Service.ANALYSIS, ("--name", "primacy.leader"), 3, "does not know that name", id="unknown name"),
        pytest.param(Service.ANALYSIS, ("--output", "json"), 0, '"serving": true', id="json"),
    ],
)
async def test_health_is_an_exit_code(service: Service, options: tuple[str, ...], code: int, words: str) -> None:
    fake = FakeNode(Node("127.0.0.1", free_base_port(2)), down=frozenset({Service.DISCOVERY}))
    async with running(fake) as node:
        done = await primacy("health", node.node.endpoint(service), *options)

    assert done.code == code
    assert words in done.out
    assert done.err == ""


async def test_blockers_come_from_the_leader_although_members_have_addresses_of_their_own() -> None:
    blocked = recovery_pb2.BlockedFinding(instance=P, orchestrator_code="DeadMaster", reason="policy is observe")
    async with (
        one_node(ListBlockers=recovery_pb2.ListBlockersResponse(blocked=[blocked])) as leader,
        one_node() as follower,
    ):
        elsewhere = Node("member-1.invalid", 50051)
        for node, role in ((leader, consensus_pb2.ROLE_LEADER), (follower, consensus_pb2.ROLE_FOLLOWER)):
            status = consensus_pb2.GetStatusResponse(role=role, leader=member(elsewhere, 1))
            status.leader.recovery_endpoint = "other.invalid:1"
            node.answers["GetStatus"] = status
        done = await primacy("status", "--nodes", f"{follower.node},{leader.node}")

    assert "DeadMaster p:3306 is not acted on" in done.out


async def test_interrupt_ends_a_watch_with_130_and_without_noise() -> None:
    entry = consensus_pb2.WatchPrimariesResponse(changed=[consensus_pb2.Primary(cluster_id="id", epoch=1)])
    async with one_node(WatchPrimaries=[entry, SILENCE]) as node:
        process = await asyncio.create_subprocess_exec(
            # A test run in the background of a shell ignores SIGINT, and its children would too.
            *(
                "env",
                "--default-signal=INT",
                sys.executable,
                "-m",
                "services.ctl",
                "primaries",
                "--watch",
                "--nodes",
                str(node.node),
            ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 130
    assert err == b""


async def test_reader_that_goes_away_is_no_error() -> None:
    many = [
        consensus_pb2.WatchPrimariesResponse(changed=[consensus_pb2.Primary(cluster_id="id", epoch=number)])
        for number in range(1, 3000)
    ]
    async with one_node(WatchPrimaries=many) as node:
        process = await asyncio.create_subprocess_shell(
            f"{sys.executable} -m services.ctl primaries --watch --nodes {node.node} | head -1",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert len(out.splitlines()) == 1
    assert err == b""
