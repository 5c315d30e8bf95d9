"""What is weak in clusters, and what was found before."""

from __future__ import annotations

from collections.abc import Sequence

from primacy.analysis.v1 import analysis_pb2 as pb

from services.ctl.text import Line, dim, good, indent, line, strong, warn
from services.ctl.words import duration_text, endpoint_text, enum_word, time_text


def advice_lines(advice: Sequence[pb.Advice]) -> list[Line]:
    """Return each advice: what is weak and where, what was seen, what mends it."""
    body = [content for each in advice for content in _advice(each)]
    return body or [line(good("nothing to advise"))]


def _advice(advice: pb.Advice) -> list[Line]:
    kind = enum_word(pb.AdviceKind, advice.kind, "ADVICE_KIND_")
    head = line(warn(kind), " ", strong(endpoint_text(advice.instance)), dim(f"  cluster {advice.cluster_id}"))
    return [head, *indent([line(advice.seen), line("mend it: ", advice.remedy)])]


def changes_lines(changes: Sequence[pb.FindingChange]) -> list[Line]:
    """Return changes of findings, one a line, newest first."""
    return [_change(change) for change in changes] or [line("no change since analysis was started")]


def _change(change: pb.FindingChange) -> Line:
    return line(
        dim(time_text(change.change_time)),
        "  ",
        strong(endpoint_text(change.instance)),
        f"  {change.orchestrator_before} -> {change.orchestrator_after}",
        dim(f"  after {duration_text(change.lasted)}"),
    )
