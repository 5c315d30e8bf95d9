"""Plans and recoveries: the candidates with verdict and reason, the steps with their statements, the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from primacy.recovery.v1 import recovery_pb2 as pb
from primacy.topology.v1 import topology_pb2

from services.ctl.text import Cell, Line, Mood, Span, bad, columns, dim, indent, line, strong, warn
from services.ctl.words import duration_text, endpoint_text, enum_code, enum_word

_VERDICTS: Final[Mapping[int, Mood]] = {
    pb.CANDIDATE_VERDICT_CHOSEN: Mood.GOOD,
    pb.CANDIDATE_VERDICT_ELIGIBLE: Mood.PLAIN,
    pb.CANDIDATE_VERDICT_REFUSED: Mood.WARN,
}
_STATES: Final[Mapping[int, Mood]] = {
    pb.Step.STATE_DONE: Mood.GOOD,
    pb.Step.STATE_FAILED: Mood.BAD,
    pb.Step.STATE_UNKNOWN: Mood.BAD,
    pb.Step.STATE_RUNNING: Mood.WARN,
    pb.Step.STATE_SKIPPED: Mood.DIM,
}
_DEATHS: Final = (
    pb.RECOVERY_KIND_UNSPECIFIED,
    pb.RECOVERY_KIND_DEAD_PRIMARY,
    pb.RECOVERY_KIND_DEAD_CO_PRIMARY,
    pb.RECOVERY_KIND_DEAD_INTERMEDIATE,
)
_NOT_ABOUT_CHOICE: Final = (
    pb.PLAN_REFUSAL_NOT_ENABLED,
    pb.PLAN_REFUSAL_NOTHING_TO_DO,
    pb.PLAN_REFUSAL_NOWHERE_TO_RELOCATE,
    pb.PLAN_REFUSAL_NO_REPLICAS,
)
_LOSSES: Final[Mapping[int, tuple[str, Mood]]] = {
    pb.Loss.STATE_PROVEN_NONE: ("none, proven", Mood.GOOD),
    pb.Loss.STATE_BOUNDED: ("bounded", Mood.WARN),
    pb.Loss.STATE_UNKNOWN: ("unknown", Mood.BAD),
}


def plan_lines(plan: pb.FailoverPlan) -> list[Line]:
    """Return a plan: who would be promoted, why the others not, what would be executed, what may be lost."""
    return [
        line(_occasion(plan), _outcome(plan), dim("  (nothing was changed)")),
        *([line(strong("refused"), " ", bad(plan.refusal_reason))] if plan.refusal else []),
        *section("candidates", candidate_lines(plan.candidates)),
        *section("steps", [content for step in plan.steps for content in planned_step_lines(step)]),
        loss_line(plan.loss),
        *lost_replicas_lines(plan.lost_replicas),
        *_estimate(plan),
    ]


def _occasion(plan: pb.FailoverPlan) -> Line:
    instance = strong(endpoint_text(plan.failed))
    if plan.kind in _DEATHS:
        return line("if ", instance, " were dead: ")
    return line(enum_word(pb.RecoveryKind, plan.kind, "RECOVERY_KIND_"), " of ", instance, ": ")


def _outcome(plan: pb.FailoverPlan) -> Line:
    if not plan.HasField("chosen"):
        return line(bad("nothing can be done" if plan.refusal in _NOT_ABOUT_CHOICE else "nobody may be promoted"))
    chosen = strong(endpoint_text(plan.chosen))
    if plan.kind == pb.RECOVERY_KIND_DEAD_INTERMEDIATE:
        return line("its replicas follow ", chosen)
    return line("promote ", chosen) if plan.chosen != plan.failed else line(chosen, " stays the primary")


def _estimate(plan: pb.FailoverPlan) -> list[Line]:
    if not plan.HasField("estimated_time"):
        return []
    return [line(strong("time"), " ", f"about {duration_text(plan.estimated_time)} until writes are accepted")]


def section(title: str, body: Sequence[Line]) -> list[Line]:
    """Return a titled block; nothing when it is empty."""
    return [line(strong(title)), *indent(body)] if body else []


def candidate_lines(candidates: Sequence[pb.PromotionCandidate]) -> list[Line]:
    """Return one line per replica: rank, endpoint, verdict, reason."""
    return columns([_candidate(candidate) for candidate in candidates])


def _candidate(candidate: pb.PromotionCandidate) -> Sequence[Cell]:
    verdict = enum_word(pb.CandidateVerdict, candidate.verdict, "CANDIDATE_VERDICT_")
    refusal = enum_code(pb.RefusalReason, candidate.refusal, "REFUSAL_REASON_") + ": " if candidate.refusal else ""
    missing = [dim(f"  lacks {candidate.missing_gtid_set}")] if candidate.missing_gtid_set else []
    return (
        str(candidate.rank) if candidate.rank else "-",
        endpoint_text(candidate.instance),
        Span(verdict, _VERDICTS.get(candidate.verdict, Mood.WARN)),
        line(refusal, candidate.reason, *missing),
    )


def planned_step_lines(step: pb.Step) -> list[Line]:
    """Return a step that was not run yet: what it does, where, and its statements below."""
    where = endpoint_text(step.instance) if step.HasField("instance") else ""
    head = line(f"{step.number:>2} ", f"{step_word(step):<9} {where}".rstrip())
    return [head, *indent([line(dim(f"{statement};")) for statement in step.statements], by=5)]


def step_word(step: pb.Step) -> str:
    """Return a step's kind as a word."""
    return enum_word(pb.StepKind, step.kind, "STEP_KIND_")


def steps_lines(steps: Sequence[pb.Step]) -> list[Line]:
    """Return steps that were started: state, time, outcome, and below what remains to be done by hand."""
    heads = columns([_step(step) for step in steps])
    return [content for step, head in zip(steps, heads, strict=True) for content in (head, *_remaining(step))]


def _step(step: pb.Step) -> Sequence[Cell]:
    state = enum_word(pb.Step.State, step.state, "STATE_")
    elapsed = duration_text(step.elapsed) if step.HasField("elapsed") else ""
    return (
        f"{step.number:>2} {step_word(step)}",
        Span(state, _STATES.get(step.state, Mood.PLAIN)),
        f"{elapsed:>6}",
        endpoint_text(step.instance) if step.HasField("instance") else "",
        bad(step.error) if step.error else step.outcome,
    )


def _remaining(step: pb.Step) -> list[Line]:
    return indent([line(warn(f"remains: {statement};")) for statement in step.remaining_statements], by=5)


def loss_line(loss: pb.Loss) -> Line:
    """Return what may be lost, with its proof."""
    word, mood = _LOSSES.get(loss.state, ("not stated", Mood.WARN))
    lost = f" {loss.gtid_set}" if loss.gtid_set else ""
    proof = f": {loss.proof}" if loss.proof else ""
    return line(strong("loss"), " ", Span(word, mood), lost, proof)


def lost_replicas_lines(replicas: Sequence[topology_pb2.Endpoint]) -> list[Line]:
    """Return which replicas do not follow the successor; nothing when all do."""
    if not replicas:
        return []
    names = ", ".join(endpoint_text(replica) for replica in replicas)
    return [line(strong("lost replicas"), " ", bad(names))]


def phases_line(recovery: pb.Recovery) -> list[Line]:
    """Return where the time went; nothing when it was not measured."""
    timed = [f"{phase.phase} {duration_text(phase.elapsed)}" for phase in recovery.phases]
    return [line(strong("time"), " ", dim(", ".join(timed)))] if timed else []


def recovery_state(recovery: pb.Recovery) -> Span:
    """Return a recovery's state as a word."""
    moods = {
        pb.Recovery.STATE_RUNNING: Mood.WARN,
        pb.Recovery.STATE_SUCCEEDED: Mood.GOOD,
        pb.Recovery.STATE_SUCCEEDED_WITH_LOSSES: Mood.WARN,
        pb.Recovery.STATE_FAILED: Mood.BAD,
    }
    word = enum_word(pb.Recovery.State, recovery.state, "STATE_")
    return Span(word, moods.get(recovery.state, Mood.PLAIN))
