"""Instances <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.channel import channel_from_proto, channel_to_proto
from services.shared.topology.convert.grey import grey_from_proto, grey_to_proto
from services.shared.topology.convert.group import group_from_proto, group_to_proto
from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.convert.operators import (
    downtime_from_proto,
    downtime_to_proto,
    maintenance_from_proto,
    maintenance_to_proto,
    rule_from_proto,
    rule_to_proto,
)
from services.shared.topology.convert.position import position_from_proto, position_to_proto
from services.shared.topology.convert.reading import reading_from_proto, reading_to_proto
from services.shared.topology.convert.server import (
    flavor_from_proto,
    flavor_to_proto,
    mariadb_gtid_state_from_proto,
    mariadb_gtid_state_to_proto,
    semi_sync_from_proto,
    semi_sync_to_proto,
    settings_from_proto,
    settings_to_proto,
)
from services.shared.topology.convert.suspicion import suspicion_from_proto, suspicion_to_proto
from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.instance import Instance, Problem, ReportedReplica
from services.shared.topology.operators import Tag

_PROBLEMS: Final = {
    pb.PROBLEM_LAST_CHECK_INVALID: Problem.LAST_CHECK_INVALID,
    pb.PROBLEM_NOT_RECENTLY_CHECKED: Problem.NOT_RECENTLY_CHECKED,
    pb.PROBLEM_NOT_REPLICATING: Problem.NOT_REPLICATING,
    pb.PROBLEM_REPLICATION_LAG: Problem.REPLICATION_LAG,
    pb.PROBLEM_ERRANT_GTID: Problem.ERRANT_GTID,
    pb.PROBLEM_SEEN_TWICE: Problem.SEEN_TWICE,
    pb.PROBLEM_REPLICATION_RING: Problem.REPLICATION_RING,
    pb.PROBLEM_GROUP_MEMBER_NOT_ONLINE: Problem.GROUP_MEMBER_NOT_ONLINE,
    pb.PROBLEM_ERRANT_GTID_UNKNOWN: Problem.ERRANT_GTID_UNKNOWN,
    pb.PROBLEM_NAME_RESOLVES_ELSEWHERE: Problem.NAME_RESOLVES_ELSEWHERE,
    pb.PROBLEM_MOVED: Problem.MOVED,
    pb.PROBLEM_WRITE_BLOCKED: Problem.WRITE_BLOCKED,
    pb.PROBLEM_DISK_FULL: Problem.DISK_FULL,
    pb.PROBLEM_CONNECTIONS_EXHAUSTED: Problem.CONNECTIONS_EXHAUSTED,
    pb.PROBLEM_LATENCY_RISING: Problem.LATENCY_RISING,
    pb.PROBLEM_READING_INCOMPLETE: Problem.READING_INCOMPLETE,
    pb.PROBLEM_IN_MAINTENANCE: Problem.IN_MAINTENANCE,
    pb.PROBLEM_SLOW: Problem.SLOW,
}
_PROBLEMS_OUT: Final = {value: name for name, value in _PROBLEMS.items()}


def instance_to_proto(instance: Instance) -> pb.Instance:
    """Return an instance as message."""
    return pb.Instance(
        endpoint=key_to_proto(instance.key),
        server_uuid=instance.server_uuid,
        server_id=instance.server_id,
        flavor=flavor_to_proto(instance.flavor),
        version=instance.version,
        version_comment=instance.version_comment,
        hostname=instance.hostname,
        cluster_id=instance.cluster_id,
        read_only=instance.read_only,
        super_read_only=instance.super_read_only,
        log_bin=instance.log_bin,
        log_replica_updates=instance.log_replica_updates,
        binlog_format=instance.binlog_format,
        binlog_position=position_to_proto(instance.binlog_position),
        gtid_mode=instance.gtid_mode,
        executed_gtid_set=instance.executed_gtid_set,
        purged_gtid_set=instance.purged_gtid_set,
        binlog_gtid_position=instance.binlog_gtid_position,
        errant_gtid_set=instance.errant_gtid_set,
        channels=[channel_to_proto(channel) for channel in instance.channels],
        semi_sync=semi_sync_to_proto(instance.semi_sync),
        reported_replicas=[pb.Endpoint(host=key.host, port=key.port) for key in instance.reported_replicas],
        data_center=instance.data_center,
        region=instance.region,
        environment=instance.environment,
        alias=instance.alias,
        promotion_rule=rule_to_proto(instance.promotion_rule),
        depth=instance.depth,
        co_primary=instance.co_primary,
        uptime=duration_to_proto(instance.uptime),
        reading=reading_to_proto(instance.reading),
        problems=[_PROBLEMS_OUT[problem] for problem in instance.problems],
        downtime=downtime_to_proto(instance.downtime),
        group=group_to_proto(instance.group),
        mariadb_gtid_state=mariadb_gtid_state_to_proto(instance.mariadb_gtid_state),
        settings=settings_to_proto(instance.settings),
        connection_count=instance.connection_count,
        gtid_read_time=time_to_proto(instance.gtid_read_time),
        binlog_position_time=time_to_proto(instance.binlog_position_time),
        errant_gtid_unknown_reason=instance.errant_gtid_unknown_reason,
        replica_reports=[_report_to_proto(report) for report in instance.replica_reports],
        other_cluster_ids=instance.other_cluster_ids,
        other_endpoints=[pb.Endpoint(host=key.host, port=key.port) for key in instance.other_endpoints],
        addresses=instance.addresses,
        first_seen_time=time_to_proto(instance.first_seen_time),
        tags=[pb.Tag(name=tag.name, value=tag.value) for tag in instance.tags],
        pools=instance.pools,
        maintenance=maintenance_to_proto(instance.maintenance),
        suspicion=suspicion_to_proto(instance.suspicion),
        grey=grey_to_proto(instance.grey),
    )


def instance_from_proto(message: pb.Instance) -> Instance:
    """Return an instance as value."""
    return Instance(
        key=key_from_proto(message.endpoint),
        server_uuid=message.server_uuid,
        server_id=message.server_id,
        flavor=flavor_from_proto(message.flavor),
        version=message.version,
        version_comment=message.version_comment,
        hostname=message.hostname,
        cluster_id=message.cluster_id,
        read_only=message.read_only if message.HasField("read_only") else None,
        super_read_only=message.super_read_only if message.HasField("super_read_only") else None,
        log_bin=message.log_bin if message.HasField("log_bin") else None,
        log_replica_updates=message.log_replica_updates if message.HasField("log_replica_updates") else None,
        binlog_format=message.binlog_format,
        binlog_position=(position_from_proto(message.binlog_position) if message.HasField("binlog_position") else None),
        gtid_mode=message.gtid_mode,
        executed_gtid_set=message.executed_gtid_set,
        purged_gtid_set=message.purged_gtid_set,
        binlog_gtid_position=message.binlog_gtid_position,
        errant_gtid_set=message.errant_gtid_set,
        channels=tuple(channel_from_proto(channel) for channel in message.channels),
        semi_sync=semi_sync_from_proto(message.semi_sync),
        reported_replicas=tuple(key_from_proto(endpoint) for endpoint in message.reported_replicas),
        data_center=message.data_center,
        region=message.region,
        environment=message.environment,
        alias=message.alias,
        promotion_rule=rule_from_proto(message.promotion_rule),
        depth=message.depth if message.HasField("depth") else None,
        co_primary=message.co_primary,
        uptime=duration_from_proto(message.uptime) if message.HasField("uptime") else None,
        reading=reading_from_proto(message.reading),
        problems=tuple(_PROBLEMS[problem] for problem in message.problems if problem in _PROBLEMS),
        downtime=downtime_from_proto(message.downtime) if message.HasField("downtime") else None,
        group=group_from_proto(message.group) if message.HasField("group") else None,
        mariadb_gtid_state=(
            mariadb_gtid_state_from_proto(message.mariadb_gtid_state)
            if message.HasField("mariadb_gtid_state")
            else None
        ),
        settings=settings_from_proto(message.settings) if message.HasField("settings") else None,
        connection_count=message.connection_count if message.HasField("connection_count") else None,
        gtid_read_time=time_from_proto(message.gtid_read_time) if message.HasField("gtid_read_time") else None,
        binlog_position_time=(
            time_from_proto(message.binlog_position_time) if message.HasField("binlog_position_time") else None
        ),
        errant_gtid_unknown_reason=message.errant_gtid_unknown_reason,
        replica_reports=tuple(_report_from_proto(report) for report in message.replica_reports),
        other_cluster_ids=tuple(message.other_cluster_ids),
        other_endpoints=tuple(key_from_proto(endpoint) for endpoint in message.other_endpoints),
        addresses=tuple(message.addresses),
        first_seen_time=time_from_proto(message.first_seen_time) if message.HasField("first_seen_time") else None,
        tags=tuple(Tag(tag.name, tag.value) for tag in message.tags),
        pools=tuple(message.pools),
        maintenance=maintenance_from_proto(message.maintenance) if message.HasField("maintenance") else None,
        suspicion=suspicion_from_proto(message.suspicion) if message.HasField("suspicion") else None,
        grey=grey_from_proto(message.grey) if message.HasField("grey") else None,
    )


def _report_to_proto(report: ReportedReplica) -> pb.ReportedReplica:
    return pb.ReportedReplica(
        endpoint=key_to_proto(report.key),
        server_uuid=report.server_uuid,
        server_id=report.server_id,
        guessed=report.guessed,
    )


def _report_from_proto(message: pb.ReportedReplica) -> ReportedReplica:
    return ReportedReplica(
        key_from_proto(message.endpoint), message.server_uuid, message.server_id, guessed=message.guessed
    )
