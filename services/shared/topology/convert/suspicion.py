"""Suspicions and their evidence <-> messages."""

from __future__ import annotations

from typing import Final

from primacy.topology.v1 import topology_pb2 as pb

from services.shared.topology.convert.key import key_from_proto, key_to_proto
from services.shared.topology.convert.times import (
    duration_from_proto,
    duration_to_proto,
    time_from_proto,
    time_to_proto,
)
from services.shared.topology.suspicion import Evidence, EvidenceKind, Suspicion, SuspicionCause

_CAUSES: Final = {
    pb.SUSPICION_CAUSE_UNSPECIFIED: SuspicionCause.UNKNOWN,
    pb.SUSPICION_CAUSE_CONNECTION_CLOSED: SuspicionCause.CONNECTION_CLOSED,
    pb.SUSPICION_CAUSE_UNASKED_PACKET: SuspicionCause.UNASKED_PACKET,
    pb.SUSPICION_CAUSE_SLOW: SuspicionCause.SLOW,
    pb.SUSPICION_CAUSE_FAILED: SuspicionCause.FAILED,
    pb.SUSPICION_CAUSE_REPLICA_LOST_SOURCE: SuspicionCause.REPLICA_LOST_SOURCE,
    pb.SUSPICION_CAUSE_HEARTBEAT_OVERDUE: SuspicionCause.HEARTBEAT_OVERDUE,
    pb.SUSPICION_CAUSE_KEEPALIVE: SuspicionCause.KEEPALIVE,
    pb.SUSPICION_CAUSE_ASKED: SuspicionCause.ASKED,
}
_CAUSES_OUT: Final = {value: name for name, value in _CAUSES.items()}
_KINDS: Final = {
    pb.EVIDENCE_KIND_UNSPECIFIED: EvidenceKind.UNKNOWN,
    pb.EVIDENCE_KIND_ANSWERED: EvidenceKind.ANSWERED,
    pb.EVIDENCE_KIND_REFUSED: EvidenceKind.REFUSED,
    pb.EVIDENCE_KIND_LOST: EvidenceKind.LOST,
    pb.EVIDENCE_KIND_TIMED_OUT: EvidenceKind.TIMED_OUT,
    pb.EVIDENCE_KIND_RECEIVES: EvidenceKind.RECEIVES,
    pb.EVIDENCE_KIND_LOST_SOURCE: EvidenceKind.LOST_SOURCE,
    pb.EVIDENCE_KIND_SILENT: EvidenceKind.SILENT,
    pb.EVIDENCE_KIND_STOPPED: EvidenceKind.STOPPED,
    pb.EVIDENCE_KIND_OBSERVER_NOT_READ: EvidenceKind.OBSERVER_NOT_READ,
}
_KINDS_OUT: Final = {value: name for name, value in _KINDS.items()}


def suspicion_to_proto(suspicion: Suspicion | None) -> pb.Suspicion | None:
    """Return the suspicion; None stays None (an absent field)."""
    if suspicion is None:
        return None
    return pb.Suspicion(
        begin_time=time_to_proto(suspicion.begin_time),
        complete_time=time_to_proto(suspicion.complete_time),
        cause=_CAUSES_OUT[suspicion.cause],
        evidence=[_evidence_to_proto(evidence) for evidence in suspicion.evidence],
    )


def suspicion_from_proto(message: pb.Suspicion) -> Suspicion:
    """Return the suspicion; ask `HasField` first."""
    return Suspicion(
        begin_time=time_from_proto(message.begin_time),
        complete_time=time_from_proto(message.complete_time) if message.HasField("complete_time") else None,
        cause=_CAUSES.get(message.cause, SuspicionCause.UNKNOWN),
        evidence=tuple(_evidence_from_proto(evidence) for evidence in message.evidence),
    )


def _evidence_to_proto(evidence: Evidence) -> pb.Evidence:
    return pb.Evidence(
        observer=key_to_proto(evidence.observer),
        kind=_KINDS_OUT[evidence.kind],
        error_number=evidence.error_number,
        observe_time=time_to_proto(evidence.observe_time),
        age=duration_to_proto(evidence.age),
    )


def _evidence_from_proto(message: pb.Evidence) -> Evidence:
    return Evidence(
        observer=key_from_proto(message.observer) if message.HasField("observer") else None,
        kind=_KINDS.get(message.kind, EvidenceKind.UNKNOWN),
        observe_time=time_from_proto(message.observe_time),
        error_number=message.error_number,
        age=duration_from_proto(message.age) if message.HasField("age") else None,
    )
