"""Replication channels: the edges of the replication graph.

Unknown is `None` or empty, never zero: a value that was not read must not count as fine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition


class ThreadState(enum.Enum):
    """State of one replication thread; only `ON` counts as running."""

    UNKNOWN = "unknown"
    OFF = "off"
    ON = "on"
    CONNECTING = "connecting"


@dataclass(frozen=True, slots=True)
class ApplierWorker:
    """An applier worker of a channel, with its last error."""

    worker_id: int
    error_number: int
    error: str


@dataclass(frozen=True, slots=True)
class TlsProfile:
    """How a channel does TLS; empty = not set, `cipher_suites` None = the server's default."""

    ca_file: str = ""
    ca_path: str = ""
    certificate_file: str = ""
    key_file: str = ""
    ciphers: str = ""
    crl_file: str = ""
    crl_path: str = ""
    versions: str = ""
    cipher_suites: str | None = None
    verify_server_certificate: bool = False


@dataclass(frozen=True, slots=True)
class ReplicationFilters:
    """What a channel leaves out; all empty: nothing. Field by field as in `topology.proto`."""

    do_databases: tuple[str, ...] = ()
    ignore_databases: tuple[str, ...] = ()
    do_tables: tuple[str, ...] = ()
    ignore_tables: tuple[str, ...] = ()
    wild_do_tables: tuple[str, ...] = ()
    wild_ignore_tables: tuple[str, ...] = ()
    rewrite_databases: tuple[str, ...] = ()
    do_domain_ids: tuple[int, ...] = ()
    ignore_domain_ids: tuple[int, ...] = ()
    ignore_server_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a channel is configured; None = the server does not know the setting. As in `topology.proto`."""

    user: str = ""
    connect_retry: timedelta | None = None
    retry_count: int | None = None
    tls_profile: TlsProfile | None = None
    compression_algorithms: str = ""
    zstd_level: int | None = None
    filters: ReplicationFilters | None = None
    bind: str = ""
    network_namespace: str = ""
    public_key_path: str = ""
    get_public_key: bool | None = None
    privilege_checks_user: str = ""
    require_row_format: bool | None = None
    require_primary_key_check: str = ""
    gtid_only: bool | None = None
    source_auto_failover: bool | None = None
    assign_gtids: str = ""
    parallel_mode: str = ""


@dataclass(frozen=True, slots=True)
class ReplicationChannel:
    """One channel of a replica, an edge of the replication graph. Field by field as in `topology.proto`."""

    source: InstanceKey
    name: str = ""
    source_uuid: str = ""
    io_state: ThreadState = ThreadState.UNKNOWN
    sql_state: ThreadState = ThreadState.UNKNOWN
    io_errno: int = 0
    io_error: str = ""
    sql_errno: int = 0
    sql_error: str = ""
    lag: timedelta | None = None
    sql_delay: timedelta = timedelta()
    gtid_positioning: bool = False
    using_gtid: str = ""
    received_gtid_set: str = ""
    read_position: BinlogPosition | None = None
    executed_position: BinlogPosition | None = None
    last_heartbeat_time: datetime | None = None
    heartbeat_period: timedelta | None = None
    tls: bool = False
    settings: ChannelSettings | None = None
    heartbeat_age: timedelta | None = None
    received_heartbeat_count: int | None = None
    query_lag: timedelta | None = None
    remaining_delay: timedelta | None = None
    failed_workers: tuple[ApplierWorker, ...] = ()
    applied_age: timedelta | None = None

    @property
    def names_source(self) -> bool:
        """It leads somewhere: `//host` is detached, an empty host, `_` or port 0 name no source."""
        host = self.source.host
        return host not in ("", "_") and not host.startswith("//") and self.source.port != 0

    @property
    def replicating(self) -> bool:
        """Both threads run, by the server's own word."""
        return self.io_state is ThreadState.ON and self.sql_state is ThreadState.ON
