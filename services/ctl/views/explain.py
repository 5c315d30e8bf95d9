"""Why an instance has the finding it has: the rules in order, their conditions, what was seen, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from primacy.analysis.v1 import analysis_pb2 as pb
from primacy.recovery.v1 import recovery_pb2

from services.ctl.text import Line, Span, bad, dim, good, indent, line, strong, warn
from services.ctl.views.findings import counts_line, finding_name
from services.ctl.views.status import blockers_lines
from services.ctl.words import endpoint_text, enum_word


def explain_lines(
    explanations: Sequence[pb.Explanation],
    blocked: Sequence[recovery_pb2.BlockedFinding] | None,
    now: datetime,
) -> list[Line]:
    """Return every explanation as a tree, then what stands between these findings and actions.

    Args:
        explanations: From analysis.
        blocked: The blocked findings of the same subject; None = no recovery service could be asked.
        now: Present wall time.
    """
    trees = [content for explanation in explanations for content in explanation_lines(explanation)]
    return [*trees, *(blockers_lines(blocked, now) or [line(good("nothing stands in the way of recoveries"))])]


def explanation_lines(explanation: pb.Explanation) -> list[Line]:
    """Return one instance's verdict, the counts behind it, every rule and warning with its conditions, every gate."""
    finding = explanation.finding
    healthy = finding.kind == pb.FINDING_KIND_NO_PROBLEM and not finding.structure_warnings
    name = good("no problem") if healthy else bad(finding_name(finding))
    head = line(strong(endpoint_text(explanation.instance)), ": ", name)
    told = [line(finding.description)] if finding.description and not healthy else []
    rules = [content for rule in explanation.rules for content in rule_lines(rule)]
    warnings = [content for warning in explanation.warnings for content in warning_lines(warning)]
    gates = [gate_line(gate) for gate in explanation.gates]
    return [head, *indent([*told, counts_line(finding.counts), *rules, *warnings, *gates])]


def warning_lines(warning: pb.WarningTrace) -> list[Line]:
    """Return a structure warning and, where it holds, its conditions."""
    name = f"W{warning.number} {enum_word(pb.StructureWarning, warning.warning, 'STRUCTURE_WARNING_')}: "
    if not warning.holds:
        return [line(name, dim("does not hold"))]
    return [line(name, warn("holds")), *indent([_condition(part) for part in warning.conditions], by=5)]


def gate_line(gate: pb.GateTrace) -> Line:
    """Return a gate: what was seen and, where it is closed, what would open it."""
    if not gate.closed:
        return line(f"gate {gate.name}: ", dim(f"open, {gate.seen}"))
    return line(f"gate {gate.name}: ", warn("closed"), f", {gate.seen}; what opens it: {gate.opens}")


def rule_lines(rule: pb.RuleTrace) -> list[Line]:
    """Return a rule and its conditions: `+` holds, `-` does not."""
    kind = enum_word(pb.FindingKind, rule.kind, "FINDING_KIND_")
    if rule.decides:
        verdict = strong("decides")
    else:
        verdict = Span("holds, but an earlier rule decides") if rule.holds else dim("does not hold")
    return [line(f"{rule.number:>2} {kind}: ", verdict), *indent([_condition(part) for part in rule.conditions], by=5)]


def _condition(condition: pb.ConditionTrace) -> Line:
    mark = good("+ ") if condition.holds else dim("- ")
    return line(mark, condition.text, dim(f": {condition.seen}" if condition.seen else ""))
