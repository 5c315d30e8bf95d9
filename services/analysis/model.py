"""What analysis knows and says, as immutable values: findings, limits, explanations."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.analysis.counts import ReplicaCounts
from services.analysis.kinds import FindingKind, StructureWarning
from services.analysis.standing import InstanceType
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.snapshot import Cluster


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the rules draw their lines.

    Attributes:
        lag: A replica that lags more than this is lagging.
        locked_semi_sync: How long the binary log position must stand still before a lock counts as proven;
            None takes `lag`.
        enforce_exact_semi_sync_replicas: More semi-synchronous replicas than the primary waits for are a finding.
        recover_non_writeable_primary: A read-only primary is a finding.
        reduce: Healthy instances that nobody reads from are not analysed at all.
        ignored_hosts: Regular expressions; instances on a host that one of them is found in are never told of.
        grace: How long replicas may feel that their replication was restarted.
    """

    lag: timedelta = timedelta(seconds=10)
    locked_semi_sync: timedelta | None = None
    enforce_exact_semi_sync_replicas: bool = False
    recover_non_writeable_primary: bool = False
    reduce: bool = True
    ignored_hosts: tuple[str, ...] = ()
    grace: timedelta = timedelta(seconds=5)

    @property
    def standstill(self) -> timedelta:
        """How long a binary log position must stand still to be stale."""
        return self.locked_semi_sync or self.lag


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds for one instance. Field by field as in `analysis.proto`.

    Attributes:
        kind: The code; `NO_PROBLEM` when only warnings hold.
        warnings: Structure warnings that hold, in the order of their table.
        instance_type: What the instance is.
        cluster_primary: The instance is the primary its cluster is known by.
        actionable: A recovery exists for it and it is not in grace.
        downtimed: The instance is in downtime.
        replicas_downtimed: All its direct replicas are in downtime, and the kind is about them.
        graced: It would be actionable, had the replication of its replicas not just been restarted.
        detect_time: When the kind began to hold; None for `NO_PROBLEM`.
        evidence_time: End of the newest probe among the instance and its replicas at that moment.
    """

    instance: InstanceKey
    kind: FindingKind
    cluster_id: str = ""
    cluster_alias: str = ""
    server_uuid: str = ""
    description: str = ""
    warnings: tuple[StructureWarning, ...] = ()
    instance_type: InstanceType = InstanceType.PRIMARY
    cluster_primary: bool = False
    actionable: bool = False
    downtimed: bool = False
    replicas_downtimed: bool = False
    graced: bool = False
    sources: tuple[InstanceKey, ...] = ()
    counts: ReplicaCounts = field(default_factory=ReplicaCounts)
    replicas: tuple[InstanceKey, ...] = ()
    detect_time: datetime | None = None
    evidence_time: datetime | None = None

    @property
    def skippable(self) -> bool:
        """Nothing is done about it, because of downtime."""
        return self.downtimed or self.replicas_downtimed

    @property
    def place(self) -> tuple[int, int, int, str, int]:
        """Sort key of lists (section 9.2): primaries, cluster primaries, more replicas first; then host and port."""
        follows = self.instance_type is not InstanceType.PRIMARY
        return (follows, not self.cluster_primary, -self.counts.replicas, self.instance.host, self.instance.port)


@dataclass(frozen=True, slots=True)
class InstanceMemory:
    """What analysis remembers of one instance, beside what its last reading shows.

    Attributes:
        suspected_position: Position of its binary log that may stand still.
        suspect_time: End of the reading that showed it first.
        restart_time: When the replication of its replicas was last restarted.
        pseudo_gtid: Its binary log carries Pseudo-GTID.
    """

    instance: InstanceKey
    suspected_position: BinlogPosition | None = None
    suspect_time: datetime | None = None
    restart_time: datetime | None = None
    pseudo_gtid: bool = False


@dataclass(frozen=True, slots=True)
class FindingChanges:
    """What changed in the findings.

    Attributes:
        revision: Grows with every change.
        changed: New or changed findings, in list order.
        ended: Instances whose finding ended, by endpoint.
    """

    revision: int
    changed: tuple[Finding, ...] = ()
    ended: tuple[InstanceKey, ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One condition of a rule: what is asked, what was seen, whether it holds."""

    text: str
    seen: str
    holds: bool


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule and what it saw; `number` is its 1-based place."""

    number: int
    kind: FindingKind
    conditions: tuple[ConditionTrace, ...]
    holds: bool
    decides: bool


@dataclass(frozen=True, slots=True)
class WarningTrace:
    """One structure warning and what it saw; `number` is its 1-based place."""

    number: int
    warning: StructureWarning
    conditions: tuple[ConditionTrace, ...]
    holds: bool


@dataclass(frozen=True, slots=True)
class GateTrace:
    """Something that may stand between a verdict and an action.

    Attributes:
        name: A word for programs: `maintenance`.
        closed: It stands in the way.
        seen: What was seen, for people.
        opens: What would open it.
    """

    name: str
    closed: bool
    seen: str
    opens: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an instance has the finding it has, and what keeps the finding from being told or acted upon."""

    finding: Finding
    rules: tuple[RuleTrace, ...]
    warnings: tuple[WarningTrace, ...] = ()
    gates: tuple[GateTrace, ...] = ()


@dataclass(frozen=True, slots=True)
class TopologyDelta:
    """What changed in a topology since the event before."""

    changed_instances: tuple[Instance, ...] = ()
    removed_instances: tuple[InstanceKey, ...] = ()
    changed_clusters: tuple[Cluster, ...] = ()
    removed_cluster_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """The topology is as it was.

    Attributes:
        staleness: Time since any probe ended; None when none ever did.
    """

    staleness: timedelta | None = None
