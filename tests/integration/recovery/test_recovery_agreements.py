"""A recovery beside a real member heeds what the group has agreed on, and its stops reach the record (F7, F8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_asyncio
from primacy.consensus.v1 import registry_pb2

from services.recovery.app import RecoveryApp
from services.recovery.consensus_client import ConsensusClient
from services.recovery.feeds import Feeds
from services.recovery.lease_holder import LeaseHolder
from services.recovery.model import Blocker, Policy, RecoveryState, Stop
from services.recovery.stop_notes import StopNotes
from services.recovery.world import World
from services.shared.runtime.clock import boot_id, boottime_ns
from tests.support.consensus_group import MemberProcess, consensus_group, new_id
from tests.support.eventually import eventually
from tests.support.recovery.executor import FakeExecutor
from tests.support.recovery.fakes import RealClock
from tests.support.recovery.node import FINDING, dead_primary
from tests.support.recovery.topologies import P


class Beside:
    """A recovery with faked servers beside a real member that leads alone; discovery and analysis are silent."""

    def __init__(self, member: MemberProcess) -> None:
        self.registry: Any = member.registry
        self.client = ConsensusClient(member.channel)
        self.world = World()
        self.stops = StopNotes(lambda stop: None, self.client)
        fleet = dead_primary()
        self.holder = LeaseHolder(
            self.client, new_id(), boot_id(), boottime_ns, lambda: self.app.consider(), lambda: True
        )
        self.app = RecoveryApp(
            self.world,
            self.holder,
            self.client,
            self.client,
            FakeExecutor(fleet),
            RealClock(),
            node="node1",
            policy=Policy.ACT,
            block_period=timedelta(hours=1),
            drain_timeout=timedelta(seconds=1),
            audit=self.stops,
        )
        self.feeds = Feeds(
            self.world,
            member.channel,
            member.channel,
            self.client,
            timedelta(seconds=5),
            self.app.consider,
            lambda leads: self.holder.note_leadership(leads=leads),
        )
        self.world.replace_topology(fleet.snapshot())
        self.world.change_findings((FINDING,), (), first=True)

    async def run(self) -> None:
        """Work until cancelled."""
        feeds = (self.feeds.leader, self.feeds.records, self.feeds.primaries, self.feeds.agreements)
        async with asyncio.TaskGroup() as tasks:
            for part in (self.app.run(), self.holder.run(), self.stops.run(), *(each.run() for each in feeds)):
                tasks.create_task(part)

    async def switch(self, value: str) -> None:
        """Set whether anything is recovered automatically."""
        request = registry_pb2.SetSettingRequest(
            request_id=new_id(), owner="ada", reason="night shift", name="recoveries", value=value
        )
        await self.registry.SetSetting(request, timeout=5)


@pytest_asyncio.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    async with consensus_group(tmp_path, 1) as group:
        member = group.members[0]
        member.start()
        await group.leader()
        beside = Beside(member)
        await beside.switch("off")
        task = asyncio.create_task(beside.run())
        yield beside
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_switch_is_a_blocker_and_lifting_it_lets_the_recovery_begin(beside: Beside) -> None:
    def blocked() -> list[Blocker]:
        return [each.blocker for each in beside.app.blocked("")]

    await eventually(lambda: blocked() == [Blocker.RECOVERIES_DISABLED], within=20)
    (told,) = beside.app.blocked("")
    assert "ada (night shift)" in told.reason
    assert beside.world.records == {}
    await beside.switch("on")
    closed = await eventually(lambda: [each for each in beside.world.records.values() if not each.open], within=20)
    assert closed[0].recovery.state is RecoveryState.SUCCEEDED
    assert closed[0].recovery.failed == P

    token = closed[0].fencing_token
    stop = Stop(closed[0].recovery.recovery_id, token, 2, "freeze", "a:3306", "STOP REPLICA", "lost", datetime.now(UTC))
    beside.stops(stop)
    noted = await eventually(lambda: beside.world.records[stop.recovery_id].recovery.stops, within=10)
    assert [(each.step, each.statement, each.outcome_known) for each in noted] == [(2, "STOP REPLICA", False)]
