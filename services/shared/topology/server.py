"""What a server says of itself: its flavor, its settings, its side of semi-synchronous replication, its GTIDs.

Unknown is `None` or empty, never zero: a value that was not read must not count as fine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta


class Flavor(enum.Enum):
    """The family of a server; GTID sets of different flavors do not compare."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


@dataclass(frozen=True, slots=True)
class SemiSync:
    """Semi-synchronous replication as the server sees itself; None = not read or plugin not installed."""

    source_enabled: bool | None = None
    source_status: bool | None = None
    wait_for_replica_count: int | None = None
    clients: int | None = None
    timeout: timedelta | None = None
    replica_enabled: bool | None = None
    replica_status: bool | None = None
    priority: int | None = None
    read_time: datetime | None = None
    wait_point: str = ""
    unacknowledged_count: int | None = None


@dataclass(frozen=True, slots=True)
class MariadbGtidState:
    """What MariaDB shows of its GTIDs beyond what every instance has. As in `topology.proto`."""

    replica_position: str = ""
    binlog_state: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings that decide how safe a server is; None or empty = not known to it. As in `topology.proto`."""

    binlog_row_image: str = ""
    sync_binlog: int | None = None
    flush_log_at_commit: int | None = None
    binlog_expire: timedelta | None = None
    binlog_encryption: bool | None = None
    binlog_transaction_compression: bool | None = None
    report_host: str = ""
    report_port: int | None = None
    port: int | None = None
    replica_net_timeout: timedelta | None = None
    parallel_workers: int | None = None
    preserve_commit_order: bool | None = None
    max_connections: int | None = None
    offline_mode: bool | None = None
    enforce_gtid_consistency: str = ""
