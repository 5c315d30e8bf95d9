"""What stands between a finding and an automatic recovery, in order. Pure.

The first gate that is closed is told, with what would open it; nothing is done silently, and nothing is silently not
done. An operator's request passes the gates that protect from automatic mistakes (downtime, anti-flapping, a failed
attempt), never those that protect from two writers (lease, policy, an open recovery).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.recovery.model import (
    Blocked,
    Blocker,
    Finding,
    Leadership,
    Policy,
    Record,
    RecoveryForbidden,
    RecoveryKind,
    RecoveryState,
)

RECOVERABLE: Final = frozenset({"DEAD_PRIMARY", "DEAD_PRIMARY_AND_SOME_REPLICAS"})
"""Findings that a recovery exists for."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the gates look at beside the finding.

    Attributes:
        leadership: Who leads, as the local member knows it.
        lease_live: The lease `recovery` is held here and has not run out.
        records: All records that are kept.
        block_period: How long after a completed promotion no automatic one follows in the same cluster.
        now: The time, by the clock that also stamps the records.
        superseded: Why the instance is not the primary of its cluster any more; empty when it may be.
        forbidden: What the log refused the recovery for when it was last tried, as long as that has not changed.
    """

    leadership: Leadership
    lease_live: bool
    policy: Policy
    records: Sequence[Record]
    block_period: timedelta
    now: datetime
    superseded: str = ""
    forbidden: RecoveryForbidden | None = None

    def open_record(self, cluster_id: str) -> Record | None:
        """Return the open recovery of a cluster."""
        return next((each for each in self.records if each.open and each.recovery.cluster_id == cluster_id), None)


Gate = Callable[[Finding, Circumstances], tuple[Blocker, str] | None]


def _lease(_: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    leader = seen.leadership
    if seen.lease_live and leader.local:
        return None
    if leader.local:
        return (
            Blocker.NOT_LEADER,
            "this node leads but does not hold the lease `recovery` yet; it acquires it by itself",
        )
    if not leader.leader:
        return (
            Blocker.NO_QUORUM,
            "nobody leads the group: it acts again as soon as a majority of the nodes is in contact",
        )
    where = f" at {leader.recovery_endpoint}" if leader.recovery_endpoint else ""
    return Blocker.NOT_LEADER, f"{leader.leader} leads{where}: it acts, and its own list says what blocks it"


def _policy(_: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    if seen.policy is Policy.ACT:
        return None
    return Blocker.POLICY, f"policy is `{seen.policy.value}`; PRIMACY_RECOVERY_POLICY=act lets recovery act"


def _downtime(finding: Finding, _: Circumstances) -> tuple[Blocker, str] | None:
    if not finding.downtimed:
        return None
    return Blocker.DOWNTIME, f"{finding.instance} is in downtime; it ends by itself, or start the recovery by hand"


def _forbidden(_: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    return None if seen.forbidden is None else (seen.forbidden.blocker, seen.forbidden.reason)


def _actionable(finding: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    if finding.actionable and finding.kind in RECOVERABLE:
        return (
            (Blocker.NOT_ACTIONABLE, f"{seen.superseded}; re-point or rebuild its replicas")
            if seen.superseded
            else None
        )
    return Blocker.NOT_ACTIONABLE, f"no recovery exists for {finding.orchestrator_code}; it is for a person to decide"


def _open_recovery(finding: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    record = seen.open_record(finding.cluster_id)
    if record is None:
        return None
    return Blocker.RECOVERY_OPEN, f"recovery {record.recovery.recovery_id} of this cluster is running; wait for its end"


def _anti_flapping(finding: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    """Only completed promotions count, in this cluster or of this very instance (section 4.1 of the specification)."""
    for record in seen.records:
        recovery = record.recovery
        concerns = recovery.cluster_id == finding.cluster_id or recovery.successor == finding.instance
        if not concerns or not recovery.state.promoted or recovery.kind is not RecoveryKind.DEAD_PRIMARY:
            continue
        if record.close_time is not None and seen.now < record.close_time + seen.block_period:
            until = record.close_time + seen.block_period
            return Blocker.ANTI_FLAPPING, (
                f"recovery {recovery.recovery_id} promoted {recovery.successor} at {record.close_time:%H:%M:%S} UTC; "
                f"automatic recovery is possible again at {until:%Y-%m-%d %H:%M:%S} UTC, by hand at once"
            )
    return None


def _last_attempt(finding: Finding, seen: Circumstances) -> tuple[Blocker, str] | None:
    attempts = [
        each for each in seen.records
        if each.close_time is not None and each.recovery.failed == finding.instance
        and each.recovery.kind is RecoveryKind.DEAD_PRIMARY
    ]  # fmt: skip
    if not attempts:
        return None
    last = max(attempts, key=_closed)
    assert last.close_time is not None
    same = last.recovery.orchestrator_code == finding.orchestrator_code
    newer = finding.detect_time is not None and finding.detect_time > last.close_time
    if last.recovery.state is not RecoveryState.FAILED or not same or newer:
        return None
    return Blocker.LAST_ATTEMPT_FAILED, (
        f"recovery {last.recovery.recovery_id} failed: {last.recovery.error}; "
        "it is repeated when the finding changes, or when it is started by hand"
    )


def _closed(record: Record) -> tuple[datetime, int]:
    assert record.close_time is not None
    return record.close_time, record.log_index


_GATES: Final[tuple[Gate, ...]] = (  # The first closed one is told.
    _lease,
    _policy,
    _downtime,
    _actionable,
    _open_recovery,
    _anti_flapping,
    _last_attempt,
    _forbidden,
)


def first_blocker(finding: Finding, seen: Circumstances) -> Blocked | None:
    """Return what keeps a finding from an automatic recovery, or None when nothing does."""
    for gate in _GATES:
        closed = gate(finding, seen)
        if closed is not None:
            blocker, reason = closed
            return Blocked(finding.cluster_id, finding.instance, finding.orchestrator_code, blocker, reason)
    return None
