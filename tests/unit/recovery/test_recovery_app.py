"""What a node does by itself, and what it answers, with everything around it faked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from services.recovery.app import RecoveryApp
from services.recovery.lease import LeaseGuard
from services.recovery.model import (
    Blocker,
    Finding,
    FormerPrimary,
    Leadership,
    NoActionableFinding,
    NoPromotionCandidate,
    ObserveOnly,
    Policy,
    Primary,
    Recovery,
    RecoveryKind,
    RecoveryOpen,
    RecoveryState,
    RecoveryUnknown,
    StepKind,
    Verdict,
)
from services.recovery.world import World
from services.shared.runtime.errors import ClusterUnknown, InstanceUnknown, NoLeader, NotLeader
from services.shared.topology.instance import ThreadState
from tests.support.eventually import eventually
from tests.support.recovery.executor import FakeExecutor
from tests.support.recovery.fakes import FakeDirectory, FakeJournal, FakeLease, RealClock
from tests.support.recovery.fleet import FakeFleet
from tests.support.recovery.topologies import CLUSTER, READ, P, key, primary, replica

REQUEST: Final = "0b8e4d3a-0000-4000-8000-0000000000aa"
FINDING: Final = Finding(CLUSTER, "shop", P, "DEAD_PRIMARY", "DeadMaster", actionable=True)


class HeldLease:
    """The lease as the app sees it."""

    def __init__(self, lease: FakeLease) -> None:
        self.lease = lease

    @property
    def live(self) -> bool:
        return self.lease.state is not None

    def guard(self) -> LeaseGuard | None:
        return self.lease.guard() if self.live else None


class Node:
    """A node whose neighbours are fakes; the journal's stream is what `echo` copies."""

    def __init__(
        self, fleet: FakeFleet, policy: Policy = Policy.ACT, journal: FakeJournal | None = None, token: int = 7
    ) -> None:
        self.fleet = fleet
        self.journal = journal or FakeJournal()
        self.directory = FakeDirectory()
        self.executor = FakeExecutor(fleet)
        self.lease = FakeLease(token)
        self.world = World()
        self.app = RecoveryApp(
            self.world,
            HeldLease(self.lease),
            self.journal,
            self.directory,
            self.executor,
            RealClock(),
            node="node1",
            policy=policy,
            block_period=timedelta(hours=1),
            drain_timeout=timedelta(seconds=1),
        )
        self.world.leadership = Leadership("node1", "n1:50053", local=True)
        self.world.replace_topology(fleet.snapshot())
        self.world.change_findings((), (), first=True)
        self.world.change_records((), first=True)
        self.world.change_primaries((), first=True)

    def find(self, finding: Finding = FINDING) -> None:
        self.world.change_findings((finding,), (), first=False)
        self.app.consider()

    def echo(self) -> None:
        self.world.change_records(self.journal.records.values(), first=True)
        self.app.consider()

    async def closed(self) -> Recovery:
        async def is_closed() -> Recovery | None:
            found = [each.recovery for each in self.journal.records.values() if not each.open]
            return found[-1] if found else None

        found = await eventually(is_closed, within=5)
        assert found is not None
        return found


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    task = asyncio.create_task(node.app.run())
    await asyncio.sleep(0)
    try:
        yield node
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def dead_primary() -> FakeFleet:
    fleet = FakeFleet(primary(), replica("a", 110), replica("b", 90))
    fleet.dead.add(P)
    return fleet


async def quiet(node: Node) -> None:
    """Let the node look at everything, several times over."""
    for _ in range(50):
        node.app.consider()
        await asyncio.sleep(0)


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
    fleet = FakeFleet(primary(), replica("a", log_bin=False))
    async with running(Node(fleet)) as node:
        node.find()
        await quiet(node)
        blocked = node.app.blocked("")
        assert [each.blocker for each in blocked] == [Blocker.NO_PROMOTION_CANDIDATE]
        assert "its binary log is off" in blocked[0].reason
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
    node = Node(FakeFleet(primary(), replica("a", log_bin=False)))
    with pytest.raises(NoActionableFinding):
        await node.app.start(P, "", None, "me")
    node.world.change_findings((FINDING,), (), first=False)
    with pytest.raises(NoPromotionCandidate) as refusal:
        await node.app.start(P, "", None, "me")
    assert refusal.value.refusals == {"a:3306": "its binary log is off"}


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
