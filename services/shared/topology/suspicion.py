"""Suspicions about instances, and the evidence that was gathered."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.shared.topology.key import InstanceKey


class SuspicionCause(enum.Enum):
    """What started a suspicion."""

    UNKNOWN = "unknown"
    CONNECTION_CLOSED = "connection_closed"
    UNASKED_PACKET = "unasked_packet"
    SLOW = "slow"
    FAILED = "failed"
    REPLICA_LOST_SOURCE = "replica_lost_source"
    HEARTBEAT_OVERDUE = "heartbeat_overdue"
    KEEPALIVE = "keepalive"
    ASKED = "asked"


class EvidenceKind(enum.Enum):
    """What an observer saw of a suspect; the last five are what a replica says."""

    UNKNOWN = "unknown"
    ANSWERED = "answered"
    REFUSED = "refused"
    LOST = "lost"
    TIMED_OUT = "timed_out"
    RECEIVES = "receives"
    LOST_SOURCE = "lost_source"
    SILENT = "silent"
    STOPPED = "stopped"
    OBSERVER_NOT_READ = "observer_not_read"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one observer saw of a suspect.

    Attributes:
        observer: The replica that saw it; None = the node of the prober.
        kind: What it saw.
        observe_time: When.
        error_number: MySQL's or the operating system's number; 0 = none.
        age: How old the suspect's last sign of life was to this observer then; None = not known.
    """

    observer: InstanceKey | None
    kind: EvidenceKind
    observe_time: datetime
    error_number: int = 0
    age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A suspicion about an instance, and what became of it.

    Attributes:
        begin_time: When it began.
        complete_time: When every observer had spoken, or its time was up; None = not yet.
        cause: What started it.
        evidence: What was seen since, the newest of each observer, in the order of time.
    """

    begin_time: datetime
    complete_time: datetime | None = None
    cause: SuspicionCause = SuspicionCause.UNKNOWN
    evidence: tuple[Evidence, ...] = ()
