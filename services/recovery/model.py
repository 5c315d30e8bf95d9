"""Values of recovery: plans, recoveries and their steps, findings, what stands in the way; and its refusals."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.shared.runtime.errors import DomainError
from services.shared.topology.key import InstanceKey

AUTOMATIC: Final = "automatic"
"""Who started a recovery that nobody asked for."""


class RecoveryKind(enum.Enum):
    """What a recovery is about."""

    DEAD_PRIMARY = "dead_primary"
    """A dead primary: a replica is promoted."""
    FORMER_PRIMARY = "former_primary"
    """A former primary came back writable: it is made read-only."""
    DEAD_CO_PRIMARY = "dead_co_primary"
    """One of two primaries is dead: the other one takes over."""
    DEAD_INTERMEDIATE = "dead_intermediate"
    """A dead replica has replicas: they follow another source."""
    LOCKED_SEMI_SYNC = "locked_semi_sync"
    """Commits wait for acknowledgements that nobody can give: replicas are made semi-synchronous."""
    TOO_MANY_SEMI_SYNC_REPLICAS = "too_many_semi_sync_replicas"
    """More replicas acknowledge than the primary waits for: the surplus is switched off."""
    READ_ONLY_PRIMARY = "read_only_primary"
    """The primary is read-only: it is made writable."""
    FORCED_FAILOVER = "forced_failover"
    """Somebody wants a failover, whether the primary is dead or not."""
    FORCED_TAKEOVER = "forced_takeover"
    """The same, to a replica that is named."""
    SWITCHOVER = "switchover"
    """A healthy primary hands over to a replica without losing anything."""


class StepKind(enum.Enum):
    """A step's kind, in the order they come."""

    PREFLIGHT = "preflight"
    FENCE = "fence"
    BLOCK = "block"
    FREEZE = "freeze"
    CHOOSE = "choose"
    SEMI_SYNC = "semi_sync"
    CATCH_UP = "catch_up"
    DRAIN = "drain"
    PROMOTE = "promote"
    PUBLISH = "publish"
    REPOINT = "repoint"
    RESTORE = "restore"
    VERIFY = "verify"


class StepState(enum.Enum):
    """Where a step is in its life; the last four end it."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Nothing more comes of it."""
        return self not in (StepState.PLANNED, StepState.RUNNING)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan or a recovery. Field by field as in `recovery.proto`.

    Attributes:
        hold: Longest time its statements may run after the intent was proposed (rule F5); None: it changes no server.
        source: CATCH_UP and REPOINT: whom the instance is made to follow; None = the successor.
    """

    number: int
    kind: StepKind
    instance: InstanceKey | None = None
    statements: tuple[str, ...] = ()
    state: StepState = StepState.PLANNED
    start_time: datetime | None = None
    elapsed: timedelta | None = None
    outcome: str = ""
    error: str = ""
    remaining_statements: tuple[str, ...] = ()
    hold: timedelta | None = None
    source: InstanceKey | None = None


class Verdict(enum.Enum):
    """Why a replica was taken or not."""

    CHOSEN = "chosen"
    ELIGIBLE = "eligible"
    REFUSED = "refused"


class Refusal(enum.Enum):
    """Why a replica may not be promoted; the reasons of `recovery.proto`."""

    UNREACHABLE = "unreachable"
    NO_BINLOG = "no_binlog"
    NO_LOG_REPLICA_UPDATES = "no_log_replica_updates"
    MUST_NOT = "must_not"
    VERSION_TOO_HIGH = "version_too_high"
    BINLOG_FORMAT_TOO_LARGE = "binlog_format_too_large"
    ERRANT_GTID = "errant_gtid"
    NO_GTID = "no_gtid"
    APPLIER_FAILED = "applier_failed"
    POSITION_UNKNOWN = "position_unknown"
    CANNOT_CATCH_UP = "cannot_catch_up"
    MULTI_SOURCE = "multi_source"
    IGNORED_HOST = "ignored_host"
    OTHER_DATA_CENTER = "other_data_center"
    OTHER_REGION = "other_region"
    LAGGING = "lagging"
    APPLIER_BEHIND = "applier_behind"
    LOSS = "loss"
    NOT_DESIGNATED = "not_designated"
    NOT_REPLICATING = "not_replicating"
    FILTERS_DIFFER = "filters_differ"


@dataclass(frozen=True, slots=True)
class PromotionCandidate:
    """One replica in the choice.

    Attributes:
        rank: 1 = best; 0 = refused.
        reason: Why it was taken, passed over or refused; for a replica that is lost, also why it cannot follow.
        received_gtid_set: Everything it has: executed and received.
        missing_gtid_set: What others received and it lacks.
        source: Whom it follows afterwards; None = the successor, or nobody.
    """

    instance: InstanceKey
    verdict: Verdict
    rank: int = 0
    refusal: Refusal | None = None
    reason: str = ""
    received_gtid_set: str = ""
    missing_gtid_set: str = ""
    source: InstanceKey | None = None


class LossState(enum.Enum):
    """What is known of the loss."""

    PROVEN_NONE = "proven_none"
    BOUNDED = "bounded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Loss:
    """How much may be lost.

    Attributes:
        gtid_set: Transactions known to have been on the failed primary, or received from it, that the successor lacks.
        proof: Why, in a sentence.
    """

    state: LossState
    gtid_set: str = ""
    proof: str = ""


class PlanRefusal(enum.Enum):
    """Why a plan does not do what was asked for; as in `recovery.proto`."""

    NO_PROMOTION_CANDIDATE = "no_promotion_candidate"
    PRIMARY_NOT_FOUND = "primary_not_found"
    PRIMARY_NOT_UNIQUE = "primary_not_unique"
    NO_REPLICAS = "no_replicas"
    TARGET_NOT_INDICATED = "target_not_indicated"
    TARGET_NOT_DIRECT_REPLICA = "target_not_direct_replica"
    TARGET_NOT_DEDUCIBLE = "target_not_deducible"
    TARGET_BANNED = "target_banned"
    TARGET_LAGGING = "target_lagging"
    TARGET_NOT_PROMOTABLE = "target_not_promotable"
    SIBLINGS_NOT_RELOCATED = "siblings_not_relocated"
    VETO = "veto"
    OTHER_CO_PRIMARY_NOT_PROMOTED = "other_co_primary_not_promoted"
    NOWHERE_TO_RELOCATE = "nowhere_to_relocate"
    NOT_ENABLED = "not_enabled"
    NOTHING_TO_DO = "nothing_to_do"
    PRIMARY_READ_ONLY = "primary_read_only"
    PRIMARY_NOT_HEALTHY = "primary_not_healthy"


@dataclass(frozen=True, slots=True)
class FailoverPlan:
    """What is going to be done. Field by field as in `recovery.proto`.

    Attributes:
        chosen: Who is promoted; of a dead intermediate, the new source.
        followers: Replicas that follow the successor, or their `source`, afterwards; by endpoint.
        refusal: Why it does not do what was asked for; then there are steps only if another one is promoted instead.
        interim: The replica that has most, and feeds the chosen one before that is promoted.
        estimated_time: Until writes are accepted; None = a backlog of unknown size, or nothing is done.
    """

    cluster_id: str
    failed: InstanceKey
    chosen: InstanceKey | None
    candidates: tuple[PromotionCandidate, ...]
    steps: tuple[Step, ...]
    loss: Loss
    lost_replicas: tuple[InstanceKey, ...] = ()
    followers: tuple[InstanceKey, ...] = ()
    kind: RecoveryKind = RecoveryKind.DEAD_PRIMARY
    refusal: PlanRefusal | None = None
    refusal_reason: str = ""
    interim: InstanceKey | None = None
    estimated_time: timedelta | None = None


class RecoveryState(enum.Enum):
    """Where a recovery is in its life."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    SUCCEEDED_WITH_LOSSES = "succeeded_with_losses"
    FAILED = "failed"

    @property
    def promoted(self) -> bool:
        """A successor takes writes."""
        return self in (RecoveryState.SUCCEEDED, RecoveryState.SUCCEEDED_WITH_LOSSES)


@dataclass(frozen=True, slots=True)
class PhaseTiming:
    """Time one phase of a recovery took."""

    phase: str
    elapsed: timedelta


@dataclass(frozen=True, slots=True)
class Stop:
    """An executor stopped within a step because its lease was gone.

    Attributes:
        recovery_id: The recovery, which stays open for the next leader.
        fencing_token: Token of the executor that stopped.
        step: Number of the step.
        kind: Its kind.
        instance: `host:port` it worked on; empty = none.
        statement: What had been sent and not been answered; empty = nothing was under way at the server.
        why: Why it stopped, in a sentence.
        stop_time: When, in UTC.
    """

    recovery_id: str
    fencing_token: int
    step: int
    kind: str
    instance: str
    statement: str
    why: str
    stop_time: datetime

    @property
    def outcome_known(self) -> bool:
        """Whether it is certain what the server did: everything that was sent had been answered."""
        return not self.statement


@dataclass(frozen=True, slots=True)
class NotedStop:
    """A stop as the journal keeps it with its recovery; fields as in `Stop`."""

    fencing_token: int
    step: int
    statement: str
    outcome_known: bool
    stop_time: datetime


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery as carried out. Field by field as in `recovery.proto`."""

    recovery_id: str
    kind: RecoveryKind
    cluster_id: str
    failed: InstanceKey
    cluster_alias: str = ""
    failed_server_uuid: str = ""
    orchestrator_code: str = ""
    started_by: str = AUTOMATIC
    state: RecoveryState = RecoveryState.RUNNING
    successor: InstanceKey | None = None
    successor_server_uuid: str = ""
    candidates: tuple[PromotionCandidate, ...] = ()
    steps: tuple[Step, ...] = ()
    loss: Loss | None = None
    lost_replicas: tuple[InstanceKey, ...] = ()
    error: str = ""
    detect_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    epoch: int = 0
    node: str = ""
    fencing_token: int = 0
    phases: tuple[PhaseTiming, ...] = ()
    stops: tuple[NotedStop, ...] = ()
    interim: InstanceKey | None = None

    @property
    def counts_as_promotion(self) -> bool:
        """Anti-flapping counts it once it succeeded."""
        return self.kind is RecoveryKind.DEAD_PRIMARY

    def last_step(self, kind: StepKind, instance: InstanceKey | None = None) -> Step | None:
        """Return the newest step of a kind (of an instance, where given), or None."""
        for step in reversed(self.steps):
            if step.kind is kind and (instance is None or step.instance == instance):
                return step
        return None


@dataclass(frozen=True, slots=True)
class Record:
    """A recovery as the journal holds it.

    Attributes:
        open: True until closed.
        log_index: Log index of its last change.
        close_time: When it was closed, by the leader's clock.
    """

    recovery: Recovery
    open: bool
    fencing_token: int
    log_index: int
    register_time: datetime | None = None
    close_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one instance, as analysis says it.

    Attributes:
        kind: Name of the kind without prefix (`DEAD_PRIMARY`).
        actionable: A recovery exists for it, says analysis.
        detect_time: When it began to hold.
        evidence_time: When discovery's evidence was taken that made it hold.
        calls_for_recovery: A recovery is meant for it, or it is on the way to one; others need nothing done.
    """

    cluster_id: str
    cluster_alias: str
    instance: InstanceKey
    kind: str
    orchestrator_code: str
    actionable: bool
    server_uuid: str = ""
    description: str = ""
    downtimed: bool = False
    detect_time: datetime | None = None
    evidence_time: datetime | None = None
    calls_for_recovery: bool = True


@dataclass(frozen=True, slots=True)
class FormerPrimary:
    """A server that used to be the primary of a cluster."""

    endpoint: InstanceKey
    server_uuid: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Primary:
    """An entry of the directory: who takes the writes of a cluster."""

    cluster_id: str
    alias: str
    endpoint: InstanceKey
    server_uuid: str
    epoch: int
    former: tuple[FormerPrimary, ...] = ()


class Blocker(enum.Enum):
    """What stands between a finding and an action; the names of `recovery.proto`."""

    NOT_LEADER = "not_leader"
    NO_QUORUM = "no_quorum"
    POLICY = "policy"
    DOWNTIME = "downtime"
    RECOVERY_OPEN = "recovery_open"
    ANTI_FLAPPING = "anti_flapping"
    NO_PROMOTION_CANDIDATE = "no_promotion_candidate"
    NOT_ACTIONABLE = "not_actionable"
    LAST_ATTEMPT_FAILED = "last_attempt_failed"
    RECOVERIES_DISABLED = "recoveries_disabled"


@dataclass(frozen=True, slots=True)
class Blocked:
    """A finding nobody acts on, and why."""

    cluster_id: str
    instance: InstanceKey
    orchestrator_code: str
    blocker: Blocker
    reason: str
    since_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads the group, as the local member knows it.

    Attributes:
        leader: Name of the leading node; empty = nobody is known to lead.
        recovery_endpoint: Where the recovery service of that node is; empty = not known.
        local: The local member leads and its leader lease is live.
    """

    leader: str = ""
    recovery_endpoint: str = ""
    local: bool = False


class Policy(enum.Enum):
    """What recovery may do."""

    OBSERVE = "observe"
    """Never change a server, whoever asks."""
    ACT = "act"
    """Recover automatically, and on request."""


@dataclass
class RecoveryUnknown(DomainError):
    """No record has this id."""

    recovery_id: str

    def __str__(self) -> str:
        return f"recovery {self.recovery_id} is not known; list recoveries to see those that are kept"


@dataclass
class NoActionableFinding(DomainError):
    """Analysis has no finding about this instance that a recovery exists for, or it is not the primary any more."""

    instance: str
    problem: str = "ask analysis to explain it"

    def __str__(self) -> str:
        return f"{self.instance} has no actionable finding: {self.problem}"


@dataclass
class NoPromotionCandidate(DomainError):
    """No replica of the failed primary may be promoted."""

    instance: str
    refusals: dict[str, str] = field(default_factory=dict)
    """Reason per replica, by endpoint."""

    def __str__(self) -> str:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in sorted(self.refusals.items())) or "it has no replicas"
        return f"no replica of {self.instance} may be promoted ({reasons})"

    def facts(self) -> dict[str, str]:
        """Return the instance and the reason per replica."""
        return {"instance": self.instance, **self.refusals}


@dataclass
class RecoveryOpen(DomainError):
    """A recovery of this cluster is running."""

    cluster_id: str
    recovery_id: str

    def __str__(self) -> str:
        return f"recovery {self.recovery_id} of cluster {self.cluster_id} is running; wait until it has ended"


@dataclass
class AntiFlapping(DomainError):
    """A promotion in this cluster was completed too short a time ago for an automatic recovery."""

    cluster_id: str

    def __str__(self) -> str:
        return (
            f"a promotion in cluster {self.cluster_id} was completed too short a time ago; start the recovery by hand"
        )


@dataclass
class RecoveryForbidden(DomainError):
    """The group agreed on something that forbids a recovery; the log looked at it last (rule F7).

    Attributes:
        blocker: What it is.
        reason: Who set it, until when, and how to lift it, in a sentence.
    """

    blocker: Blocker
    reason: str

    def __str__(self) -> str:
        return self.reason

    def facts(self) -> dict[str, str]:
        """Return what forbids it."""
        return {"blocker": self.blocker.value}


@dataclass
class ObserveOnly(DomainError):
    """The policy of this suite is `observe`: nothing is ever changed."""

    policy: str = "observe"

    def __str__(self) -> str:
        return "policy is `observe`: no server is ever changed; set PRIMACY_RECOVERY_POLICY=act to allow it"


class LeaseLost(Exception):
    """The lease does not allow a statement any more: stop, and change nothing (rule F8)."""
