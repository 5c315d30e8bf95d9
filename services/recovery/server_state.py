"""Reads what a recovery must know of a server right now, in one round trip. Changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from services.recovery.session import FencedSession
from services.recovery.statements import dialect_of
from services.shared.mysql.connect import Row
from services.shared.mysql.dialect import flavor_of
from services.shared.mysql.replication_status import channels_from_rows
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor

_MYSQL: Final = (
    "SELECT @@GLOBAL.gtid_executed AS executed, @@GLOBAL.gtid_purged AS purged, @@GLOBAL.read_only AS read_only,"
    " @@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.server_uuid AS server_uuid,"
    " @@GLOBAL.server_id AS server_id, @@GLOBAL.version AS version, @@GLOBAL.gtid_mode AS gtid_mode"
)
_MARIADB: Final = (
    "SELECT @@GLOBAL.gtid_current_pos AS executed, '' AS purged, @@GLOBAL.read_only AS read_only,"
    " NULL AS super_read_only, NULL AS server_uuid, @@GLOBAL.server_id AS server_id, @@GLOBAL.version AS version,"
    " '' AS gtid_mode"
)
_UPTIME: Final = "SHOW GLOBAL STATUS LIKE 'Uptime'"


def read_server(
    session: FencedSession, known: Instance, now: datetime, within: timedelta = timedelta(seconds=1)
) -> Instance:
    """Read a server anew; what is not read here stays as known.

    Args:
        session: An open session.
        known: The instance as last seen.
        now: The time that is noted as the time of the reading.
        within: Longest wait for each packet of the answer.

    Raises:
        MysqlError: It refused, or did not answer in time.
    """
    flavor = known.flavor or flavor_of(session.server_version, "")
    variables = _MARIADB if flavor is Flavor.MARIADB else _MYSQL
    status = dialect_of(replace(known, flavor=flavor)).show_replication_status
    facts, channels, uptime = session.query(variables, status, _UPTIME, within=within)
    row: Row = facts[0]
    return replace(
        known,
        flavor=flavor,
        server_uuid=str(row["server_uuid"] or known.server_uuid).lower(),
        server_id=int(row["server_id"]),
        version=str(row["version"]),
        gtid_mode=str(row["gtid_mode"]),
        executed_gtid_set="".join(str(row["executed"] or "").split()),
        purged_gtid_set="".join(str(row["purged"] or "").split()),
        read_only=_switch(row["read_only"]),
        super_read_only=None if row["super_read_only"] is None else _switch(row["super_read_only"]),
        channels=_with_periods(known, channels_from_rows(channels)),
        uptime=timedelta(seconds=int(uptime[0]["Value"])) if uptime else None,
        reading=_read_at(now),
    )


def _switch(value: object) -> bool:
    return str(value).upper() not in ("0", "OFF", "NO")  # MariaDB's read_only has more values than two since 11.


def _with_periods(known: Instance, channels: tuple[ReplicationChannel, ...]) -> tuple[ReplicationChannel, ...]:
    periods = {channel.name: channel.heartbeat_period for channel in known.channels}
    return tuple(
        channel
        if channel.heartbeat_period is not None
        else replace(channel, heartbeat_period=periods.get(channel.name))
        for channel in channels
    )


def _read_at(now: datetime) -> Reading:
    return Reading(last_attempted_check_time=now, last_checked_time=now, last_seen_time=now, last_check_valid=True)
