"""Topology values <-> proto messages, both directions, pure.

What comes from a request is parsed and refused with the field's path; what comes from another service of ours is
trusted to be well-formed, and unknown enum values become unknown, never fine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf import duration_pb2, timestamp_pb2
from primacy.topology.v1 import topology_pb2 as pb

from services.shared.runtime.errors import InvalidField
from services.shared.topology.instance import (
    DEFAULT_PORT,
    BinlogPosition,
    Cluster,
    Downtime,
    Flavor,
    Instance,
    InstanceKey,
    Problem,
    PromotionRule,
    Reading,
    ReplicationChannel,
    SemiSync,
    ThreadState,
    TopologySnapshot,
)

_FLAVORS: Final = {pb.FLAVOR_MYSQL: Flavor.MYSQL, pb.FLAVOR_MARIADB: Flavor.MARIADB}
_FLAVORS_OUT: Final = {value: name for name, value in _FLAVORS.items()}
_THREADS: Final = {
    pb.THREAD_STATE_UNSPECIFIED: ThreadState.UNKNOWN,
    pb.THREAD_STATE_OFF: ThreadState.OFF,
    pb.THREAD_STATE_ON: ThreadState.ON,
    pb.THREAD_STATE_CONNECTING: ThreadState.CONNECTING,
}
_THREADS_OUT: Final = {value: name for name, value in _THREADS.items()}
_RULES: Final = {
    pb.PROMOTION_RULE_UNSPECIFIED: PromotionRule.NEUTRAL,
    pb.PROMOTION_RULE_MUST: PromotionRule.MUST,
    pb.PROMOTION_RULE_PREFER: PromotionRule.PREFER,
    pb.PROMOTION_RULE_NEUTRAL: PromotionRule.NEUTRAL,
    pb.PROMOTION_RULE_PREFER_NOT: PromotionRule.PREFER_NOT,
    pb.PROMOTION_RULE_MUST_NOT: PromotionRule.MUST_NOT,
}
_RULES_OUT: Final = {value: name for name, value in _RULES.items()}
_PROBLEMS: Final = {
    pb.PROBLEM_LAST_CHECK_INVALID: Problem.LAST_CHECK_INVALID,
    pb.PROBLEM_NOT_RECENTLY_CHECKED: Problem.NOT_RECENTLY_CHECKED,
    pb.PROBLEM_NOT_REPLICATING: Problem.NOT_REPLICATING,
    pb.PROBLEM_REPLICATION_LAG: Problem.REPLICATION_LAG,
    pb.PROBLEM_ERRANT_GTID: Problem.ERRANT_GTID,
    pb.PROBLEM_SEEN_TWICE: Problem.SEEN_TWICE,
}
_PROBLEMS_OUT: Final = {value: name for name, value in _PROBLEMS.items()}


def time_to_proto(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return the timestamp; None stays None (an absent field)."""
    if value is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def time_from_proto(stamp: timestamp_pb2.Timestamp) -> datetime:
    """Return the timezone-aware time in UTC; ask `HasField` first."""
    return stamp.ToDatetime(tzinfo=UTC)


def duration_to_proto(value: timedelta | None) -> duration_pb2.Duration | None:
    """Return the duration; None stays None (an absent field)."""
    if value is None:
        return None
    duration = duration_pb2.Duration()
    duration.FromTimedelta(value)
    return duration


def duration_from_proto(duration: duration_pb2.Duration) -> timedelta:
    """Return the span; ask `HasField` first."""
    return duration.ToTimedelta()


def key_from_request(endpoint: pb.Endpoint, field: str) -> InstanceKey:
    """Return the key a request names; port 0 means 3306.

    Raises:
        InvalidField: No host, white space in it, or the port is out of range; names `field`.
    """
    host = endpoint.host
    if not host:
        raise InvalidField(f"{field}.host", "is required: the host name or address of an instance")
    if len(host) > 255 or any(character.isspace() or character in "/\0" for character in host):
        raise InvalidField(f"{field}.host", "is not a host name or address")
    if endpoint.port > 65535:
        raise InvalidField(f"{field}.port", "is not between 1 and 65535")
    return InstanceKey(host.strip("[]"), endpoint.port or DEFAULT_PORT)


def key_to_proto(key: InstanceKey | None) -> pb.Endpoint | None:
    """Return the endpoint; None stays None (an absent field)."""
    return None if key is None else pb.Endpoint(host=key.host, port=key.port)


def key_from_proto(endpoint: pb.Endpoint) -> InstanceKey:
    """Return the key of a message of ours; ask `HasField` first."""
    return InstanceKey(endpoint.host, endpoint.port)


def _position_to_proto(position: BinlogPosition | None) -> pb.BinlogPosition | None:
    return None if position is None else pb.BinlogPosition(file=position.file, position=position.position)


def _position_from_proto(message: pb.BinlogPosition) -> BinlogPosition:
    return BinlogPosition(message.file, message.position)


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
        read_position=_position_to_proto(channel.read_position),
        executed_position=_position_to_proto(channel.executed_position),
        last_heartbeat_time=time_to_proto(channel.last_heartbeat_time),
        heartbeat_period=duration_to_proto(channel.heartbeat_period),
        tls=channel.tls,
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
        read_position=_position_from_proto(message.read_position) if message.HasField("read_position") else None,
        executed_position=(
            _position_from_proto(message.executed_position) if message.HasField("executed_position") else None
        ),
        last_heartbeat_time=(
            time_from_proto(message.last_heartbeat_time) if message.HasField("last_heartbeat_time") else None
        ),
        heartbeat_period=(
            duration_from_proto(message.heartbeat_period) if message.HasField("heartbeat_period") else None
        ),
        tls=message.tls,
    )


def _semi_sync_to_proto(semi_sync: SemiSync) -> pb.SemiSync:
    return pb.SemiSync(
        source_enabled=semi_sync.source_enabled,
        source_status=semi_sync.source_status,
        wait_for_replica_count=semi_sync.wait_for_replica_count,
        clients=semi_sync.clients,
        timeout=duration_to_proto(semi_sync.timeout),
        replica_enabled=semi_sync.replica_enabled,
        replica_status=semi_sync.replica_status,
    )


def _semi_sync_from_proto(message: pb.SemiSync) -> SemiSync:
    return SemiSync(
        source_enabled=message.source_enabled if message.HasField("source_enabled") else None,
        source_status=message.source_status if message.HasField("source_status") else None,
        wait_for_replica_count=(message.wait_for_replica_count if message.HasField("wait_for_replica_count") else None),
        clients=message.clients if message.HasField("clients") else None,
        timeout=duration_from_proto(message.timeout) if message.HasField("timeout") else None,
        replica_enabled=message.replica_enabled if message.HasField("replica_enabled") else None,
        replica_status=message.replica_status if message.HasField("replica_status") else None,
    )


def _reading_to_proto(reading: Reading) -> pb.Reading:
    return pb.Reading(
        last_attempted_check_time=time_to_proto(reading.last_attempted_check_time),
        last_checked_time=time_to_proto(reading.last_checked_time),
        last_seen_time=time_to_proto(reading.last_seen_time),
        partial_success=reading.partial_success,
        last_check_valid=reading.last_check_valid,
        latency=duration_to_proto(reading.latency),
        error_number=reading.error_number,
        error=reading.error,
    )


def _reading_from_proto(message: pb.Reading) -> Reading:
    return Reading(
        last_attempted_check_time=(
            time_from_proto(message.last_attempted_check_time)
            if message.HasField("last_attempted_check_time")
            else None
        ),
        last_checked_time=(
            time_from_proto(message.last_checked_time) if message.HasField("last_checked_time") else None
        ),
        last_seen_time=time_from_proto(message.last_seen_time) if message.HasField("last_seen_time") else None,
        partial_success=message.partial_success,
        last_check_valid=message.last_check_valid,
        latency=duration_from_proto(message.latency) if message.HasField("latency") else None,
        error_number=message.error_number,
        error=message.error,
    )


def instance_to_proto(instance: Instance) -> pb.Instance:
    """Return an instance as message."""
    return pb.Instance(
        endpoint=key_to_proto(instance.key),
        server_uuid=instance.server_uuid,
        server_id=instance.server_id,
        flavor=_FLAVORS_OUT[instance.flavor] if instance.flavor is not None else pb.FLAVOR_UNSPECIFIED,
        version=instance.version,
        version_comment=instance.version_comment,
        hostname=instance.hostname,
        cluster_id=instance.cluster_id,
        read_only=instance.read_only,
        super_read_only=instance.super_read_only,
        log_bin=instance.log_bin,
        log_replica_updates=instance.log_replica_updates,
        binlog_format=instance.binlog_format,
        binlog_position=_position_to_proto(instance.binlog_position),
        gtid_mode=instance.gtid_mode,
        executed_gtid_set=instance.executed_gtid_set,
        purged_gtid_set=instance.purged_gtid_set,
        binlog_gtid_position=instance.binlog_gtid_position,
        errant_gtid_set=instance.errant_gtid_set,
        channels=[channel_to_proto(channel) for channel in instance.channels],
        semi_sync=_semi_sync_to_proto(instance.semi_sync),
        reported_replicas=[pb.Endpoint(host=key.host, port=key.port) for key in instance.reported_replicas],
        data_center=instance.data_center,
        region=instance.region,
        environment=instance.environment,
        alias=instance.alias,
        promotion_rule=_RULES_OUT[instance.promotion_rule],
        depth=instance.depth,
        co_primary=instance.co_primary,
        uptime=duration_to_proto(instance.uptime),
        reading=_reading_to_proto(instance.reading),
        problems=[_PROBLEMS_OUT[problem] for problem in instance.problems],
        downtime=_downtime_to_proto(instance.downtime),
    )


def instance_from_proto(message: pb.Instance) -> Instance:
    """Return an instance as value."""
    return Instance(
        key=key_from_proto(message.endpoint),
        server_uuid=message.server_uuid,
        server_id=message.server_id,
        flavor=_FLAVORS.get(message.flavor),
        version=message.version,
        version_comment=message.version_comment,
        hostname=message.hostname,
        cluster_id=message.cluster_id,
        read_only=message.read_only if message.HasField("read_only") else None,
        super_read_only=message.super_read_only if message.HasField("super_read_only") else None,
        log_bin=message.log_bin if message.HasField("log_bin") else None,
        log_replica_updates=message.log_replica_updates if message.HasField("log_replica_updates") else None,
        binlog_format=message.binlog_format,
        binlog_position=(
            _position_from_proto(message.binlog_position) if message.HasField("binlog_position") else None
        ),
        gtid_mode=message.gtid_mode,
        executed_gtid_set=message.executed_gtid_set,
        purged_gtid_set=message.purged_gtid_set,
        binlog_gtid_position=message.binlog_gtid_position,
        errant_gtid_set=message.errant_gtid_set,
        channels=tuple(channel_from_proto(channel) for channel in message.channels),
        semi_sync=_semi_sync_from_proto(message.semi_sync),
        reported_replicas=tuple(key_from_proto(endpoint) for endpoint in message.reported_replicas),
        data_center=message.data_center,
        region=message.region,
        environment=message.environment,
        alias=message.alias,
        promotion_rule=_RULES.get(message.promotion_rule, PromotionRule.NEUTRAL),
        depth=message.depth if message.HasField("depth") else None,
        co_primary=message.co_primary,
        uptime=duration_from_proto(message.uptime) if message.HasField("uptime") else None,
        reading=_reading_from_proto(message.reading),
        problems=tuple(_PROBLEMS[problem] for problem in message.problems if problem in _PROBLEMS),
        downtime=_downtime_from_proto(message.downtime) if message.HasField("downtime") else None,
    )


def _downtime_to_proto(downtime: Downtime | None) -> pb.Downtime | None:
    if downtime is None:
        return None
    return pb.Downtime(owner=downtime.owner, reason=downtime.reason, end_time=time_to_proto(downtime.end_time))


def _downtime_from_proto(message: pb.Downtime) -> Downtime:
    return Downtime(message.owner, message.reason, time_from_proto(message.end_time))


def cluster_to_proto(cluster: Cluster) -> pb.Cluster:
    """Return a cluster as message."""
    return pb.Cluster(
        cluster_id=cluster.cluster_id,
        alias=cluster.alias,
        primary=key_to_proto(cluster.primary),
        instance_count=cluster.instance_count,
        problem_count=cluster.problem_count,
        epoch=cluster.epoch,
    )


def cluster_from_proto(message: pb.Cluster) -> Cluster:
    """Return a cluster as value."""
    return Cluster(
        cluster_id=message.cluster_id,
        alias=message.alias,
        primary=key_from_proto(message.primary) if message.HasField("primary") else None,
        instance_count=message.instance_count,
        problem_count=message.problem_count,
        epoch=message.epoch,
    )


def snapshot_to_proto(snapshot: TopologySnapshot) -> pb.TopologySnapshot:
    """Return a snapshot as message, clusters by id and instances by endpoint."""
    return pb.TopologySnapshot(
        revision=snapshot.revision,
        snapshot_time=time_to_proto(snapshot.snapshot_time),
        clusters=[cluster_to_proto(snapshot.clusters[cluster_id]) for cluster_id in sorted(snapshot.clusters)],
        instances=[instance_to_proto(snapshot.instances[key]) for key in sorted(snapshot.instances)],
    )


def snapshot_from_proto(message: pb.TopologySnapshot) -> TopologySnapshot:
    """Return a snapshot as value."""
    instances = (instance_from_proto(instance) for instance in message.instances)
    clusters = (cluster_from_proto(cluster) for cluster in message.clusters)
    return TopologySnapshot(
        revision=message.revision,
        snapshot_time=time_from_proto(message.snapshot_time) if message.HasField("snapshot_time") else None,
        clusters={cluster.cluster_id: cluster for cluster in clusters},
        instances={instance.key: instance for instance in instances},
    )
