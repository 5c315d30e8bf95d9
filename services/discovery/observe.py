"""Rows of a probe -> an instance, for both flavors; pure. And the statements whose rows these are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.discovery.identity import mariadb_server_uuid
from services.shared.mysql.dialect import Dialect
from services.shared.mysql.replication_status import SignsOfLife, channels_from_rows, with_heartbeats
from services.shared.topology.instance import Instance
from services.shared.topology.key import DEFAULT_PORT, InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.position import BinlogPosition
from services.shared.topology.server import Flavor, SemiSync

Row = Mapping[str, Any]
Rows = Sequence[Row]

_TRUE: Final = frozenset({"1", "on", "yes", "true"})
_FALSE: Final = frozenset({"0", "off", "no", "false"})
_PROMOTION_RULES: Final = {rule.name.lower(): rule for rule in PromotionRule}

SELECT_SEMI_SYNC_VARIABLES: Final = "SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync_%'"
SELECT_STATUS: Final = "SHOW GLOBAL STATUS WHERE Variable_name = 'Uptime' OR Variable_name LIKE 'Rpl_semi_sync_%'"


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """What the statements of one probe returned; None: not asked, or not allowed.

    Attributes:
        dynamic: Row of `select_dynamic`.
        replication: Rows of the replication status.
        heartbeats: Rows of `SELECT_HEARTBEATS`.
        static: Row of `select_static`.
        replicas: Rows of the replicas statement.
        dump_threads: Rows of the dump threads, when a replica names no host.
        binary_log: Rows of the binary log status.
        semi_sync: Rows of `SELECT_SEMI_SYNC_VARIABLES`.
        status: Rows of `SELECT_STATUS`.
    """

    dynamic: Row
    replication: Rows
    heartbeats: Rows | None = None
    static: Row | None = None
    replicas: Rows | None = None
    dump_threads: Rows | None = None
    binary_log: Rows | None = None
    semi_sync: Rows | None = None
    status: Rows | None = None


def select_dynamic(dialect: Dialect) -> str:
    """Return the statement for what changes all the time or decides verdicts."""
    if dialect.mariadb:
        names = {"read_only": "read_only", "executed": "gtid_current_pos", "binlog_pos": "gtid_binlog_pos"}
    else:
        names = {"read_only": "read_only", "super_read_only": "super_read_only", "executed": "gtid_executed"}
    return _select(names)


def select_static(dialect: Dialect) -> str:
    """Return the statement for what rarely changes."""
    names = {
        "version": "version",
        "version_comment": "version_comment",
        "hostname": "hostname",
        "server_id": "server_id",
        "log_bin": "log_bin",
        "log_replica_updates": dialect.log_replica_updates_variable,
        "binlog_format": "binlog_format",
    }
    if not dialect.mariadb:
        names |= {"server_uuid": "server_uuid", "gtid_mode": "gtid_mode", "purged": "gtid_purged"}
    return _select(names)


def _select(names: Mapping[str, str]) -> str:
    return "SELECT " + ", ".join(f"@@GLOBAL.{variable} AS {name}" for name, variable in names.items())


def observe(
    previous: Instance, flavor: Flavor, rows: ProbeRows, now: datetime, signs: SignsOfLife | None = None
) -> Instance:
    """Return the instance as a probe saw it.

    Args:
        previous: What was known from earlier probes of the same server; what was not read now stays as it was.
        flavor: Of the server.
        rows: What the probe read.
        now: Our wall time at the end of the reading.
        signs: Of the same server, over the same connection (MariaDB).
    """
    instance = _with_static(replace(previous, flavor=flavor), rows.static)
    instance = _with_dynamic(instance, rows, now)
    if signs is not None and flavor is Flavor.MARIADB:
        instance = replace(instance, channels=signs.note(instance.channels, rows.replication, now))
    if rows.binary_log is not None:
        instance = replace(instance, binlog_position=_binlog_position(rows.binary_log))
    if rows.replicas is not None:
        reported = reported_replicas(instance.key, rows.replicas, rows.dump_threads or ())
        instance = replace(instance, reported_replicas=reported)
    return _with_status(instance, rows.semi_sync, rows.status)


def with_operator_rows(
    instance: Instance, *, data_center: Rows | None = None, promotion_rule: Rows | None = None
) -> Instance:
    """Return the instance with what the operator's queries returned; None: not read, stays as it was."""
    if data_center is not None:
        instance = replace(instance, data_center=_single(data_center))
    if promotion_rule is not None:
        rule = _PROMOTION_RULES.get(_single(promotion_rule).lower(), PromotionRule.NEUTRAL)
        instance = replace(instance, promotion_rule=rule)
    return instance


def server_uuid(key: InstanceKey, row: Row) -> str:
    """Return the identity of a server by the row of `select_static`."""
    return str(row["server_uuid"]).lower() if "server_uuid" in row else mariadb_server_uuid(key, int(row["server_id"]))


def _with_static(instance: Instance, row: Row | None) -> Instance:
    if row is None:
        return instance
    return replace(
        instance,
        server_uuid=server_uuid(instance.key, row),
        server_id=int(row["server_id"]),
        version=str(row["version"]),
        version_comment=str(row["version_comment"]),
        hostname=str(row["hostname"]),
        log_bin=switch(row["log_bin"]),
        log_replica_updates=switch(row["log_replica_updates"]),
        binlog_format=str(row["binlog_format"]),
        gtid_mode=str(row.get("gtid_mode") or ""),
        purged_gtid_set=_gtids(row.get("purged")),
    )


def _with_dynamic(instance: Instance, rows: ProbeRows, now: datetime) -> Instance:
    channels = channels_from_rows(rows.replication)
    if rows.heartbeats is not None:
        channels = with_heartbeats(channels, rows.heartbeats, now)
    return replace(
        instance,
        read_only=switch(rows.dynamic["read_only"]),
        super_read_only=switch(rows.dynamic.get("super_read_only")),
        executed_gtid_set=_gtids(rows.dynamic["executed"]),
        binlog_gtid_position=_gtids(rows.dynamic.get("binlog_pos")),
        channels=channels,
    )


def _with_status(instance: Instance, variables: Rows | None, status: Rows | None) -> Instance:
    semi_sync = instance.semi_sync
    if variables is not None:
        semi_sync = _with_semi_sync_variables(semi_sync, _by_name(variables), instance.flavor)
    # What was not read now is not known now: nobody may take an older status for one of this probe.
    found = _by_name(status or ())
    uptime = found.get("uptime", "")
    semi_sync = replace(
        semi_sync,
        source_status=switch(found.get("source_status")),
        clients=_optional_number(found.get("source_clients")),
        replica_status=switch(found.get("replica_status")),
    )
    return replace(
        instance,
        semi_sync=semi_sync,
        uptime=timedelta(seconds=int(uptime)) if uptime.isdigit() else instance.uptime,
    )


def _with_semi_sync_variables(semi_sync: SemiSync, found: Mapping[str, str], flavor: Flavor | None) -> SemiSync:
    timeout = found.get("source_timeout", "")
    count = _optional_number(found.get("source_wait_for_replica_count"))
    if flavor is Flavor.MARIADB and "source_enabled" in found:
        count = 1  # MariaDB has no such variable: one acknowledgement is all it ever waits for.
    return replace(
        semi_sync,
        source_enabled=switch(found.get("source_enabled")),
        wait_for_replica_count=count,
        timeout=timedelta(milliseconds=int(timeout)) if timeout.isdigit() else None,
        replica_enabled=switch(found.get("replica_enabled")),
    )


def _by_name(rows: Rows) -> dict[str, str]:
    """Return variables by name, semi-sync ones without prefix and in present words (the plugins have two sets)."""
    found: dict[str, str] = {}
    for row in rows:
        name = str(row["Variable_name"]).lower().removeprefix("rpl_semi_sync_")
        found[name.replace("master", "source").replace("slave", "replica")] = str(row["Value"])
    return found


def _binlog_position(rows: Rows) -> BinlogPosition | None:
    return BinlogPosition(str(rows[0]["File"]), int(rows[0]["Position"])) if rows else None


def reported_replicas(key: InstanceKey, replicas: Rows, dump_threads: Rows) -> tuple[InstanceKey, ...]:
    """Return the endpoints of the replicas an instance reports, sorted.

    A replica without `report_host` shows its port only; then every host a dump thread comes from is tried with every
    such port. A guess that is wrong does not answer, and stays unpublished.

    Args:
        key: The instance.
        replicas: Rows of `SHOW REPLICAS`.
        dump_threads: Rows with a column `client`, `host:port`.
    """
    named = {InstanceKey.of(str(row["Host"]), _port(row)) for row in replicas if row["Host"]}
    ports = {_port(row) for row in replicas if not row["Host"]}
    hosts = {str(row["client"]).rpartition(":")[0] for row in dump_threads if row["client"]}
    guessed = {InstanceKey.of(host, port) for host in hosts for port in ports if host}
    return tuple(sorted((named | guessed) - {key}))


def unnamed_replicas(replicas: Iterable[Row] | None) -> bool:
    """Return whether a replica shows no host, so that the dump threads must be asked."""
    return any(not row["Host"] for row in replicas or ())


def _port(row: Row) -> int:
    return int(row["Port"] or 0) or DEFAULT_PORT


def switch(value: object) -> bool | None:
    """Return a variable that is on or off; None for anything else: unknown is not off."""
    text = str(value).lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _optional_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _gtids(value: object) -> str:
    return "".join(str(value or "").split())


def _single(rows: Rows) -> str:
    value = next(iter(rows[0].values()), None) if rows else None
    return "" if value is None else str(value)
