"""What a server says of itself <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.server import Flavor, MariadbGtidState, SemiSync, ServerSettings

_FLAVORS: Final = {pb.FLAVOR_MYSQL: Flavor.MYSQL, pb.FLAVOR_MARIADB: Flavor.MARIADB}
_FLAVORS_OUT: Final = {value: name for name, value in _FLAVORS.items()}


def flavor_to_proto(flavor: Flavor | None) -> pb.Flavor.ValueType:
    """Return the flavor as message; None is the unspecified one."""
    return pb.FLAVOR_UNSPECIFIED if flavor is None else _FLAVORS_OUT[flavor]


def flavor_from_proto(flavor: pb.Flavor.ValueType) -> Flavor | None:
    """Return the flavor; None for one that was not read, or that we do not know."""
    return _FLAVORS.get(flavor)


def semi_sync_to_proto(semi_sync: SemiSync) -> pb.SemiSync:
    """Return semi-synchronous replication as message."""
    return pb.SemiSync(
        source_enabled=semi_sync.source_enabled,
        source_status=semi_sync.source_status,
        wait_for_replica_count=semi_sync.wait_for_replica_count,
        clients=semi_sync.clients,
        timeout=duration_to_proto(semi_sync.timeout),
        replica_enabled=semi_sync.replica_enabled,
        replica_status=semi_sync.replica_status,
        priority=semi_sync.priority,
        read_time=time_to_proto(semi_sync.read_time),
        wait_point=semi_sync.wait_point,
        unacknowledged_count=semi_sync.unacknowledged_count,
    )


def semi_sync_from_proto(message: pb.SemiSync) -> SemiSync:
    """Return semi-synchronous replication as value."""
    return SemiSync(
        source_enabled=message.source_enabled if message.HasField("source_enabled") else None,
        source_status=message.source_status if message.HasField("source_status") else None,
        wait_for_replica_count=(message.wait_for_replica_count if message.HasField("wait_for_replica_count") else None),
        clients=message.clients if message.HasField("clients") else None,
        timeout=duration_from_proto(message.timeout) if message.HasField("timeout") else None,
        replica_enabled=message.replica_enabled if message.HasField("replica_enabled") else None,
        replica_status=message.replica_status if message.HasField("replica_status") else None,
        priority=message.priority if message.HasField("priority") else None,
        read_time=time_from_proto(message.read_time) if message.HasField("read_time") else None,
        wait_point=message.wait_point,
        unacknowledged_count=message.unacknowledged_count if message.HasField("unacknowledged_count") else None,
    )


def mariadb_gtid_state_to_proto(state: MariadbGtidState | None) -> pb.MariadbGtidState | None:
    """Return MariaDB's further GTIDs; None stays None (an absent field)."""
    if state is None:
        return None
    return pb.MariadbGtidState(replica_position=state.replica_position, binlog_state=state.binlog_state)


def mariadb_gtid_state_from_proto(message: pb.MariadbGtidState) -> MariadbGtidState:
    """Return MariaDB's further GTIDs; ask `HasField` first."""
    return MariadbGtidState(message.replica_position, message.binlog_state)


def settings_to_proto(settings: ServerSettings | None) -> pb.ServerSettings | None:
    """Return the settings; None stays None (an absent field)."""
    if settings is None:
        return None
    return pb.ServerSettings(
        binlog_row_image=settings.binlog_row_image,
        sync_binlog=settings.sync_binlog,
        flush_log_at_commit=settings.flush_log_at_commit,
        binlog_expire=duration_to_proto(settings.binlog_expire),
        binlog_encryption=settings.binlog_encryption,
        binlog_transaction_compression=settings.binlog_transaction_compression,
        report_host=settings.report_host,
        report_port=settings.report_port,
        port=settings.port,
        replica_net_timeout=duration_to_proto(settings.replica_net_timeout),
        parallel_workers=settings.parallel_workers,
        preserve_commit_order=settings.preserve_commit_order,
        max_connections=settings.max_connections,
        offline_mode=settings.offline_mode,
        enforce_gtid_consistency=settings.enforce_gtid_consistency,
    )


def settings_from_proto(message: pb.ServerSettings) -> ServerSettings:
    """Return the settings; ask `HasField` first."""
    has = message.HasField
    return ServerSettings(
        binlog_row_image=message.binlog_row_image,
        sync_binlog=message.sync_binlog if has("sync_binlog") else None,
        flush_log_at_commit=message.flush_log_at_commit if has("flush_log_at_commit") else None,
        binlog_expire=duration_from_proto(message.binlog_expire) if has("binlog_expire") else None,
        binlog_encryption=message.binlog_encryption if has("binlog_encryption") else None,
        binlog_transaction_compression=(
            message.binlog_transaction_compression if has("binlog_transaction_compression") else None
        ),
        report_host=message.report_host,
        report_port=message.report_port if has("report_port") else None,
        port=message.port if has("port") else None,
        replica_net_timeout=duration_from_proto(message.replica_net_timeout) if has("replica_net_timeout") else None,
        parallel_workers=message.parallel_workers if has("parallel_workers") else None,
        preserve_commit_order=message.preserve_commit_order if has("preserve_commit_order") else None,
        max_connections=message.max_connections if has("max_connections") else None,
        offline_mode=message.offline_mode if has("offline_mode") else None,
        enforce_gtid_consistency=message.enforce_gtid_consistency,
    )
