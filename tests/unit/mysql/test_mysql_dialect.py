from __future__ import annotations

from datetime import timedelta

import pytest

from services.shared.mysql.dialect import ChannelConfig, Dialect, flavor_of, literal, parse_version
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import Flavor

MYSQL_8_0_20 = Dialect.for_server(Flavor.MYSQL, "8.0.20")
MYSQL_8_0_36 = Dialect.for_server(Flavor.MYSQL, "8.0.36-28")
MYSQL_8_4 = Dialect.for_server(Flavor.MYSQL, (8, 4))
MYSQL_9_7 = Dialect.for_server(Flavor.MYSQL, "9.7.0")
MARIADB_10_5 = Dialect.for_server(Flavor.MARIADB, "10.5.23-MariaDB-log")
MARIADB_11 = Dialect.for_server(Flavor.MARIADB, "11.4.2-MariaDB")
SOURCE = InstanceKey("db1", 3307)


@pytest.mark.parametrize(
    ("dialect", "status", "replicas", "binary_log", "updates"),
    [
        pytest.param(
            MYSQL_8_0_20,
            "SHOW SLAVE STATUS",
            "SHOW SLAVE HOSTS",
            "SHOW MASTER STATUS",
            "log_slave_updates",
            id="8.0.20",
        ),
        pytest.param(
            MYSQL_8_0_36,
            "SHOW REPLICA STATUS",
            "SHOW REPLICAS",
            "SHOW MASTER STATUS",
            "log_replica_updates",
            id="8.0.36",
        ),
        pytest.param(
            MYSQL_8_4,
            "SHOW REPLICA STATUS",
            "SHOW REPLICAS",
            "SHOW BINARY LOG STATUS",
            "log_replica_updates",
            id="8.4",
        ),
        pytest.param(
            MYSQL_9_7,
            "SHOW REPLICA STATUS",
            "SHOW REPLICAS",
            "SHOW BINARY LOG STATUS",
            "log_replica_updates",
            id="9.7",
        ),
        pytest.param(
            MARIADB_10_5,
            "SHOW ALL SLAVES STATUS",
            "SHOW SLAVE HOSTS",
            "SHOW MASTER STATUS",
            "log_slave_updates",
            id="mariadb_10.5",
        ),
        pytest.param(
            MARIADB_11,
            "SHOW ALL SLAVES STATUS",
            "SHOW SLAVE HOSTS",
            "SHOW MASTER STATUS",
            "log_slave_updates",
            id="mariadb_11",
        ),
    ],
)
def test_reading_statements_follow_the_version(
    dialect: Dialect, status: str, replicas: str, binary_log: str, updates: str
) -> None:
    assert dialect.show_replication_status == status
    assert dialect.show_replicas == replicas
    assert dialect.show_binary_log_status == binary_log
    assert dialect.log_replica_updates_variable == updates


@pytest.mark.parametrize(
    ("dialect", "statements"),
    [
        pytest.param(
            MYSQL_8_0_20,
            [
                "STOP SLAVE",
                "START SLAVE FOR CHANNEL ''",
                "STOP SLAVE IO_THREAD",
                "RESET SLAVE ALL FOR CHANNEL ''",
                "SET GLOBAL super_read_only = ON",
                "SET GLOBAL read_only = OFF",
            ],
            id="8.0.20",
        ),
        pytest.param(
            MYSQL_9_7,
            [
                "STOP REPLICA",
                "START REPLICA FOR CHANNEL ''",
                "STOP REPLICA IO_THREAD",
                "RESET REPLICA ALL FOR CHANNEL ''",
                "SET GLOBAL super_read_only = ON",
                "SET GLOBAL read_only = OFF",
            ],
            id="9.7",
        ),
        pytest.param(
            MARIADB_10_5,
            [
                "STOP ALL SLAVES",
                "START SLAVE ''",
                "STOP SLAVE IO_THREAD",
                "RESET SLAVE '' ALL",
                "SET GLOBAL read_only = 1",
                "SET GLOBAL read_only = 0",
            ],
            id="mariadb",
        ),
    ],
)
def test_changing_statements_follow_the_version(dialect: Dialect, statements: list[str]) -> None:
    assert [
        dialect.stop_replica().sql(),
        dialect.start_replica("").sql(),
        dialect.stop_io_thread().sql(),
        dialect.reset_replica_all().sql(),
        dialect.set_read_only(True).sql(),
        dialect.set_read_only(False).sql(),
    ] == statements


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        pytest.param(
            MYSQL_8_0_20,
            "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_AUTO_POSITION = 1,"
            " MASTER_HEARTBEAT_PERIOD = 0.500 FOR CHANNEL 'east'",
            id="8.0.20",
        ),
        pytest.param(
            MYSQL_8_4,
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'db1', SOURCE_PORT = 3307, SOURCE_AUTO_POSITION = 1,"
            " SOURCE_HEARTBEAT_PERIOD = 0.500 FOR CHANNEL 'east'",
            id="8.4",
        ),
        pytest.param(
            MARIADB_11,
            "CHANGE MASTER 'east' TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USE_GTID = slave_pos,"
            " MASTER_HEARTBEAT_PERIOD = 0.500",
            id="mariadb",
        ),
    ],
)
def test_a_new_source_keeps_what_is_not_named(dialect: Dialect, expected: str) -> None:
    config = ChannelConfig(SOURCE, name="east", heartbeat_period=timedelta(milliseconds=500))
    assert dialect.change_source(config).sql() == expected


def test_password_is_in_what_is_executed_and_in_nothing_else() -> None:
    config = ChannelConfig(SOURCE, user="repl", password="it's secret", get_public_key=True, tls=False)
    statement = MYSQL_9_7.change_source(config)
    assert "SOURCE_PASSWORD = 'it''s secret'" in statement.sql()
    assert "SOURCE_USER = 'repl'" in statement.sql()
    assert "GET_SOURCE_PUBLIC_KEY = 1" in statement.sql()
    assert "SOURCE_SSL = 0" in statement.sql()
    for shown in (statement.text, str(statement), repr(statement), repr(config)):
        assert "secret" not in shown


@pytest.mark.parametrize(
    ("dialect", "gtids", "expected"),
    [
        pytest.param(MYSQL_9_7, "a:1", "SELECT WAIT_FOR_EXECUTED_GTID_SET('a:1', 1.500) AS done", id="mysql"),
        pytest.param(MARIADB_10_5, "0-1-5", "SELECT MASTER_GTID_WAIT('0-1-5', 1.500) AS done", id="mariadb"),
    ],
)
def test_waiting_for_gtids(dialect: Dialect, gtids: str, expected: str) -> None:
    assert dialect.wait_for_gtids(gtids, timedelta(seconds=1.5)).sql() == expected


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("8.4.2", (8, 4, 2), id="plain"),
        pytest.param("8.0.36-28", (8, 0, 36), id="percona"),
        pytest.param("10.11.6-MariaDB-0+deb12u1-log", (10, 11, 6), id="mariadb"),
        pytest.param("5.5.5-10.5.23-MariaDB", (10, 5, 23), id="mariadb_handshake"),
        pytest.param("9.7", (9, 7, 0), id="two_numbers"),
    ],
)
def test_version_is_read(text: str, numbers: tuple[int, int, int]) -> None:
    assert parse_version(text) == numbers


def test_what_is_no_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not a server version"):
        parse_version("unknown")


@pytest.mark.parametrize(
    ("version", "comment", "flavor"),
    [
        pytest.param("10.11.6-MariaDB", "", Flavor.MARIADB, id="by_version"),
        pytest.param("10.11.6", "mariadb.org binary distribution", Flavor.MARIADB, id="by_comment"),
        pytest.param("8.0.36-28", "Percona Server (GPL)", Flavor.MYSQL, id="percona"),
    ],
)
def test_flavor_is_told_by_what_the_server_says(version: str, comment: str, flavor: Flavor) -> None:
    assert flavor_of(version, comment) is flavor


def test_literal_is_read_alike_in_every_sql_mode() -> None:
    assert literal("it's") == "'it''s'"
    for text in ("a\\b", "a\nb"):
        with pytest.raises(ValueError, match="cannot be written"):
            literal(text)
