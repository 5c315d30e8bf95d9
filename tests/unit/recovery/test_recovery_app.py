"""What a node does by itself, and what it answers, with everything around it faked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from services.recovery.model import (
    Blocker,
    FormerPrimary,
    Leadership,
    NoActionableFinding,
    NoPromotionCandidate,
    ObserveOnly,
    Policy,
    Primary,
    RecoveryKind,
    RecoveryOpen,
    RecoveryState,
    RecoveryUnknown,
    StepKind,
    Verdict,
)
from services.shared.runtime.errors import ClusterUnknown, InstanceUnknown, NoLeader, NotLeader
from services.shared.topology.channel import ThreadState
from services.shared.topology.operators import PromotionRule
from tests.support.eventually import eventually
from tests.support.recovery.fakes import RealClock
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.node import FINDING, Node, dead_primary, quiet, running
from tests.support.recovery.topologies import CLUSTER, READ, P, key, primary, replica

REQUEST: Final = "0b8e4d3a-0000-4000-8000-0000000000aa"


async def test_leader_recovers_a_dead_primary_by_itself() -> None:
    async with running(Node(dead_primary())) as node:
        node.find()
        closed = await node.closed()
        assert closed.state is RecoveryState.SUCCEEDED
        assert (closed.started_by, closed.node, closed.orchestrator_code) == ("automatic", "node1", "DeadMaster")
        assert node.directory.primaries[CLUSTER].endpoint == key("a")
        await quiet(node)
        assert len(node.journal.records) == 1, "the same finding is not acted upon twice"
        assert [each.blocker for each in node.app.blocked("")] == [Blocker.ANTI_FLAPPING]


NOBODY_ACTS: list[Any] = [
    pytest.param({"leadership": Leadership("node2", "n2:50053")}, Blocker.NOT_LEADER, id="follower"),
    pytest.param({"leadership": Leadership()}, Blocker.NO_QUORUM, id="no quorum"),
]


@pytest.mark.parametrize(("facts", "blocker"), NOBODY_ACTS)
async def test_node_that_does_not_lead_does_nothing_and_says_why(facts: dict[str, Any], blocker: Blocker) -> None:
    async with running(Node(dead_primary())) as node:
        node.world.leadership = facts["leadership"]
        node.find()
        await quiet(node)
        assert node.executor.commands == []
        assert [each.blocker for each in node.app.blocked(CLUSTER)] == [blocker]


async def test_observing_node_changes_nothing_whoever_asks() -> None:
    fleet = FakeFleet(primary(reading=READ), replica("a", read_only=False, channels=()))
    async with running(Node(fleet, Policy.OBSERVE)) as node:
        former = FormerPrimary(P, primary().server_uuid, 1)
        a = fleet.servers[key("a")]
        node.world.change_primaries([Primary(CLUSTER, "shop", key("a"), a.server_uuid, 2, (former,))], first=True)
        node.find()
        await quiet(node)
        with pytest.raises(ObserveOnly):
            await node.app.start(P, REQUEST, None, "me")
        assert node.executor.commands == []
        assert [each.blocker for each in node.app.blocked("")] == [Blocker.POLICY]


async def test_nothing_is_done_before_all_streams_were_heard() -> None:
    node = Node(dead_primary())
    node.world.synced.discard("records")
    async with running(node):
        node.find()
        await quiet(node)
        assert node.executor.commands == []


async def test_finding_without_a_candidate_is_blocked_and_not_registered() -> None:
    fleet = FakeFleet(primary(), replica("a", promotion_rule=PromotionRule.MUST_NOT))
    async with running(Node(fleet)) as node:
        node.find()
        await quiet(node)
        blocked = node.app.blocked("")
        assert [each.blocker for each in blocked] == [Blocker.NO_PROMOTION_CANDIDATE]
        assert "its promotion rule is MUST_NOT" in blocked[0].reason
        assert node.journal.records == {}


async def test_blocker_keeps_the_time_since_when_it_stands() -> None:
    async with running(Node(dead_primary())) as node:
        node.world.leadership = Leadership()
        node.find()
        first = node.app.blocked("")[0].since_time
        await quiet(node)
        assert node.app.blocked("")[0].since_time == first
        assert node.app.blocked("another cluster") == []


async def test_failed_recovery_is_not_repeated_by_itself_but_on_request() -> None:
    fleet = dead_primary()
    fleet.stuck = {key("a"), key("b")}
    async with running(Node(fleet)) as node:
        node.find(replace(FINDING, detect_time=RealClock().now()))
        assert (await node.closed()).state is RecoveryState.FAILED
        node.echo()
        await quiet(node)
        assert len(node.journal.records) == 1
        assert [each.blocker for each in node.app.blocked("")] == [Blocker.LAST_ATTEMPT_FAILED]
        fleet.stuck.clear()
        started = await node.app.start(P, REQUEST, None, "me")
        assert started.started_by == "me"
        await eventually(lambda: not node.journal.records[REQUEST].open, within=5)
        assert node.journal.records[REQUEST].recovery.state is RecoveryState.SUCCEEDED


async def test_lost_lease_stops_everything_and_leaves_the_record_open_for_the_next_holder() -> None:
    async with running(Node(dead_primary())) as node:
        node.executor.hold_before = StepKind.PROMOTE
        node.find()
        await eventually(lambda: StepKind.DRAIN in node.executor.commands, within=5)
        node.lease.lose()
        node.executor.go_on.set()
        await quiet(node)
        assert StepKind.PROMOTE not in node.executor.commands
        assert [each.open for each in node.journal.records.values()] == [True]

    successor = Node(node.fleet, journal=node.journal, token=9)
    async with running(successor):
        successor.find()
        successor.echo()
        closed = await successor.closed()
        assert closed.state is RecoveryState.SUCCEEDED
        assert closed.fencing_token == 9
        assert node.fleet.writable() == ["a"]


async def test_write_that_was_not_answered_is_repeated() -> None:
    async with running(Node(dead_primary())) as node:
        node.journal.fail_next = 3
        node.find()
        assert (await node.closed()).state is RecoveryState.SUCCEEDED


async def test_former_primary_is_fenced_once() -> None:
    fleet = FakeFleet(primary(reading=READ), replica("a", read_only=False, channels=()))
    a = fleet.servers[key("a")]
    async with running(Node(fleet)) as node:
        entry = Primary(CLUSTER, "shop", key("a"), a.server_uuid, 2, (FormerPrimary(P, primary().server_uuid, 1),))
        node.world.change_primaries([entry], first=True)
        node.app.consider()
        closed = await node.closed()
        assert closed.kind is RecoveryKind.FORMER_PRIMARY
        assert fleet.writable() == ["a"]
        await quiet(node)
        assert len(node.journal.records) == 1, "what discovery has not read yet is not acted upon again"


async def test_primary_of_a_healthy_cluster_is_published_as_found() -> None:
    fleet = FakeFleet(primary(reading=READ), replica("a", io_state=ThreadState.ON))
    async with running(Node(fleet)) as node:
        node.app.consider()
        await eventually(lambda: CLUSTER in node.directory.primaries, within=5)
        entry = node.directory.primaries[CLUSTER]
        assert (entry.endpoint, entry.epoch) == (P, 1)
        assert node.journal.records == {}


async def test_request_is_refused_by_a_node_that_does_not_lead() -> None:
    node = Node(dead_primary())
    node.world.leadership = Leadership("node2", "n2:50053")
    with pytest.raises(NotLeader) as refusal:
        await node.app.start(P, "", None, "me")
    assert refusal.value.endpoint == "n2:50053"
    node.world.leadership = Leadership()
    with pytest.raises(NoLeader):
        await node.app.start(P, "", None, "me")


async def test_request_needs_an_actionable_finding_and_a_candidate() -> None:
    node = Node(FakeFleet(primary(), replica("a", promotion_rule=PromotionRule.MUST_NOT)))
    with pytest.raises(NoActionableFinding):
        await node.app.start(P, "", None, "me")
    node.world.change_findings((FINDING,), (), first=False)
    with pytest.raises(NoPromotionCandidate) as refusal:
        await node.app.start(P, "", None, "me")
    assert refusal.value.refusals == {"a:3306": "its promotion rule is MUST_NOT"}


async def test_repeated_request_returns_the_recovery_it_started_first() -> None:
    async with running(Node(dead_primary())) as node:
        node.world.change_findings((replace(FINDING, downtimed=True),), (), first=False)
        node.executor.hold_before = StepKind.PROMOTE
        first = await node.app.start(P, REQUEST, None, "me")
        with pytest.raises(RecoveryOpen):
            await node.app.start(P, "", None, "somebody else")
        node.echo()
        again = await node.app.start(P, REQUEST, None, "me")
        assert again.recovery_id == first.recovery_id == REQUEST
        node.executor.go_on.set()
        await node.closed()


async def test_plan_reads_anew_and_changes_nothing_on_any_node() -> None:
    node = Node(FakeFleet(primary(reading=READ), replica("a", 110), replica("b", 90)))
    node.world.leadership = Leadership()
    node.fleet.servers[key("b")] = replica("b", 120)
    plan = await node.app.plan(P)
    assert plan.chosen == key("b")
    assert [each.verdict for each in plan.candidates] == [Verdict.CHOSEN, Verdict.ELIGIBLE]
    assert node.executor.commands == []
    with pytest.raises(InstanceUnknown):
        await node.app.plan(key("nobody"))


async def test_recoveries_are_found_by_cluster_and_watched_until_they_end() -> None:
    async with running(Node(dead_primary())) as node:
        node.find()
        closed = await node.closed()
        node.echo()
        assert [each.recovery_id for each in node.app.recoveries("shop")] == [closed.recovery_id]
        assert node.app.recovery(closed.recovery_id).state is RecoveryState.SUCCEEDED
        seen = [each async for each in node.app.watch(closed.recovery_id)]
        assert [recovery.state for _, recovery in seen if recovery is not None] == [RecoveryState.SUCCEEDED]
        with pytest.raises(ClusterUnknown):
            node.app.recoveries("nobody's")
        with pytest.raises(RecoveryUnknown):
            node.app.recovery(REQUEST)


async def test_lost_replica_of_a_former_primary_never_becomes_a_second_primary() -> None:
    a = replica("a", read_only=False, channels=())
    async with running(Node(FakeFleet(primary(), a, replica("b")))) as node:
        former = FormerPrimary(P, primary().server_uuid, 1)
        node.world.change_primaries([Primary(CLUSTER, "shop", key("a"), a.server_uuid, 2, (former,))], first=True)
        node.find()
        await quiet(node)
        assert node.executor.commands == []
        assert [each.blocker for each in node.app.blocked("")] == [Blocker.NOT_ACTIONABLE]
        with pytest.raises(NoActionableFinding, match="former primary"):
            await node.app.start(P, "", None, "me")


async def test_observing_node_still_tells_who_the_primary_is() -> None:
    fleet = FakeFleet(primary(reading=READ), replica("a", io_state=ThreadState.ON))
    async with running(Node(fleet, Policy.OBSERVE)) as node:
        node.app.consider()
        await eventually(lambda: CLUSTER in node.directory.primaries, within=5)
        assert node.executor.commands == []
