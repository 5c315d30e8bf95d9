"""Instances, channels, clusters and snapshots as immutable values.

Unknown is `None` or empty, never zero: a value that was not read must not count as fine.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

DEFAULT_PORT: Final = 3306


@dataclass(frozen=True, slots=True, order=True)
class InstanceKey:
    """Where a mysqld answers. Orders by host, then port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host`, `host:port` or `[ipv6]:port`; the port defaults to 3306.

        Raises:
            ValueError: No host, or the port is not in 1..65535.
        """
        host, port = _split(text.strip())
        if not host or any(character.isspace() or character == "/" for character in host):
            raise ValueError(f"{text!r} is not host:port")
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError(f"{text!r} has no port between 1 and 65535")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(DEFAULT_PORT)
    if text.count(":") > 1:  # An IPv6 address without brackets: all of it is the host.
        return text, str(DEFAULT_PORT)
    host, separator, port = text.partition(":")
    return host, port if separator else str(DEFAULT_PORT)


class Flavor(enum.Enum):
    """The family of a server; GTID sets of different flavors do not compare."""

    MYSQL = "mysql"
    MARIADB = "mariadb"


class ThreadState(enum.Enum):
    """State of one replication thread; only `ON` counts as running."""

    UNKNOWN = "unknown"
    OFF = "off"
    ON = "on"
    CONNECTING = "connecting"


class PromotionRule(enum.Enum):
    """How an operator wants an instance treated when a successor is chosen; smaller values are better."""

    MUST = 0
    PREFER = 1
    NEUTRAL = 2
    PREFER_NOT = 3
    MUST_NOT = 4


class Problem(enum.Enum):
    """What is wrong with one instance at a glance."""

    LAST_CHECK_INVALID = "last_check_invalid"
    NOT_RECENTLY_CHECKED = "not_recently_checked"
    NOT_REPLICATING = "not_replicating"
    REPLICATION_LAG = "replication_lag"
    ERRANT_GTID = "errant_gtid"
    SEEN_TWICE = "seen_twice"


@dataclass(frozen=True, slots=True)
class BinlogPosition:
    """A position in a binary log. Compare with `follows`, never as text: `.1000000` comes after `.999999`."""

    file: str
    position: int

    def follows(self, other: BinlogPosition) -> bool:
        """Return whether this position is strictly after `other` in the same log (base name, number, offset)."""
        return self._key() > other._key()

    def _key(self) -> tuple[str, int, int]:
        base, _, number = self.file.rpartition(".")
        return (base, int(number), self.position) if number.isdigit() else (self.file, 0, self.position)


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

    @property
    def replicating(self) -> bool:
        """Both threads run, by the server's own word."""
        return self.io_state is ThreadState.ON and self.sql_state is ThreadState.ON


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


@dataclass(frozen=True, slots=True)
class Reading:
    """How good, and how old, what we know of an instance is. Field by field as in `topology.proto`."""

    last_attempted_check_time: datetime | None = None
    last_checked_time: datetime | None = None
    last_seen_time: datetime | None = None
    partial_success: bool = False
    last_check_valid: bool = False
    latency: timedelta | None = None
    error_number: int = 0
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """The last probe that ended was fully successful (`last_checked <= last_seen`); never read is not."""
        if self.last_checked_time is None or self.last_seen_time is None:
            return False
        return self.last_checked_time <= self.last_seen_time


@dataclass(frozen=True, slots=True)
class Downtime:
    """A span in which automatic recovery leaves an instance alone."""

    owner: str
    reason: str
    end_time: datetime


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

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """The first two parts of the version, as numbers; empty when they are not numbers."""
        parts = self.version.split("-", 1)[0].split(".")[:2]
        return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()

    @property
    def sources(self) -> tuple[InstanceKey, ...]:
        """Whom this instance reads from, detached sources (`//host`) left out."""
        return tuple(channel.source for channel in self.channels if not channel.source.host.startswith("//"))

    @property
    def replicating(self) -> bool:
        """It has channels, and both threads of each run, by the server's own word."""
        return bool(self.channels) and all(channel.replicating for channel in self.channels)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One replication topology under one primary. Field by field as in `topology.proto`."""

    cluster_id: str
    alias: str
    primary: InstanceKey | None = None
    instance_count: int = 0
    problem_count: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class TopologySnapshot:
    """All of it at one revision."""

    revision: int = 0
    snapshot_time: datetime | None = None
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    instances: Mapping[InstanceKey, Instance] = field(default_factory=dict)

    def direct_replicas(self, source: InstanceKey) -> tuple[Instance, ...]:
        """Return the instances that are configured to read from `source`, by endpoint, whatever their threads do."""
        found = (instance for instance in self.instances.values() if source in instance.sources)
        return tuple(sorted(found, key=lambda instance: instance.key))
