from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.shared.mysql.replication_status import SignsOfLife, channels_from_rows, with_heartbeats
from services.shared.topology.channel import ThreadState
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition

SOURCE_UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

MYSQL_8_4: dict[str, Any] = {
    "Replica_IO_State": "Waiting for source to send event",
    "Source_Host": "db1",
    "Source_User": "repl",
    "Source_Port": 3307,
    "Connect_Retry": 60,
    "Source_Log_File": "binlog.000002",
    "Read_Source_Log_Pos": 1537,
    "Relay_Log_File": "db2-relay-bin.000003",
    "Relay_Log_Pos": 1710,
    "Relay_Source_Log_File": "binlog.000002",
    "Replica_IO_Running": "Yes",
    "Replica_SQL_Running": "Yes",
    "Last_Errno": 0,
    "Last_Error": "",
    "Skip_Counter": 0,
    "Exec_Source_Log_Pos": 1400,
    "Relay_Log_Space": 2107,
    "Until_Condition": "None",
    "Source_SSL_Allowed": "Yes",
    "Seconds_Behind_Source": 3,
    "Last_IO_Errno": 0,
    "Last_IO_Error": "",
    "Last_SQL_Errno": 0,
    "Last_SQL_Error": "",
    "Source_Server_Id": 1,
    "Source_UUID": SOURCE_UUID,
    "SQL_Delay": 30,
    "SQL_Remaining_Delay": None,
    "Replica_SQL_Running_State": "Replica has read all relay log; waiting for more updates",
    "Retrieved_Gtid_Set": f"{SOURCE_UUID}:1-5,\n4350f323-7565-4e59-8763-4b1b83a0ce0e:7",
    "Executed_Gtid_Set": f"{SOURCE_UUID}:1-4",
    "Auto_Position": 1,
    "Channel_Name": "",
    "Network_Namespace": "",
}


def old_words(row: dict[str, Any]) -> dict[str, Any]:
    """The row as MySQL before 8.0.22 shows it, and MariaDB in what both have."""
    return {
        name.replace("Source", "Master").replace("Replica_", "Slave_"): value for name, value in row.items()
    }  # fmt: skip


MYSQL_8_0 = old_words(MYSQL_8_4)
MYSQL_9_7 = {**MYSQL_8_4, "Source_TLS_Ciphersuites": "", "Get_Source_public_key": 1}
MARIADB_10_5: dict[str, Any] = {
    **{
        name: value for name, value in MYSQL_8_0.items() if name not in ("Master_UUID", "Auto_Position", "Channel_Name")
    },
    "Connection_name": "",
    "Slave_SQL_State": "Slave has read all relay log; waiting for more updates",
    "Slave_IO_State": "Waiting for master to send event",
    "Retrieved_Gtid_Set": None,
    "Using_Gtid": "Slave_Pos",
    "Gtid_IO_Pos": "0-1-100",
    "Gtid_Slave_Pos": "0-1-99",
    "Retried_transactions": 0,
    "Slave_received_heartbeats": 4,
    "Slave_heartbeat_period": 30.0,
}
MARIADB_10_11 = {**MARIADB_10_5, "Slave_heartbeat_period": "1.500", "Replicate_Rewrite_DB": "", "Using_Gtid": "No"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(MYSQL_8_0, id="mysql_8.0"),
        pytest.param(MYSQL_8_4, id="mysql_8.4"),
        pytest.param(MYSQL_9_7, id="mysql_9.7"),
        pytest.param(MARIADB_10_5, id="mariadb_10.5"),
        pytest.param(MARIADB_10_11, id="mariadb_10.11"),
    ],
)
def test_channel_is_read_in_every_wording(row: dict[str, Any]) -> None:
    (channel,) = channels_from_rows([row])
    assert channel.source == InstanceKey("db1", 3307)
    assert channel.replicating
    assert channel.lag == timedelta(seconds=3)
    assert channel.sql_delay == timedelta(seconds=30)
    assert channel.read_position == BinlogPosition("binlog.000002", 1537)
    assert channel.executed_position == BinlogPosition("binlog.000002", 1400)
    assert channel.tls


def test_source_in_another_spelling_is_the_same_instance() -> None:
    (channel,) = channels_from_rows([{**MYSQL_8_4, "Source_Host": "DB1."}])
    assert channel.source == InstanceKey("db1", 3307)


def test_mysql_channel_has_uuid_and_received_gtids() -> None:
    (channel,) = channels_from_rows([MYSQL_8_4])
    assert channel.source_uuid == SOURCE_UUID
    assert channel.received_gtid_set == f"{SOURCE_UUID}:1-5,4350f323-7565-4e59-8763-4b1b83a0ce0e:7"
    assert channel.gtid_positioning
    assert channel.using_gtid == ""
    assert channel.heartbeat_period is None


@pytest.mark.parametrize(
    ("row", "positioning", "using", "period"),
    [
        pytest.param(MARIADB_10_5, True, "Slave_Pos", timedelta(seconds=30), id="by_gtid"),
        pytest.param(MARIADB_10_11, False, "No", timedelta(seconds=1.5), id="by_file"),
    ],
)
def test_mariadb_channel_has_its_own_gtid_words(
    row: dict[str, Any], positioning: bool, using: str, period: timedelta
) -> None:
    (channel,) = channels_from_rows([row])
    assert channel.received_gtid_set == "0-1-100"
    assert channel.gtid_positioning is positioning
    assert channel.using_gtid == using
    assert channel.heartbeat_period == period
    assert channel.source_uuid == ""


def test_failing_channel_has_numbers_states_and_no_lag() -> None:
    row = {
        **MYSQL_8_4,
        "Replica_IO_Running": "Connecting",
        "Replica_SQL_Running": "No",
        "Last_IO_Errno": 2003,
        "Last_IO_Error": "Error connecting to source 'repl@db1:3307'",
        "Last_SQL_Errno": 1062,
        "Last_SQL_Error": "Duplicate entry",
        "Seconds_Behind_Source": None,
    }
    (channel,) = channels_from_rows([row])
    assert (channel.io_state, channel.sql_state) == (ThreadState.CONNECTING, ThreadState.OFF)
    assert (channel.io_errno, channel.sql_errno) == (2003, 1062)
    assert channel.lag is None
    assert not channel.replicating


def test_thread_state_of_unknown_word_is_unknown() -> None:
    (channel,) = channels_from_rows([{**MYSQL_8_4, "Replica_IO_Running": "Preparing"}])
    assert channel.io_state is ThreadState.UNKNOWN
    assert not channel.replicating


def test_channel_that_never_connected_is_read() -> None:
    row = {**MYSQL_8_4, "Source_UUID": "", "Source_Log_File": "", "Retrieved_Gtid_Set": "", "Replica_IO_Running": "No"}
    (channel,) = channels_from_rows([row])
    assert channel.source_uuid == ""
    assert channel.read_position is None
    assert channel.received_gtid_set == ""


def test_channels_are_sorted_and_those_without_source_left_out() -> None:
    rows = [
        {**MYSQL_8_4, "Channel_Name": "west", "Source_Host": "db9"},
        {**MYSQL_8_4, "Channel_Name": "group_replication_applier", "Source_Host": "<NULL>", "Source_Port": 0},
        {**MYSQL_8_4, "Channel_Name": "reset", "Source_Host": ""},
        {**MYSQL_8_4, "Channel_Name": ""},
    ]
    assert [channel.name for channel in channels_from_rows(rows)] == ["", "west"]


def test_no_rows_are_no_channels() -> None:
    assert channels_from_rows(()) == ()


@pytest.mark.parametrize(
    ("age_us", "last"),
    [
        pytest.param(1_500_000, NOW - timedelta(seconds=1.5), id="some_time_ago"),
        pytest.param(0, NOW, id="now"),
        pytest.param(-20, NOW, id="server_clock_moved"),
        pytest.param(None, None, id="none_yet"),
    ],
)
def test_heartbeat_is_told_by_its_age(age_us: int | None, last: datetime | None) -> None:
    rows = [{"channel": "", "period": 0.5, "age_us": age_us}]
    (channel,) = with_heartbeats(channels_from_rows([MYSQL_8_4]), rows, NOW)
    assert channel.last_heartbeat_time == last
    assert channel.heartbeat_period == timedelta(milliseconds=500)


def test_heartbeats_of_other_channels_do_not_count() -> None:
    rows = [{"channel": "west", "period": 0.5, "age_us": 1}]
    (channel,) = with_heartbeats(channels_from_rows([MYSQL_8_4]), rows, NOW)
    assert channel.last_heartbeat_time is None
    assert channel.heartbeat_period is None


def test_mariadb_channel_was_heard_when_a_counter_moved() -> None:
    signs = SignsOfLife()

    def heard(row: dict[str, Any], seconds: int) -> datetime | None:
        (channel,) = signs.note(channels_from_rows([row]), [row], NOW + timedelta(seconds=seconds))
        return channel.last_heartbeat_time

    assert heard(MARIADB_10_5, 0) is None
    assert heard(MARIADB_10_5, 1) is None
    assert heard({**MARIADB_10_5, "Slave_received_heartbeats": 5}, 2) == NOW + timedelta(seconds=2)
    assert heard({**MARIADB_10_5, "Slave_received_heartbeats": 5}, 3) == NOW + timedelta(seconds=2)
    moved = {**MARIADB_10_5, "Slave_received_heartbeats": 5, "Read_Master_Log_Pos": 9999}
    assert heard(moved, 4) == NOW + timedelta(seconds=4)
    assert heard({**moved, "Seconds_Behind_Master": 77}, 5) == NOW + timedelta(seconds=4)
