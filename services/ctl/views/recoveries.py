"""Recoveries: a list, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from primacy.recovery.v1 import recovery_pb2 as pb

from services.ctl.text import Line, bad, columns, dim, line, strong
from services.ctl.views.plan import (
    candidate_lines,
    loss_line,
    lost_replicas_lines,
    phases_line,
    recovery_state,
    section,
    steps_lines,
)
from services.ctl.words import endpoint_text, span_text, time_text


def recoveries_lines(recoveries: Sequence[pb.Recovery]) -> list[Line]:
    """Return one line per recovery, in the order given."""
    if not recoveries:
        return [line("no recovery was ever started")]
    return columns([recovery_cells(recovery) for recovery in recoveries])


def recovery_cells(recovery: pb.Recovery) -> tuple[Line, ...]:
    """Return the cells of a recovery's line: when, state, from, to, how long, cluster, id."""
    return (
        line(time_text(recovery.start_time) if recovery.HasField("start_time") else "-"),
        line(recovery_state(recovery)),
        line(_what(recovery)),
        line(_took(recovery)),
        line(recovery.cluster_alias or recovery.cluster_id),
        line(dim(recovery.recovery_id)),
    )


def recovery_lines(recovery: pb.Recovery) -> list[Line]:
    """Return a recovery in full."""
    return [
        line("recovery ", strong(recovery.recovery_id), " ", recovery_state(recovery), ": ", strong(_what(recovery))),
        *_facts(recovery),
        *section("candidates", candidate_lines(recovery.candidates)),
        *section("steps", steps_lines(recovery.steps)),
        *section("stopped, its lease gone", [_stop(stop) for stop in recovery.stops]),
        *([line(strong("error"), " ", bad(recovery.error))] if recovery.error else []),
        *([loss_line(recovery.loss)] if recovery.HasField("loss") else []),
        *lost_replicas_lines(recovery.lost_replicas),
        *phases_line(recovery),
    ]


def _facts(recovery: pb.Recovery) -> list[Line]:
    started = time_text(recovery.start_time) if recovery.HasField("start_time") else "not yet"
    why = [
        recovery.orchestrator_code,
        f"cluster {recovery.cluster_alias or recovery.cluster_id}",
        f"by {recovery.started_by}" if recovery.started_by else "",
        f"on {recovery.node}" if recovery.node else "",
    ]
    when = [
        f"fencing token {recovery.fencing_token}",
        f"epoch {recovery.epoch}" if recovery.epoch else "not published",
        f"started {started}",
        f"took {_took(recovery)}" if recovery.HasField("end_time") else "",
    ]
    return [line("  ", dim(", ".join(word for word in words if word))) for words in (why, when)]


def _stop(stop: pb.Stop) -> Line:
    outcome = "everything sent had been answered" if stop.outcome_known else f"no answer to: {stop.statement}"
    return line(f"step {stop.step} at {time_text(stop.stop_time)} under token {stop.fencing_token}: {outcome}")


def _what(recovery: pb.Recovery) -> str:
    failed = endpoint_text(recovery.failed)
    if recovery.kind == pb.RECOVERY_KIND_FORMER_PRIMARY:
        return f"{failed} made read-only"
    successor = endpoint_text(recovery.successor) if recovery.HasField("successor") else "?"
    return f"{failed} -> {successor}"


def _took(recovery: pb.Recovery) -> str:
    if not recovery.HasField("end_time") or not recovery.HasField("start_time"):
        return "..."
    took = recovery.end_time.ToDatetime() - recovery.start_time.ToDatetime()
    return span_text(max(timedelta(), took))
