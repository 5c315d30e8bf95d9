"""What shared/mysql says of servers, held against servers."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from services.discovery.model import ProbeDepth
from services.discovery.probe import ProbeSettings, Session
from services.shared.mysql.connect import (
    AccessDenied,
    ConnectionLost,
    ConnectionSettings,
    MysqlConnection,
    PrivilegeMissing,
    ServerTimeout,
    StatementFailed,
    tls_context,
)
from services.shared.mysql.dialect import ChannelConfig, Dialect
from services.shared.mysql.gtid import MysqlGtidSet
from services.shared.mysql.replication_status import channels_from_rows
from services.shared.runtime import clock
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from tests.support.eventually import eventually
from tests.support.lab import Account, Lab, LabInstance

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "4350f323-7565-4e59-8763-4b1b83a0ce0e")


def settings(account: Account, *, tls: bool = False, read_s: float = 5) -> ConnectionSettings:
    context = tls_context(None, verify=False) if tls else None
    return ConnectionSettings(account.user, account.password, tls=context, read_timeout=timedelta(seconds=read_s))


def key(instance: LabInstance) -> InstanceKey:
    return InstanceKey.parse(instance.endpoint)


def random_set(chance: random.Random) -> str:
    parts = []
    for uuid in chance.sample(UUIDS, chance.randint(0, 2)):
        for tag in chance.sample(("", "x:", "y:"), chance.randint(1, 3)):
            starts = sorted(chance.sample(range(1, 60), chance.randint(1, 4)))
            parts.append(f"{uuid}:{tag}" + ":".join(f"{start}-{start + chance.randint(0, 20)}" for start in starts))
    return ",".join(parts)


@pytest.mark.mysql
async def test_gtid_arithmetic_is_that_of_the_server(lab: Lab) -> None:
    fleet = await lab.deploy("p")
    connection = MysqlConnection.connect(key(fleet["p"]), settings(fleet.credentials.management))
    chance = random.Random(20261121)
    for _ in range(300):
        left, right = random_set(chance), random_set(chance)
        (row,) = connection.query(
            f"SELECT GTID_SUBTRACT('{left}', '{right}') AS rest, GTID_SUBSET('{left}', '{right}') AS is_subset"
        )
        mine, theirs = MysqlGtidSet.parse(left), MysqlGtidSet.parse(right)
        assert mine - theirs == MysqlGtidSet.parse(row["rest"]), (left, right)
        assert mine.issubset(theirs) == bool(row["is_subset"]), (left, right)
    connection.quit()


@pytest.mark.mysql
@pytest.mark.parametrize("tls", [pytest.param(False, id="plain"), pytest.param(True, id="tls")])
async def test_connection_tells_errors_apart(lab: Lab, tls: bool) -> None:
    fleet = await lab.deploy("p")
    with pytest.raises(AccessDenied):
        MysqlConnection.connect(key(fleet["p"]), settings(Account("primacy", "wrong"), tls=tls))
    connection = MysqlConnection.connect(key(fleet["p"]), settings(fleet.credentials.app, tls=tls, read_s=0.3))
    assert connection.fileno() > 0
    with pytest.raises(PrivilegeMissing):
        connection.query("SHOW REPLICA STATUS")
    with pytest.raises(StatementFailed) as refused:
        connection.query_each("SELECT 1 AS one", "SELECT nonsense", "SELECT 2")
    assert [list(rows) for rows in refused.value.completed] == [[{"one": 1}]]
    assert connection.query("SELECT 3 AS three")[0]["three"] == 3
    with pytest.raises(ServerTimeout):
        connection.query("SELECT SLEEP(5)")
    assert not connection.is_open

    connection = MysqlConnection.connect(key(fleet["p"]), settings(fleet.credentials.app, tls=tls))
    await fleet["p"].execute(f"KILL {connection.connection_id}", account=fleet.credentials.root)
    with pytest.raises(ConnectionLost):
        connection.query("SELECT 1")


async def channel_of(replica: LabInstance, dialect: Dialect) -> ReplicationChannel:
    (channel,) = channels_from_rows(await replica.query(dialect.show_replication_status))
    return channel


@pytest.mark.mysql
async def test_new_source_keeps_the_account_and_the_named_heartbeat(lab: Lab) -> None:
    fleet = await lab.deploy("p -> r1 r2")
    replica, source = fleet["r2"], fleet["r1"]
    dialect = Dialect.for_server(replica.flavor, replica.version)
    period = "SELECT HEARTBEAT_INTERVAL AS period FROM performance_schema.replication_connection_configuration"
    config = ChannelConfig(key(source), heartbeat_period=timedelta(milliseconds=250))
    for statement in (dialect.stop_replica(), dialect.change_source(config), dialect.start_replica()):
        await replica.execute(statement.sql())
    await eventually(lambda: _replicates_from(replica, source, dialect), within=10)
    assert float((await replica.query(period))[0]["period"]) == 0.25

    without = ChannelConfig(key(source))
    for statement in (dialect.stop_replica(""), dialect.change_source(without)):
        await replica.execute(statement.sql())
    assert float((await replica.query(period))[0]["period"]) != 0.25  # Why the planner must name it.


async def _replicates_from(replica: LabInstance, source: LabInstance, dialect: Dialect) -> bool:
    channel = await channel_of(replica, dialect)
    return channel.replicating and channel.source == key(source) and channel.gtid_positioning


@pytest.mark.mysql
async def test_operator_query_that_waits_for_a_lock_leaves_the_instance_read(lab: Lab) -> None:
    fleet = await lab.deploy("p")
    root = settings(fleet.credentials.root)
    holder = MysqlConnection.connect(key(fleet["p"]), root)
    holder.query("CREATE DATABASE meta")
    holder.query("CREATE TABLE meta.site (place VARCHAR(9))")
    holder.query("INSERT INTO meta.site VALUES ('east')")
    session = Session(key(fleet["p"]), ProbeSettings(root, "SELECT place FROM meta.site"), clock)
    for lock in ("UNLOCK TABLES", "LOCK TABLES meta.site WRITE"):
        holder.query(lock)
        outcome = session.read(ProbeDepth.FULL)
        assert isinstance(outcome, Instance), outcome
        assert outcome.data_center == "east"
    session.close()
    holder.quit()
