"""The executor and a whole recovery on real servers; consensus is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.recovery.execute import MysqlExecutor
from services.recovery.machine import RecoveryMachine
from services.recovery.model import (
    LeaseLost,
    LossState,
    Recovery,
    RecoveryKind,
    RecoveryState,
    StepKind,
    StepState,
    Stop,
)
from services.recovery.run import RecoveryRun
from services.recovery.situation import with_readings
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import Flavor
from services.shared.topology.snapshot import TopologySnapshot
from tests.support.eventually import eventually
from tests.support.lab import Fleet, Lab, LabInstance
from tests.support.recovery.fakes import FakeDirectory, FakeJournal, FakeLease, RealClock
from tests.support.recovery.lab_world import (
    QUICK,
    RECOVERY_ID,
    executor_for,
    key_of,
    new_recovery,
    snapshot_of,
    without_answer,
)
from tests.support.recovery.topologies import CLUSTER


@dataclass
class World:
    """A fleet, what is known of it, and the fakes of consensus."""

    fleet: Fleet
    executor: MysqlExecutor
    snapshot: TopologySnapshot
    journal: FakeJournal
    directory: FakeDirectory
    stops: list[Stop] = field(default_factory=list)

    @classmethod
    async def of(cls, fleet: Fleet) -> World:
        executor = executor_for(fleet, QUICK)
        snapshot = await snapshot_of(executor, tuple(fleet))
        return cls(fleet, executor, snapshot, FakeJournal(), FakeDirectory())

    def fail(self) -> InstanceKey:
        failed = key_of(self.fleet.primary)
        self.snapshot = without_answer(self.snapshot, failed)
        return failed

    def run(self, machine: RecoveryMachine, lease: FakeLease) -> RecoveryRun:
        return RecoveryRun(
            machine,
            lease.guard(),
            self.journal,
            self.directory,
            self.executor,
            RealClock(),
            lambda: self.snapshot,
            self.stops.append,
        )

    async def recover(self, token: int = 7, kind: RecoveryKind = RecoveryKind.DEAD_PRIMARY) -> Recovery:
        machine = RecoveryMachine(new_recovery(self.fail(), token, kind))
        run = self.run(machine, FakeLease(token))
        return (await run.finish(await run.register(timedelta()))).recovery


Deploy = Callable[..., Awaitable[World]]


@pytest_asyncio.fixture
async def deploy() -> AsyncIterator[Deploy]:
    """Return how a topology is deployed; everything ends with the test."""
    worlds: list[World] = []

    async def of(topology: str, **options: Any) -> World:
        worlds.append(await World.of(await lab.deploy(topology, **options)))
        return worlds[-1]

    async with Lab() as lab:
        yield of
        for world in worlds:
            world.executor.stop()


async def insert(instance: LabInstance, number: int) -> None:
    await instance.execute(f"INSERT INTO app.writes (id) VALUES ({number})")


async def is_writable(instance: LabInstance) -> bool:
    return await instance.variable("read_only") in ("OFF", "0")


async def rows(instance: LabInstance) -> list[int]:
    return sorted(int(row["id"]) for row in await instance.query("SELECT id FROM app.writes"))


@pytest.mark.mysql
async def test_killed_primary_is_replaced_and_its_lagging_successor_drained(deploy: Deploy) -> None:
    world = await deploy("p@east -> r1@east r2@west")
    fleet = world.fleet
    await insert(fleet["p"], 1)
    await fleet.caught_up()
    await fleet["r1"].execute("STOP REPLICA SQL_THREAD")
    await fleet["r2"].execute("STOP REPLICA IO_THREAD")
    await insert(fleet["p"], 2)

    async def received() -> bool:
        status = await fleet["r1"].query("SHOW REPLICA STATUS")
        return status[0]["Retrieved_Gtid_Set"] not in ("", status[0]["Executed_Gtid_Set"])

    await eventually(received, within=10)
    fleet["p"].kill()
    finished = await world.recover()
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert finished.successor == key_of(fleet["r1"])
    assert await is_writable(fleet["r1"])
    assert not await is_writable(fleet["r2"])
    await insert(fleet["r1"], 3)
    await fleet["r1"].query("SELECT 1")
    await eventually(lambda: _has(fleet["r2"], [1, 2, 3]), within=10)
    assert world.directory.primaries[CLUSTER].endpoint == key_of(fleet["r1"])
    assert world.directory.primaries[CLUSTER].server_uuid == fleet["r1"].server_uuid
    assert await fleet["r1"].query("SHOW REPLICA STATUS") in ([], ())


FLAVORS = [pytest.param(flavor, marks=getattr(pytest.mark, flavor.value), id=flavor.value) for flavor in Flavor]


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_preferred_replica_catches_up_from_the_one_that_has_most(deploy: Deploy, flavor: Flavor) -> None:
    world = await deploy("p -> r1 r2", flavor=flavor)
    fleet = world.fleet
    await insert(fleet["p"], 1)
    await fleet.caught_up()
    await fleet["r2"].execute("STOP REPLICA IO_THREAD" if flavor is Flavor.MYSQL else "STOP SLAVE IO_THREAD")
    await insert(fleet["p"], 2)
    await eventually(lambda: _has(fleet["r1"], [1, 2]), within=10)
    preferred = world.snapshot.instances[key_of(fleet["r2"])]
    world.snapshot = with_readings(world.snapshot, [replace(preferred, promotion_rule=PromotionRule.PREFER)])
    fleet["p"].kill()
    finished = await world.recover()
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert (finished.successor, finished.interim) == (key_of(fleet["r2"]), key_of(fleet["r1"]))
    assert await is_writable(fleet["r2"])
    assert not await is_writable(fleet["r1"])
    assert await rows(fleet["r2"]) == [1, 2]
    await insert(fleet["r2"], 3)
    await eventually(lambda: _has(fleet["r1"], [1, 2, 3]), within=10)


async def _has(instance: LabInstance, numbers: list[int]) -> bool:
    return await rows(instance) == numbers


@pytest.mark.mysql
async def test_living_primary_is_fenced_before_another_is_promoted(deploy: Deploy) -> None:
    world = await deploy("p -> r1")
    fleet = world.fleet
    app = await asyncio.to_thread(fleet["p"].connect, account=fleet.credentials.app)
    try:
        finished = await world.recover()
        assert finished.state is RecoveryState.SUCCEEDED, finished
        assert not await is_writable(fleet["p"])
        assert finished.loss is not None
        assert finished.loss.state is LossState.PROVEN_NONE
        assert await eventually(lambda: _is_cut(app), within=5) is not None
    finally:
        app.close()
    assert await is_writable(fleet["r1"])


def _is_cut(connection: object) -> bool:
    try:
        connection.ping(reconnect=False)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  whatever a cut connection says
        return True
    return False


@pytest.mark.mysql
async def test_executor_with_an_older_token_is_thrown_out_and_a_newer_one_is_respected(deploy: Deploy) -> None:
    world = await deploy("p -> r1")
    fleet = world.fleet
    machine = RecoveryMachine(new_recovery(world.fail(), 5))
    old = world.run(machine, FakeLease(5))
    turn = await old.register(timedelta())
    freeze = next(command for command in turn.commands if command.step.kind is StepKind.FREEZE)
    await world.executor.carry_out(freeze, FakeLease(5).guard(), None)
    newer = executor_for(fleet, QUICK)
    result = await newer.carry_out(freeze, FakeLease(9).guard(), None)
    assert result.state is StepState.DONE, result
    # The paused one wakes up, reconnects, and sees the newer token at the server even though it believes in its lease.
    with pytest.raises(LeaseLost, match="newer token 9"):
        await world.executor.carry_out(freeze, FakeLease(5).guard(), None)
    # Its whole recovery stops there, and what it was about is written down (rule F8).
    with pytest.raises(LeaseLost, match="newer token 9"):
        await old.finish(turn)
    assert StepKind.FREEZE.value in [stop.kind for stop in world.stops]
    assert world.journal.records[RECOVERY_ID].open
    newer.stop()


@pytest.mark.mysql
async def test_nothing_is_sent_once_the_lease_is_lost_and_the_next_leader_finishes(deploy: Deploy) -> None:
    world = await deploy("p -> r1 r2")
    fleet = world.fleet
    fleet["p"].kill()
    lease = FakeLease(7)
    machine = RecoveryMachine(new_recovery(world.fail(), 7))
    run = world.run(machine, lease)
    turn = await run.register(timedelta())
    lease.lose()
    with pytest.raises(LeaseLost):
        await run.finish(turn)
    assert await fleet["r1"].query(
        "SELECT 1 FROM performance_schema.replication_connection_status WHERE SERVICE_STATE = 'OFF'"
    ) in ([], ())
    assert world.journal.records[RECOVERY_ID].open

    record = await world.journal.adopt(RECOVERY_ID, 9)
    adopted = RecoveryMachine(replace(record.recovery, fencing_token=9))
    second = world.run(adopted, FakeLease(9))
    finished = (await second.finish(await second.resume())).recovery
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert [await is_writable(fleet[name]) for name in ("r1", "r2")].count(True) == 1


@pytest.mark.mysql
async def test_statement_that_hangs_when_the_lease_is_lost_is_ended_at_the_server(deploy: Deploy) -> None:
    world = await deploy("p -> r1")
    fleet = world.fleet
    lease = FakeLease(7)
    machine = RecoveryMachine(new_recovery(world.fail(), 7))
    run = world.run(machine, lease)
    turn = await run.register(timedelta())
    blocker = await asyncio.to_thread(fleet["p"].connect, account=fleet.credentials.root)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLES app.writes WRITE")  # The fence waits for it.
    working = asyncio.create_task(run.finish(turn))

    async def hangs() -> bool:
        found = await fleet["p"].query("SELECT INFO FROM performance_schema.processlist WHERE USER = 'primacy'")
        return "SET GLOBAL super_read_only = ON" in [row["INFO"] for row in found]

    await eventually(hangs, within=10)
    lease.lose()
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(1):
            await working
    stopped = [(stop.kind, stop.statement, stop.outcome_known) for stop in world.stops]
    assert stopped == [("fence", "SET GLOBAL super_read_only = ON", False)]

    async def is_gone() -> bool:
        return not await hangs()

    await eventually(is_gone, within=1)
    blocker.close()
    assert await is_writable(fleet["p"])
    assert not await is_writable(fleet["r1"])


@pytest.mark.mysql
async def test_delay_of_the_only_replica_is_taken_off_and_its_relay_log_survives(deploy: Deploy) -> None:
    world = await deploy("p -> r1{delay=3600}")
    fleet = world.fleet
    await insert(fleet["p"], 1)

    async def received() -> bool:
        status = await fleet["r1"].query("SHOW REPLICA STATUS")
        return status[0]["Retrieved_Gtid_Set"] != "" and await rows(fleet["r1"]) == []

    await eventually(received, within=10)
    world.snapshot = await snapshot_of(world.executor, tuple(fleet))
    fleet["p"].kill()
    finished = await world.recover()
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert await rows(fleet["r1"]) == [1]


@pytest.mark.mysql
async def test_former_primary_that_takes_writes_is_made_read_only(deploy: Deploy) -> None:
    world = await deploy("p -> r1")
    fleet = world.fleet
    machine = RecoveryMachine(
        replace(new_recovery(key_of(fleet["p"]), 7, RecoveryKind.FORMER_PRIMARY), successor=key_of(fleet["r1"]))
    )
    await insert(fleet["p"], 5)
    run = world.run(machine, FakeLease(7))
    finished = (await run.finish(await run.register(timedelta()))).recovery
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert not await is_writable(fleet["p"])
    assert finished.loss is not None
    assert finished.loss.gtid_set.startswith(fleet["p"].server_uuid)


@pytest.mark.mariadb
async def test_mariadb_successor_applies_its_relay_log_before_it_is_promoted(deploy: Deploy) -> None:
    world = await deploy("p -> r1 r2", flavor=Flavor.MARIADB)
    fleet = world.fleet
    await insert(fleet["p"], 1)
    await fleet.caught_up()
    await fleet["r1"].execute("STOP SLAVE SQL_THREAD")
    await fleet["r2"].execute("STOP SLAVE IO_THREAD")
    await insert(fleet["p"], 2)

    async def received() -> bool:
        status = await fleet["r1"].query("SHOW SLAVE STATUS")
        return bool(status[0]["Gtid_IO_Pos"] != await fleet["r1"].variable("gtid_slave_pos"))

    await eventually(received, within=10)
    fleet["p"].kill()
    finished = await world.recover()
    assert finished.state is RecoveryState.SUCCEEDED, finished
    assert finished.successor == key_of(fleet["r1"])
    assert await is_writable(fleet["r1"])
    await insert(fleet["r1"], 3)
    await eventually(lambda: _has(fleet["r2"], [1, 2, 3]), within=10)
