"""Replication channels <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.channel import (
    ApplierWorker,
    ChannelSettings,
    ReplicationChannel,
    ReplicationFilters,
    ThreadState,
    TlsProfile,
)
from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.convert.position import position_from_proto, position_to_proto
from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)

_THREADS: Final = {
    pb.THREAD_STATE_UNSPECIFIED: ThreadState.UNKNOWN,
    pb.THREAD_STATE_OFF: ThreadState.OFF,
    pb.THREAD_STATE_ON: ThreadState.ON,
    pb.THREAD_STATE_CONNECTING: ThreadState.CONNECTING,
}
_THREADS_OUT: Final = {value: name for name, value in _THREADS.items()}


def channel_to_proto(channel: ReplicationChannel) -> pb.ReplicationChannel:
    """Return one channel as message."""
    return pb.ReplicationChannel(
        name=channel.name,
        source=key_to_proto(channel.source),
        source_uuid=channel.source_uuid,
        io_state=_THREADS_OUT[channel.io_state],
        sql_state=_THREADS_OUT[channel.sql_state],
        io_errno=channel.io_errno,
        io_error=channel.io_error,
        sql_errno=channel.sql_errno,
        sql_error=channel.sql_error,
        lag=duration_to_proto(channel.lag),
        sql_delay=duration_to_proto(channel.sql_delay),
        gtid_positioning=channel.gtid_positioning,
        using_gtid=channel.using_gtid,
        received_gtid_set=channel.received_gtid_set,
        read_position=position_to_proto(channel.read_position),
        executed_position=position_to_proto(channel.executed_position),
        last_heartbeat_time=time_to_proto(channel.last_heartbeat_time),
        heartbeat_period=duration_to_proto(channel.heartbeat_period),
        tls=channel.tls,
        settings=None if channel.settings is None else _settings_to_proto(channel.settings),
        heartbeat_age=duration_to_proto(channel.heartbeat_age),
        received_heartbeat_count=channel.received_heartbeat_count,
        query_lag=duration_to_proto(channel.query_lag),
        remaining_delay=duration_to_proto(channel.remaining_delay),
        failed_workers=[
            pb.ApplierWorker(worker_id=worker.worker_id, error_number=worker.error_number, error=worker.error)
            for worker in channel.failed_workers
        ],
        applied_age=duration_to_proto(channel.applied_age),
    )


def channel_from_proto(message: pb.ReplicationChannel) -> ReplicationChannel:
    """Return one channel as value."""
    return ReplicationChannel(
        source=key_from_proto(message.source),
        name=message.name,
        source_uuid=message.source_uuid,
        io_state=_THREADS.get(message.io_state, ThreadState.UNKNOWN),
        sql_state=_THREADS.get(message.sql_state, ThreadState.UNKNOWN),
        io_errno=message.io_errno,
        io_error=message.io_error,
        sql_errno=message.sql_errno,
        sql_error=message.sql_error,
        lag=duration_from_proto(message.lag) if message.HasField("lag") else None,
        sql_delay=duration_from_proto(message.sql_delay),
        gtid_positioning=message.gtid_positioning,
        using_gtid=message.using_gtid,
        received_gtid_set=message.received_gtid_set,
        read_position=position_from_proto(message.read_position) if message.HasField("read_position") else None,
        executed_position=(
            position_from_proto(message.executed_position) if message.HasField("executed_position") else None
        ),
        last_heartbeat_time=(
            time_from_proto(message.last_heartbeat_time) if message.HasField("last_heartbeat_time") else None
        ),
        heartbeat_period=(
            duration_from_proto(message.heartbeat_period) if message.HasField("heartbeat_period") else None
        ),
        tls=message.tls,
        settings=_settings_from_proto(message.settings) if message.HasField("settings") else None,
        heartbeat_age=duration_from_proto(message.heartbeat_age) if message.HasField("heartbeat_age") else None,
        received_heartbeat_count=(
            message.received_heartbeat_count if message.HasField("received_heartbeat_count") else None
        ),
        query_lag=duration_from_proto(message.query_lag) if message.HasField("query_lag") else None,
        remaining_delay=duration_from_proto(message.remaining_delay) if message.HasField("remaining_delay") else None,
        failed_workers=tuple(
            ApplierWorker(worker.worker_id, worker.error_number, worker.error) for worker in message.failed_workers
        ),
        applied_age=duration_from_proto(message.applied_age) if message.HasField("applied_age") else None,
    )


def _settings_to_proto(settings: ChannelSettings) -> pb.ChannelSettings:
    return pb.ChannelSettings(
        user=settings.user,
        connect_retry=duration_to_proto(settings.connect_retry),
        retry_count=settings.retry_count,
        tls_profile=None if settings.tls_profile is None else _tls_to_proto(settings.tls_profile),
        compression_algorithms=settings.compression_algorithms,
        zstd_level=settings.zstd_level,
        filters=None if settings.filters is None else _filters_to_proto(settings.filters),
        bind=settings.bind,
        network_namespace=settings.network_namespace,
        public_key_path=settings.public_key_path,
        get_public_key=settings.get_public_key,
        privilege_checks_user=settings.privilege_checks_user,
        require_row_format=settings.require_row_format,
        require_primary_key_check=settings.require_primary_key_check,
        gtid_only=settings.gtid_only,
        source_auto_failover=settings.source_auto_failover,
        assign_gtids=settings.assign_gtids,
        parallel_mode=settings.parallel_mode,
    )


def _settings_from_proto(message: pb.ChannelSettings) -> ChannelSettings:
    return ChannelSettings(
        user=message.user,
        connect_retry=duration_from_proto(message.connect_retry) if message.HasField("connect_retry") else None,
        retry_count=message.retry_count if message.HasField("retry_count") else None,
        tls_profile=_tls_from_proto(message.tls_profile) if message.HasField("tls_profile") else None,
        compression_algorithms=message.compression_algorithms,
        zstd_level=message.zstd_level if message.HasField("zstd_level") else None,
        filters=_filters_from_proto(message.filters) if message.HasField("filters") else None,
        bind=message.bind,
        network_namespace=message.network_namespace,
        public_key_path=message.public_key_path,
        get_public_key=message.get_public_key if message.HasField("get_public_key") else None,
        privilege_checks_user=message.privilege_checks_user,
        require_row_format=message.require_row_format if message.HasField("require_row_format") else None,
        require_primary_key_check=message.require_primary_key_check,
        gtid_only=message.gtid_only if message.HasField("gtid_only") else None,
        source_auto_failover=message.source_auto_failover if message.HasField("source_auto_failover") else None,
        assign_gtids=message.assign_gtids,
        parallel_mode=message.parallel_mode,
    )


def _tls_to_proto(profile: TlsProfile) -> pb.TlsProfile:
    return pb.TlsProfile(
        ca_file=profile.ca_file,
        ca_path=profile.ca_path,
        certificate_file=profile.certificate_file,
        key_file=profile.key_file,
        ciphers=profile.ciphers,
        crl_file=profile.crl_file,
        crl_path=profile.crl_path,
        versions=profile.versions,
        cipher_suites=profile.cipher_suites,
        verify_server_certificate=profile.verify_server_certificate,
    )


def _tls_from_proto(message: pb.TlsProfile) -> TlsProfile:
    return TlsProfile(
        ca_file=message.ca_file,
        ca_path=message.ca_path,
        certificate_file=message.certificate_file,
        key_file=message.key_file,
        ciphers=message.ciphers,
        crl_file=message.crl_file,
        crl_path=message.crl_path,
        versions=message.versions,
        cipher_suites=message.cipher_suites if message.HasField("cipher_suites") else None,
        verify_server_certificate=message.verify_server_certificate,
    )


def _filters_to_proto(filters: ReplicationFilters) -> pb.ReplicationFilters:
    return pb.ReplicationFilters(
        do_databases=filters.do_databases,
        ignore_databases=filters.ignore_databases,
        do_tables=filters.do_tables,
        ignore_tables=filters.ignore_tables,
        wild_do_tables=filters.wild_do_tables,
        wild_ignore_tables=filters.wild_ignore_tables,
        rewrite_databases=filters.rewrite_databases,
        do_domain_ids=filters.do_domain_ids,
        ignore_domain_ids=filters.ignore_domain_ids,
        ignore_server_ids=filters.ignore_server_ids,
    )


def _filters_from_proto(message: pb.ReplicationFilters) -> ReplicationFilters:
    return ReplicationFilters(
        do_databases=tuple(message.do_databases),
        ignore_databases=tuple(message.ignore_databases),
        do_tables=tuple(message.do_tables),
        ignore_tables=tuple(message.ignore_tables),
        wild_do_tables=tuple(message.wild_do_tables),
        wild_ignore_tables=tuple(message.wild_ignore_tables),
        rewrite_databases=tuple(message.rewrite_databases),
        do_domain_ids=tuple(message.do_domain_ids),
        ignore_domain_ids=tuple(message.ignore_domain_ids),
        ignore_server_ids=tuple(message.ignore_server_ids),
    )
