"""Instances as immutable values.

Unknown is `None` or empty, never zero: a value that was not read must not count as fine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.grey import GreyState
from services.shared.topology.group import GroupState
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime, Maintenance, PromotionRule, Tag
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import Reading
from services.shared.topology.server import Flavor, MariadbGtidState, SemiSync, ServerSettings
from services.shared.topology.suspicion import Suspicion


class Problem(enum.Enum):
    """What is wrong with one instance at a glance."""

    LAST_CHECK_INVALID = "last_check_invalid"
    NOT_RECENTLY_CHECKED = "not_recently_checked"
    NOT_REPLICATING = "not_replicating"
    REPLICATION_LAG = "replication_lag"
    ERRANT_GTID = "errant_gtid"
    SEEN_TWICE = "seen_twice"
    REPLICATION_RING = "replication_ring"
    GROUP_MEMBER_NOT_ONLINE = "group_member_not_online"
    ERRANT_GTID_UNKNOWN = "errant_gtid_unknown"
    NAME_RESOLVES_ELSEWHERE = "name_resolves_elsewhere"
    MOVED = "moved"
    WRITE_BLOCKED = "write_blocked"
    DISK_FULL = "disk_full"
    CONNECTIONS_EXHAUSTED = "connections_exhausted"
    LATENCY_RISING = "latency_rising"
    READING_INCOMPLETE = "reading_incomplete"
    IN_MAINTENANCE = "in_maintenance"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class ReportedReplica:
    """A replica as its source reports it.

    Attributes:
        key: Where it answers, as far as the source knows.
        server_uuid: Its server UUID; empty = not told.
        server_id: Its server id; 0 = not told.
        guessed: The endpoint is put together from what is known.
    """

    key: InstanceKey
    server_uuid: str = ""
    server_id: int = 0
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """One mysqld, as last seen. Field by field as in `topology.proto`."""

    key: InstanceKey
    server_uuid: str = ""
    server_id: int = 0
    flavor: Flavor | None = None
    version: str = ""
    version_comment: str = ""
    hostname: str = ""
    cluster_id: str = ""
    read_only: bool | None = None
    super_read_only: bool | None = None
    log_bin: bool | None = None
    log_replica_updates: bool | None = None
    binlog_format: str = ""
    binlog_position: BinlogPosition | None = None
    gtid_mode: str = ""
    executed_gtid_set: str = ""
    purged_gtid_set: str = ""
    binlog_gtid_position: str = ""
    errant_gtid_set: str = ""
    channels: tuple[ReplicationChannel, ...] = ()
    semi_sync: SemiSync = field(default_factory=SemiSync)
    reported_replicas: tuple[InstanceKey, ...] = ()
    data_center: str = ""
    region: str = ""
    environment: str = ""
    alias: str = ""
    promotion_rule: PromotionRule = PromotionRule.NEUTRAL
    depth: int | None = None
    co_primary: bool = False
    uptime: timedelta | None = None
    reading: Reading = field(default_factory=Reading)
    problems: tuple[Problem, ...] = ()
    downtime: Downtime | None = None
    group: GroupState | None = None
    mariadb_gtid_state: MariadbGtidState | None = None
    settings: ServerSettings | None = None
    connection_count: int | None = None
    gtid_read_time: datetime | None = None
    binlog_position_time: datetime | None = None
    errant_gtid_unknown_reason: str = ""
    replica_reports: tuple[ReportedReplica, ...] = ()
    other_cluster_ids: tuple[str, ...] = ()
    other_endpoints: tuple[InstanceKey, ...] = ()
    addresses: tuple[str, ...] = ()
    first_seen_time: datetime | None = None
    tags: tuple[Tag, ...] = ()
    pools: tuple[str, ...] = ()
    maintenance: Maintenance | None = None
    suspicion: Suspicion | None = None
    grey: GreyState | None = None

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """The first two parts of the version, as numbers; empty when they are not numbers."""
        parts = self.version.split("-", 1)[0].split(".")[:2]
        return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()

    @property
    def sources(self) -> tuple[InstanceKey, ...]:
        """Whom this instance reads from, detached sources (`//host`) left out."""
        return tuple(channel.source for channel in self.channels if channel.names_source)

    @property
    def replicating(self) -> bool:
        """It has channels, and both threads of each run, by the server's own word."""
        return bool(self.channels) and all(channel.replicating for channel in self.channels)
