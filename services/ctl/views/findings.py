"""Findings: what is wrong now, one block each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from primacy.analysis.v1 import analysis_pb2 as pb

from services.ctl.text import Cell, Line, bad, dim, good, indent, line, strong, warn
from services.ctl.words import age_text, endpoint_text, enum_word, span_text

STALE_AFTER: Final = timedelta(seconds=15)
"""Evidence older than three default poll periods: discovery is silent, and so the answer proves little."""


def findings_lines(findings: Sequence[pb.Finding], staleness: timedelta | None, now: datetime) -> list[Line]:
    """Return all findings; when there are none, that nothing is wrong, or that nobody looked.

    Args:
        findings: In the order of analysis.
        staleness: Age of the newest evidence; None = unknown.
        now: Present wall time.
    """
    body = [content for finding in findings for content in finding_lines(finding, now)]
    return (body or [line(good("nothing is wrong"))]) + staleness_lines(staleness)


def staleness_lines(staleness: timedelta | None) -> list[Line]:
    """Return a warning when the evidence is old or its age unknown; nothing when it is fresh."""
    if staleness is None:
        return [line(warn("how old the evidence is, is not known: analysis may have heard nothing of discovery yet"))]
    if staleness > STALE_AFTER:
        return [line(warn(f"the newest evidence is {span_text(staleness)} old: is discovery running?"))]
    return []


def finding_lines(finding: pb.Finding, now: datetime) -> list[Line]:
    """Return a finding: what and where, then why, then the counts behind it."""
    since = f" for {age_text(finding.detect_time, now)}" if finding.HasField("detect_time") else ""
    action = dim("a recovery exists") if finding.actionable else dim("for an operator")
    head: list[Cell] = [bad(finding_name(finding)), " ", strong(endpoint_text(finding.instance)), since]
    cluster = f"cluster {finding.cluster_alias or finding.cluster_id}"
    marks: list[Cell] = [part for word in _marks(finding) for part in ("  ", warn(word))]
    body = [line(finding.description), counts_line(finding.counts)]
    return [line(*head, "  ", dim(cluster), "  ", action, *marks), *indent(body)]


def _marks(finding: pb.Finding) -> list[str]:
    marks = {
        "in downtime": finding.downtimed,
        "all replicas in downtime": finding.replicas_downtimed,
        "in grace: its replicas were just reconnected": finding.graced,
    }
    return [word for word, holds in marks.items() if holds]


def finding_name(finding: pb.Finding) -> str:
    """Return orchestrator's names of a finding and its structure warnings; ours where it has none."""
    code = finding.orchestrator_code or enum_word(pb.FindingKind, finding.kind, "FINDING_KIND_")
    only_warnings = finding.kind == pb.FINDING_KIND_NO_PROBLEM and finding.orchestrator_warnings
    return ", ".join([*([] if only_warnings else [code]), *finding.orchestrator_warnings])


def counts_line(counts: pb.ReplicaCounts) -> Line:
    """Return what was counted of the replicas, in one line."""
    extra = [("lagging", counts.lagging), ("delayed", counts.delayed), ("in downtime", counts.downtimed)]
    words = [
        f"{counts.replicas} replicas",
        f"{counts.valid} answer",
        f"{counts.replicating} replicate",
        f"{counts.failing_to_connect} cannot connect",
        *(f"{number} {word}" for word, number in extra if number),
    ]
    return line(dim(", ".join(words)))
