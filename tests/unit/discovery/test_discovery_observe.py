from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.discovery.identity import mariadb_server_uuid
from services.discovery.observe import (
    ProbeRows,
    observe,
    reported_replicas,
    select_dynamic,
    select_static,
    switch,
    with_operator_rows,
)
from services.shared.mysql.dialect import Dialect
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.position import BinlogPosition
from services.shared.topology.server import Flavor, SemiSync
from tests.unit.discovery.fleets import at, key

STATIC = {
    "version": "9.7.0",
    "version_comment": "MySQL Community Server - GPL",
    "hostname": "host1",
    "server_id": 101,
    "log_bin": 1,
    "log_replica_updates": 1,
    "binlog_format": "ROW",
    "server_uuid": "3E11FA47-71CA-11E1-9E33-C80AA9429562",
    "gtid_mode": "ON",
    "purged": "",
}
DYNAMIC = {"read_only": 1, "super_read_only": 0, "executed": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\nx"}


def rows(**more: Any) -> ProbeRows:
    return ProbeRows(dynamic=DYNAMIC, replication=(), **more)


def probed(*, flavor: Flavor = Flavor.MYSQL, previous: Instance | None = None, **more: Any) -> Instance:
    return observe(previous or Instance(key("a")), flavor, rows(**more), at(0))


def test_identity_and_settings_are_read() -> None:
    found = probed(static=STATIC)
    assert found.server_uuid == "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    assert (found.server_id, found.version, found.hostname) == (101, "9.7.0", "host1")
    assert (found.log_bin, found.log_replica_updates, found.binlog_format) == (True, True, "ROW")
    assert (found.read_only, found.super_read_only) == (True, False)
    assert found.executed_gtid_set == "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,x"


def test_what_was_not_read_now_stays_as_it_was() -> None:
    before = probed(static=STATIC, replicas=[{"Host": "b", "Port": 3306}])
    after = probed(previous=before)
    assert after == before


def test_mariadb_gets_an_identity_and_has_no_super_read_only() -> None:
    static = {name: value for name, value in STATIC.items() if name not in ("server_uuid", "gtid_mode", "purged")}
    dynamic = {"read_only": 0, "executed": "0-1-5", "binlog_pos": "0-1-4"}
    found = observe(Instance(key("a")), Flavor.MARIADB, ProbeRows(dynamic, (), static=static), at(0))
    assert found.server_uuid == mariadb_server_uuid(key("a"), 101)
    assert found.super_read_only is None
    assert (found.executed_gtid_set, found.binlog_gtid_position, found.gtid_mode) == ("0-1-5", "0-1-4", "")


@pytest.mark.parametrize(
    ("rows", "threads", "found"),
    [
        pytest.param([{"Host": "b", "Port": 3307}], [], [("b", 3307)], id="reports_itself"),
        pytest.param([{"Host": "b", "Port": 0}], [], [("b", 3306)], id="without_port"),
        pytest.param([{"Host": "", "Port": 3307}], ["10.0.0.2:5555"], [("10.0.0.2", 3307)], id="by_its_dump_thread"),
        pytest.param([{"Host": "", "Port": 3307}], [""], [], id="dump_thread_without_host"),
        pytest.param([{"Host": "b", "Port": 3307}], ["10.0.0.2:5555"], [("b", 3307)], id="nothing_to_guess"),
        pytest.param([{"Host": "a", "Port": 3306}], [], [], id="never_itself"),
        pytest.param([{"Host": "B.", "Port": 3307}], [], [("b", 3307)], id="in_another_spelling"),
        pytest.param([{"Host": "", "Port": 3307}], ["DB2:5555"], [("db2", 3307)], id="client_in_another_spelling"),
    ],
)
def test_replicas_are_found(rows: list[dict[str, Any]], threads: list[str], found: list[tuple[str, int]]) -> None:
    clients = [{"client": client} for client in threads]
    assert reported_replicas(key("a"), rows, clients) == tuple(InstanceKey(*one) for one in found)


@pytest.mark.parametrize(
    ("source", "replica"),
    [pytest.param("source", "replica", id="present_words"), pytest.param("master", "slave", id="old_words")],
)
def test_semi_sync_is_read_in_both_wordings(source: str, replica: str) -> None:
    variables = {
        f"rpl_semi_sync_{source}_enabled": "ON",
        f"rpl_semi_sync_{source}_wait_for_{replica}_count": "2",
        f"rpl_semi_sync_{source}_timeout": "10000",
        f"rpl_semi_sync_{replica}_enabled": "OFF",
    }
    status = {
        f"Rpl_semi_sync_{source}_status": "OFF",
        f"Rpl_semi_sync_{source}_clients": "1",
        f"Rpl_semi_sync_{replica}_status": "OFF",
        "Uptime": "77",
    }
    found = probed(semi_sync=named(variables), status=named(status))
    assert found.semi_sync == SemiSync(True, False, 2, 1, timedelta(seconds=10), False, False)
    assert found.uptime == timedelta(seconds=77)


def named(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Variable_name": name, "Value": value} for name, value in values.items()]


def test_semi_sync_status_of_an_earlier_probe_is_not_taken_for_one_of_this() -> None:
    """A failover proves from it that nothing was lost: old, it would prove what is not true."""
    variables = named({"rpl_semi_sync_source_enabled": "ON"})
    before = probed(semi_sync=variables, status=named({"Rpl_semi_sync_source_status": "ON", "Uptime": "7"}))
    after = probed(previous=before)
    assert (before.semi_sync.source_status, after.semi_sync.source_status) == (True, None)
    assert (after.semi_sync.source_enabled, after.uptime) == (True, before.uptime)


def test_semi_sync_without_plugin_is_unknown() -> None:
    assert probed(semi_sync=[], status=named({"Uptime": "1"})).semi_sync == SemiSync()


def test_mariadb_waits_for_one_acknowledgement() -> None:
    found = probed(flavor=Flavor.MARIADB, semi_sync=named({"rpl_semi_sync_master_enabled": "ON"}))
    assert found.semi_sync.wait_for_replica_count == 1


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        pytest.param([{"x": "Prefer_Not"}], PromotionRule.PREFER_NOT, id="known"),
        pytest.param([{"x": "maybe"}], PromotionRule.NEUTRAL, id="unknown_word"),
        pytest.param([{"x": None}], PromotionRule.NEUTRAL, id="null"),
        pytest.param([], PromotionRule.NEUTRAL, id="no_row"),
    ],
)
def test_promotion_rule_is_read(answer: list[dict[str, Any]], rule: PromotionRule) -> None:
    assert with_operator_rows(probed(), promotion_rule=answer).promotion_rule is rule


def test_binary_log_that_is_off_has_no_position() -> None:
    assert probed(binary_log=[{"File": "b.000001", "Position": 4}]).binlog_position == BinlogPosition("b.000001", 4)
    assert probed(binary_log=[]).binlog_position is None


@pytest.mark.parametrize(
    ("value", "state"),
    [
        pytest.param(1, True, id="one"),
        pytest.param("ON", True, id="on"),
        pytest.param(0, False, id="zero"),
        pytest.param("OFF", False, id="off"),
        pytest.param("NO_LOCK", None, id="other"),
        pytest.param(None, None, id="absent"),
    ],
)
def test_switch_of_unknown_state_is_unknown(value: object, state: bool | None) -> None:
    assert switch(value) is state


def test_statements_ask_for_what_the_flavor_has() -> None:
    mysql, mariadb = Dialect.for_server(Flavor.MYSQL, "8.0.20"), Dialect.for_server(Flavor.MARIADB, "10.5.2-MariaDB")
    assert "@@GLOBAL.log_slave_updates" in select_static(mysql)
    assert "@@GLOBAL.super_read_only" in select_dynamic(mysql)
    assert "server_uuid" not in select_static(mariadb)
    assert "@@GLOBAL.gtid_current_pos" in select_dynamic(mariadb)
