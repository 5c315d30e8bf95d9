"""The names of what can be wrong, and what follows from each: the columns of the decision table beside its conditions.

Section numbers are those of the failure analysis the table follows. The value of an enum member is the name that
orchestrator has for it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


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
    DEAD_CO_PRIMARY = "DeadCoMaster"
    DEAD_CO_PRIMARY_AND_SOME_REPLICAS = "DeadCoMasterAndSomeReplicas"
    UNREACHABLE_CO_PRIMARY = "UnreachableCoMaster"
    ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING = "AllCoMasterReplicasNotReplicating"
    DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT = "DeadIntermediateMasterWithSingleReplicaFailingToConnect"
    DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA = "DeadIntermediateMasterWithSingleReplica"
    DEAD_INTERMEDIATE = "DeadIntermediateMaster"
    DEAD_INTERMEDIATE_AND_SOME_REPLICAS = "DeadIntermediateMasterAndSomeReplicas"
    DEAD_INTERMEDIATE_AND_REPLICAS = "DeadIntermediateMasterAndReplicas"
    UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS = "UnreachableIntermediateMasterWithLaggingReplicas"
    UNREACHABLE_INTERMEDIATE = "UnreachableIntermediateMaster"
    ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD = "AllIntermediateMasterReplicasFailingToConnectOrDead"
    ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING = "AllIntermediateMasterReplicasNotReplicating"
    BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY = "BinlogServerFailingToConnectToMaster"
    FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY = "FirstTierReplicaFailingToConnectToMaster"
    DEAD_GROUP_MEMBER_WITH_REPLICAS = "DeadReplicationGroupMemberWithReplicas"
    PRIMARY_WITHOUT_REPLICAS = "MasterWithoutReplicas"
    """Kept for its name; no rule finds it (section 4.5)."""

    @property
    def orchestrator_code(self) -> str:
        """The failure code users migrate from."""
        return self.value

    @property
    def consequence(self) -> Consequence:
        """What follows from it."""
        return CONSEQUENCES.get(self, _NOTHING)

    @property
    def actionable(self) -> bool:
        """Whether a recovery exists for it."""
        return self.consequence.actionable


class StructureWarning(enum.Enum):
    """What is weak in a topology although nothing has failed; the value is orchestrator's name (section 7)."""

    NO_LOGGING_REPLICAS = "NoLoggingReplicasStructureWarning"
    NO_FAILOVER_SUPPORT = "NoFailoverSupportStructureWarning"
    STATEMENT_AND_MIXED_LOGGING_REPLICAS = "StatementAndMixedLoggingReplicasStructureWarning"
    STATEMENT_AND_ROW_LOGGING_REPLICAS = "StatementAndRowLoggingReplicasStructureWarning"
    MIXED_AND_ROW_LOGGING_REPLICAS = "MixedAndRowLoggingReplicasStructureWarning"
    MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS = "MultipleMajorVersionsLoggingReplicasStructureWarning"
    DIFFERENT_GTID_MODES = "DifferentGTIDModesStructureWarning"
    ERRANT_GTID = "ErrantGTIDStructureWarning"
    READ_ONLY_PRIMARY = "NoWriteableMasterStructureWarning"
    NOT_ENOUGH_SEMI_SYNC_REPLICAS = "NotEnoughValidSemiSyncReplicasStructureWarning"

    @property
    def orchestrator_name(self) -> str:
        """The name users migrate from."""
        return self.value


class Emergency(enum.Enum):
    """What would make the next verdict better informed; never changes the present one (section 6)."""

    READ_INSTANCE = "read the instance"
    READ_SOURCE = "read its source"
    READ_REPLICAS = "read its replicas"
    RESTART_REPLICATION = "restart the IO threads of its replicas"
    NOTE_POSITION = "remember its binary log position"


class RecoveryClass(enum.Enum):
    """Which recovery is meant for a finding."""

    DEAD_PRIMARY = "dead primary"
    DEAD_CO_PRIMARY = "dead co-primary"
    DEAD_INTERMEDIATE = "dead intermediate"
    GROUP_MEMBER = "group member"
    LOCKED_SEMI_SYNC = "locked semi-sync"
    TOO_MANY_SEMI_SYNC = "too many semi-sync"
    READ_ONLY_PRIMARY = "read-only primary"


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a finding.

    Attributes:
        recovery: The recovery that is meant for it; None when it is not actionable.
        registered: A detection is registered and detection hooks run.
        emergency: What is worth reading again, or restarting, at once.
        graced: Not actionable while its replicas still feel a restart of their replication (section 6.3).
        about_replicas: Skipped when every direct replica is in downtime (section 9.1).
    """

    recovery: RecoveryClass | None = None
    registered: bool = False
    emergency: tuple[Emergency, ...] = ()
    graced: bool = False
    about_replicas: bool = False

    @property
    def actionable(self) -> bool:
        """Whether a recovery exists."""
        return self.recovery is not None


_NOTHING: Final = Consequence()
_K: Final = FindingKind
_R: Final = RecoveryClass
_E: Final = Emergency

CONSEQUENCES: Final[Mapping[FindingKind, Consequence]] = {
    _K.DEAD_PRIMARY: Consequence(_R.DEAD_PRIMARY, registered=True, graced=True),
    # The reference reads the source of a primary here, which has none: its replicas are of use instead.
    _K.DEAD_PRIMARY_AND_REPLICAS: Consequence(registered=True, emergency=(_E.READ_INSTANCE, _E.READ_REPLICAS)),
    _K.DEAD_PRIMARY_AND_SOME_REPLICAS: Consequence(_R.DEAD_PRIMARY, registered=True, graced=True),
    _K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS: Consequence(registered=True, emergency=(_E.RESTART_REPLICATION,)),
    _K.UNREACHABLE_PRIMARY: Consequence(registered=True, emergency=(_E.READ_INSTANCE, _E.READ_REPLICAS)),
    _K.LOCKED_SEMI_SYNC_PRIMARY: Consequence(_R.LOCKED_SEMI_SYNC, registered=True, graced=True),
    _K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS: Consequence(emergency=(_E.READ_INSTANCE, _E.NOTE_POSITION)),
    _K.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS: Consequence(_R.TOO_MANY_SEMI_SYNC, registered=True),
    _K.READ_ONLY_PRIMARY: Consequence(_R.READ_ONLY_PRIMARY, registered=True),
    _K.PRIMARY_SINGLE_REPLICA_DEAD: Consequence(about_replicas=True),
    _K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING: Consequence(
        registered=True, emergency=(_E.READ_INSTANCE,), about_replicas=True
    ),
    _K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD: Consequence(
        registered=True, emergency=(_E.READ_INSTANCE,), about_replicas=True
    ),
    _K.DEAD_CO_PRIMARY: Consequence(_R.DEAD_CO_PRIMARY, registered=True),
    _K.DEAD_CO_PRIMARY_AND_SOME_REPLICAS: Consequence(_R.DEAD_CO_PRIMARY, registered=True),
    _K.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING: Consequence(about_replicas=True),
    _K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT: Consequence(
        _R.DEAD_INTERMEDIATE, registered=True, graced=True, about_replicas=True
    ),
    _K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA: Consequence(about_replicas=True),
    _K.DEAD_INTERMEDIATE: Consequence(_R.DEAD_INTERMEDIATE, registered=True, graced=True),
    _K.DEAD_INTERMEDIATE_AND_SOME_REPLICAS: Consequence(
        _R.DEAD_INTERMEDIATE, registered=True, graced=True, about_replicas=True
    ),
    _K.DEAD_INTERMEDIATE_AND_REPLICAS: Consequence(registered=True, about_replicas=True),
    _K.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS: Consequence(
        registered=True, emergency=(_E.RESTART_REPLICATION,)
    ),
    _K.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD: Consequence(
        _R.DEAD_INTERMEDIATE, registered=True, about_replicas=True
    ),
    _K.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING: Consequence(about_replicas=True),
    _K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY: Consequence(emergency=(_E.READ_SOURCE,)),
    _K.DEAD_GROUP_MEMBER_WITH_REPLICAS: Consequence(_R.GROUP_MEMBER, registered=True),
}
"""What is not listed is told and nothing else: no detection, no recovery, no emergency."""
