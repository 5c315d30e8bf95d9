"""What discovery speaks of besides the topology itself: probes, their results, changes, errors."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.shared.runtime.errors import DomainError
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind
from services.shared.topology.snapshot import Cluster


class ProbeDepth(enum.Enum):
    """How much a probe reads."""

    BURST = 0
    """What a verdict needs: replication status, read-only switches, executed GTIDs."""
    ROUTINE = 1
    """Also replicas, binary log position, semi-sync state."""
    FULL = 2
    """Also what rarely changes."""


@dataclass(frozen=True, slots=True)
class ProbeFailure:
    """A probe that failed.

    Attributes:
        kind: Why.
        number: MySQL's or the operating system's number; 0 = none (a time-out).
        problem: For people.
        partial: The server answered, but not everything could be read.
    """

    kind: FailureKind
    number: int
    problem: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How one probe ended.

    Attributes:
        key: What was probed.
        depth: How much was asked.
        outcome: What the server showed (no derived fields), or why it did not.
        started_ns: Boot time at its start; the values were read after it.
        finished_ns: Boot time at its end; the values were read before it.
        finish_time: Wall time at its end.
    """

    key: InstanceKey
    depth: ProbeDepth
    outcome: Instance | ProbeFailure
    started_ns: int
    finished_ns: int
    finish_time: datetime

    @property
    def latency(self) -> timedelta:
        """How long it took."""
        return timedelta(microseconds=(self.finished_ns - self.started_ns) / 1000)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that readings are judged by.

    Attributes:
        poll: Between two probes.
        grace: How much longer a hanging probe leaves the last reading valid.
        lag: Lag that is a problem.
    """

    poll: timedelta = timedelta(seconds=5)
    grace: timedelta = timedelta(seconds=1)
    lag: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class AppSettings:
    """How to watch a fleet; see `settings.py` for the meaning of each."""

    limits: Limits = field(default_factory=Limits)
    primary_poll: timedelta = timedelta(seconds=1)
    poll_jitter: float = 0.1
    full_probe_period: timedelta = timedelta(seconds=60)
    probe_timeout: timedelta = timedelta(milliseconds=1500)
    slow_after: timedelta = timedelta(milliseconds=500)
    dead_poll_max: timedelta = timedelta(seconds=15)
    burst_timeout: timedelta = timedelta(milliseconds=500)
    burst_length: timedelta = timedelta(seconds=2)
    hung_burst_length: timedelta = timedelta(seconds=15)
    burst_limit: int = 32
    seeds: tuple[InstanceKey, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A cluster as the replicated directory of primaries has it.

    Attributes:
        cluster_id: UUID of the cluster.
        alias: Its label; empty = none.
        server_uuid: Server UUID of its primary.
        epoch: Grows with each change of the primary.
        former_uuids: Server UUIDs of former primaries.
    """

    cluster_id: str
    alias: str
    server_uuid: str
    epoch: int
    former_uuids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed in the topology; nothing when empty."""

    changed: Mapping[InstanceKey, Instance] = field(default_factory=dict)
    removed: frozenset[InstanceKey] = frozenset()
    changed_clusters: Mapping[str, Cluster] = field(default_factory=dict)
    removed_clusters: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.changed_clusters or self.removed_clusters)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the store knows from before.

    Attributes:
        instances: Last known instances.
        aliases: Label of each cluster by its id.
    """

    instances: tuple[Instance, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass
class InstanceUnreachable(DomainError):
    """A server that was never seen does not answer."""

    instance: str
    problem: str

    def __str__(self) -> str:
        return f"{self.instance} does not answer: {self.problem}"


@dataclass
class NotServed(DomainError):
    """A call, or a field of a request, that the contract has and this version does not serve.

    Attributes:
        what: Name of the call, or of the request and its field.
    """

    what: str

    def __str__(self) -> str:
        return f"{self.what} is not served by this version of discovery; leave it out, or ask a newer one"


@dataclass
class AccountRefused(DomainError):
    """A server refuses the account of the probes.

    Attributes:
        instance: Which server.
        error_number: MySQL's number.
        problem: Its message.
    """

    instance: str
    error_number: int
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.instance} refuses our account ({self.error_number}): {self.problem}; check mysql_user, its grants"
        )


@dataclass
class InstanceNotRead(DomainError):
    """A server that was never seen answers, but its state cannot be read.

    Attributes:
        instance: Which server.
        error_number: MySQL's number; 0 = none.
        problem: Why.
    """

    instance: str
    error_number: int
    problem: str

    def __str__(self) -> str:
        return f"{self.instance} answers but cannot be read ({self.error_number}): {self.problem}"
