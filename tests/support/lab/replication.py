"""Statements that make one lab instance replicate from another, and what tells that it does."""

from __future__ import annotations

from typing import Any, Final

from services.shared.topology.server import Flavor
from tests.support.lab.instance import LabInstance

RETRY_S: Final = 1


async def replicate(replica: LabInstance, source: LabInstance) -> None:
    """Point `replica` at `source` by GTID, with the delay of its spec, and start its threads."""
    statements = _mysql if replica.flavor is Flavor.MYSQL else _mariadb
    await replica.execute(*statements(replica, source))


async def is_replicating(replica: LabInstance) -> bool:
    """Return whether both threads of every channel run, the receiver connected, and there is a channel."""
    channels = await replica.query(
        "SHOW REPLICA STATUS" if replica.flavor is Flavor.MYSQL else "SHOW ALL SLAVES STATUS"
    )
    return bool(channels) and all(_runs(channel) for channel in channels)


async def executed_gtids(instance: LabInstance) -> str:
    """Return the GTID set (MariaDB: position) that the instance has applied."""
    name = "gtid_executed" if instance.flavor is Flavor.MYSQL else "gtid_current_pos"
    return (await instance.variable(name)).replace("\n", "")


async def has_applied(replica: LabInstance, gtids: str, *, within: float) -> bool:
    """Wait on the server until it has applied `gtids`; return whether it has, `within` seconds."""
    function = "WAIT_FOR_EXECUTED_GTID_SET" if replica.flavor is Flavor.MYSQL else "MASTER_GTID_WAIT"
    rows = await replica.query(f"SELECT {function}(%s, %s) AS outcome", (gtids, within), timeout_s=within + 5)
    return bool(rows[0]["outcome"] == 0)


def _mysql(replica: LabInstance, source: LabInstance) -> tuple[str, ...]:
    account = source.credentials.replication
    return (
        f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{source.host}', SOURCE_PORT={source.port}, "
        f"SOURCE_USER='{account.user}', SOURCE_PASSWORD='{account.password}', SOURCE_AUTO_POSITION=1, "
        # TLS spares nothing on loopback; without it caching_sha2_password needs the source's key for the password.
        "SOURCE_SSL=0, GET_SOURCE_PUBLIC_KEY=1, "
        f"SOURCE_HEARTBEAT_PERIOD=1, SOURCE_CONNECT_RETRY={RETRY_S}, SOURCE_RETRY_COUNT=1000000, "
        f"SOURCE_DELAY={replica.spec.delay_s}",
        "START REPLICA",
    )


def _mariadb(replica: LabInstance, source: LabInstance) -> tuple[str, ...]:
    account = source.credentials.replication
    return (
        f"CHANGE MASTER TO MASTER_HOST='{source.host}', MASTER_PORT={source.port}, "
        f"MASTER_USER='{account.user}', MASTER_PASSWORD='{account.password}', MASTER_USE_GTID=slave_pos, "
        f"MASTER_HEARTBEAT_PERIOD=1, MASTER_CONNECT_RETRY={RETRY_S}, MASTER_DELAY={replica.spec.delay_s}",
        "START SLAVE",
    )


def _runs(channel: dict[str, Any]) -> bool:
    """Read a row in the words of either flavor."""
    receiver = channel.get("Replica_IO_Running", channel.get("Slave_IO_Running"))
    applier = channel.get("Replica_SQL_Running", channel.get("Slave_SQL_Running"))
    return receiver == "Yes" and applier == "Yes"
