"""Rows of the replication status statements -> channels, for MySQL 8.0 to 9 and MariaDB 10.5 to 11; pure.

Decisions rest on numbers and states, never on message texts, which change between versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition

Row = Mapping[str, Any]

SELECT_HEARTBEATS: Final = (
    "SELECT s.CHANNEL_NAME AS channel, c.HEARTBEAT_INTERVAL AS period,"
    " TIMESTAMPDIFF(MICROSECOND, GREATEST(s.LAST_HEARTBEAT_TIMESTAMP, s.LAST_QUEUED_TRANSACTION_END_QUEUE_TIMESTAMP,"
    " s.QUEUEING_TRANSACTION_START_QUEUE_TIMESTAMP), NOW(6)) AS age_us"
    " FROM performance_schema.replication_connection_status s"
    " JOIN performance_schema.replication_connection_configuration c USING (CHANNEL_NAME)"
)
"""MySQL 8.0 on: per channel its heartbeat period in seconds, and how many microseconds ago the last sign of life of the
source arrived: a heartbeat, or a transaction, since a busy source sends no heartbeats. NULL: none yet."""

_LIFE_COUNTERS: Final = ("Slave_received_heartbeats", "Master_Log_File", "Read_Master_Log_Pos", "Gtid_IO_Pos")
_IO_STATES: Final = {"yes": ThreadState.ON, "no": ThreadState.OFF, "connecting": ThreadState.CONNECTING}
_SQL_STATES: Final = {"yes": ThreadState.ON, "no": ThreadState.OFF}


def channels_from_rows(rows: Sequence[Row]) -> tuple[ReplicationChannel, ...]:
    """Return the channels of `SHOW REPLICA STATUS`, `SHOW SLAVE STATUS` or `SHOW ALL SLAVES STATUS`, by name.

    A channel without a source (reset, never configured), and those of group replication, which have no endpoint, are
    left out.
    """
    channels = (_channel(row) for row in rows if _renamed(row, "Source_Host") and _number(_renamed(row, "Source_Port")))
    return tuple(sorted(channels, key=lambda channel: channel.name))


def with_heartbeats(
    channels: Iterable[ReplicationChannel], rows: Iterable[Row], now: datetime
) -> tuple[ReplicationChannel, ...]:
    """Return the channels with what `SELECT_HEARTBEATS` showed.

    Args:
        channels: As `channels_from_rows` returned them.
        rows: Rows of `SELECT_HEARTBEATS`, read right after.
        now: Our wall time when they were read: ages are taken from the server, so its clock does not matter.
    """
    by_channel = {str(row["channel"]): row for row in rows}
    return tuple(_with_heartbeat(channel, by_channel.get(channel.name), now) for channel in channels)


class SignsOfLife:
    """When each channel of one MariaDB server last heard its source, told from counters: it shows no times.

    A heartbeat counter or a position that moved between two readings counts as heard at the second one: an age is never
    overstated. Until something has moved, nothing is known.
    """

    def __init__(self) -> None:
        self._counters: dict[str, tuple[object, ...]] = {}
        self._heard: dict[str, datetime] = {}

    def note(
        self, channels: Iterable[ReplicationChannel], rows: Iterable[Row], now: datetime
    ) -> tuple[ReplicationChannel, ...]:
        """Return the channels with the time each was last heard.

        Args:
            channels: As `channels_from_rows` made them of `rows`.
            rows: Rows of `SHOW ALL SLAVES STATUS`.
            now: Our wall time when they were read.
        """
        for row in rows:
            name = _text(row.get("Connection_name"))
            counters = tuple(row.get(column) for column in _LIFE_COUNTERS)
            if name in self._counters and self._counters[name] != counters:
                self._heard[name] = now
            self._counters[name] = counters
        return tuple(
            replace(channel, last_heartbeat_time=self._heard.get(channel.name, channel.last_heartbeat_time))
            for channel in channels
        )


def _with_heartbeat(channel: ReplicationChannel, row: Row | None, now: datetime) -> ReplicationChannel:
    if row is None:
        return channel
    age, period = row["age_us"], row["period"]
    return replace(
        channel,
        # A zero date is NULL to TIMESTAMPDIFF; an age of decades is a zero date by another way.
        last_heartbeat_time=None if age is None else now - timedelta(microseconds=max(int(age), 0)),
        heartbeat_period=None if period is None else timedelta(seconds=float(period)),
    )


def _channel(row: Row) -> ReplicationChannel:
    lag = _renamed(row, "Seconds_Behind_Source")
    using_gtid = _text(row.get("Using_Gtid"))
    return ReplicationChannel(
        name=_text(row.get("Channel_Name") or row.get("Connection_name")),
        source=InstanceKey.of(_text(_renamed(row, "Source_Host")), _number(_renamed(row, "Source_Port"))),
        source_uuid=_text(_renamed(row, "Source_UUID")).lower(),
        io_state=_IO_STATES.get(_text(_renamed(row, "Replica_IO_Running")).lower(), ThreadState.UNKNOWN),
        sql_state=_SQL_STATES.get(_text(_renamed(row, "Replica_SQL_Running")).lower(), ThreadState.UNKNOWN),
        io_errno=_number(row.get("Last_IO_Errno")),
        io_error=_text(row.get("Last_IO_Error")),
        sql_errno=_number(row.get("Last_SQL_Errno")),
        sql_error=_text(row.get("Last_SQL_Error")),
        lag=None if lag is None else timedelta(seconds=max(int(lag), 0)),
        sql_delay=timedelta(seconds=_number(row.get("SQL_Delay"))),
        gtid_positioning=_number(row.get("Auto_Position")) == 1 or using_gtid.lower() not in ("", "no"),
        using_gtid=using_gtid,
        received_gtid_set=_without_space(row.get("Retrieved_Gtid_Set") or row.get("Gtid_IO_Pos")),
        read_position=_position(_renamed(row, "Source_Log_File"), _renamed(row, "Read_Source_Log_Pos")),
        executed_position=_position(_renamed(row, "Relay_Source_Log_File"), _renamed(row, "Exec_Source_Log_Pos")),
        heartbeat_period=_period(row.get("Slave_heartbeat_period")),
        tls=_text(_renamed(row, "Source_SSL_Allowed")).lower() == "yes",
    )


def _renamed(row: Row, name: str) -> Any:
    """Return a column by its present name, else by the one it had before MySQL 8.0.22 and has in MariaDB."""
    return row[name] if name in row else row.get(name.replace("Source", "Master").replace("Replica", "Slave"))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _without_space(value: object) -> str:
    return "".join(_text(value).split())


def _number(value: object) -> int:
    text = _text(value)
    return int(text) if text.isdigit() else 0


def _period(value: object) -> timedelta | None:
    text = _text(value)
    return timedelta(seconds=float(text)) if text else None


def _position(file: object, position: object) -> BinlogPosition | None:
    return BinlogPosition(_text(file), _number(position)) if _text(file) else None
