"""Real servers of the lab, as recovery sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from services.recovery.execute import ExecutorSettings, MysqlExecutor
from services.recovery.execute_steps import Limits
from services.recovery.model import Recovery, RecoveryKind
from services.shared.mysql.connect import ConnectionSettings
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot
from tests.support.lab import Fleet, LabInstance
from tests.support.recovery.fakes import RealClock
from tests.support.recovery.topologies import CLUSTER

RECOVERY_ID = "0b8e4d3a-0000-4000-8000-00000000000a"


def key_of(instance: LabInstance) -> InstanceKey:
    """Return the endpoint of a server."""
    return InstanceKey(instance.host, instance.port)


def executor_for(fleet: Fleet, limits: Limits | None = None) -> MysqlExecutor:
    """Return an executor with the lab's management account."""
    account = fleet.credentials.management
    connection = ConnectionSettings(account.user, account.password)
    return MysqlExecutor(ExecutorSettings(connection, limits or Limits()), RealClock().now)


async def snapshot_of(
    executor: MysqlExecutor, instances: Sequence[LabInstance], binlog_format: str = "ROW"
) -> TopologySnapshot:
    """Read servers and return them as discovery would."""
    known = (
        Instance(
            key_of(each),
            cluster_id=CLUSTER,
            server_uuid=each.server_uuid,
            flavor=each.flavor,
            log_bin=True,
            log_replica_updates=True,
            binlog_format=binlog_format,
            data_center=each.data_center,
        )
        for each in instances
    )
    read = await asyncio.gather(*(executor.read(each) for each in known))
    clusters = {CLUSTER: Cluster(CLUSTER, "shop", key_of(instances[0]), len(instances))}
    return TopologySnapshot(1, RealClock().now(), clusters, {each.key: each for each in read})


def without_answer(snapshot: TopologySnapshot, failed: InstanceKey) -> TopologySnapshot:
    """Return a snapshot in which one instance does not answer any more."""
    instance = snapshot.instances[failed]
    reading = replace(instance.reading, last_check_valid=False, error="connection refused")
    return replace(snapshot, instances={**snapshot.instances, failed: replace(instance, reading=reading)})


def new_recovery(failed: InstanceKey, token: int, kind: RecoveryKind = RecoveryKind.DEAD_PRIMARY) -> Recovery:
    """Return a recovery that is about to be registered."""
    now = RealClock().now()
    return Recovery(RECOVERY_ID, kind, CLUSTER, failed, "shop", start_time=now, fencing_token=token, node="node1")


QUICK = Limits(connect_wait=timedelta(seconds=10))
"""Patient enough for a busy machine."""
