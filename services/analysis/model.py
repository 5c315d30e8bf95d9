"""What analysis knows and says, as immutable values: findings, counts, explanations."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.shared.topology.instance import Cluster, Instance, InstanceKey


class FindingKind(enum.Enum):
    """What can be wrong with an instance; the value is the name orchestrator has for it."""

    NO_PROBLEM = "NoProblem"
    DEAD_PRIMARY_WITHOUT_REPLICAS = "DeadMasterWithoutReplicas"
    DEAD_PRIMARY = "DeadMaster"
    DEAD_PRIMARY_AND_REPLICAS = "DeadMasterAndReplicas"
    DEAD_PRIMARY_AND_SOME_REPLICAS = "DeadMasterAndSomeReplicas"
    UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS = "UnreachableMasterWithLaggingReplicas"
    UNREACHABLE_PRIMARY = "UnreachableMaster"
    LOCKED_SEMI_SYNC_PRIMARY = "LockedSemiSyncMaster"
    LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS = "LockedSemiSyncMasterHypothesis"
    PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS = "MasterWithTooManySemiSyncReplicas"
    READ_ONLY_PRIMARY = "NoWriteableMasterStructureWarning"
    PRIMARY_SINGLE_REPLICA_NOT_REPLICATING = "MasterSingleReplicaNotReplicating"
    PRIMARY_SINGLE_REPLICA_DEAD = "MasterSingleReplicaDead"
    ALL_PRIMARY_REPLICAS_NOT_REPLICATING = "AllMasterReplicasNotReplicating"
    ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD = "AllMasterReplicasNotReplicatingOrDead"

    @property
    def orchestrator_code(self) -> str:
        """The failure code users migrate from."""
        return self.value

    @property
    def actionable(self) -> bool:
        """Whether a recovery exists for it."""
        return self in _ACTIONABLE


_ACTIONABLE = frozenset(
    {
        FindingKind.DEAD_PRIMARY,
        FindingKind.DEAD_PRIMARY_AND_SOME_REPLICAS,
        FindingKind.LOCKED_SEMI_SYNC_PRIMARY,
        FindingKind.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS,
        FindingKind.READ_ONLY_PRIMARY,
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the rules draw their lines.

    Attributes:
        lag: A replica that lags more than this is lagging.
        locked_semi_sync: How long the binary log position must stand still before a lock counts as proven;
            None takes `lag`.
        enforce_exact_semi_sync_replicas: More semi-synchronous replicas than the primary waits for are a finding.
        recover_non_writeable_primary: A read-only primary is a finding.
    """

    lag: timedelta = timedelta(seconds=10)
    locked_semi_sync: timedelta | None = None
    enforce_exact_semi_sync_replicas: bool = False
    recover_non_writeable_primary: bool = False

    @property
    def standstill(self) -> timedelta:
        """How long a binary log position must stand still to be stale."""
        return self.locked_semi_sync or self.lag


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """What was counted over the direct replicas of an instance.

    `replicating + failing_to_connect <= valid <= replicas`, and no count exceeds `replicas`.

    Attributes:
        replicas: All.
        valid: Those whose last probe succeeded.
        replicating: Valid ones with both threads running that still hear from the instance.
        failing_to_connect: Valid ones whose SQL thread runs and whose IO thread cannot connect.
        lagging: Those that lag more than the limit, valid or not.
        delayed: Those with a configured delay.
        downtimed: Those in downtime.
    """

    replicas: int = 0
    valid: int = 0
    replicating: int = 0
    failing_to_connect: int = 0
    lagging: int = 0
    delayed: int = 0
    downtimed: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds for one instance. Field by field as in `analysis.proto`.

    Attributes:
        detect_time: When the kind began to hold; None for `NO_PROBLEM`.
        evidence_time: End of the newest probe among the instance and its replicas at that moment.
    """

    instance: InstanceKey
    kind: FindingKind
    cluster_id: str = ""
    cluster_alias: str = ""
    server_uuid: str = ""
    description: str = ""
    actionable: bool = False
    downtimed: bool = False
    counts: ReplicaCounts = field(default_factory=ReplicaCounts)
    replicas: tuple[InstanceKey, ...] = ()
    detect_time: datetime | None = None
    evidence_time: datetime | None = None

    @property
    def place(self) -> tuple[int, str, int]:
        """Sort key of lists: more replicas first, then host and port. Only primaries have findings."""
        return (-self.counts.replicas, self.instance.host, self.instance.port)


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
class Explanation:
    """Why an instance has the finding it has."""

    finding: Finding
    rules: tuple[RuleTrace, ...]


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
