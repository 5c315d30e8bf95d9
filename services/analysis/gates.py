"""What stands between a verdict and those who are told of it, or act on it.

An ordered table (sections 6.3 and 9 of the failure analysis it follows). A gate that omits leaves no finding at all,
for any reader. One that skips marks the finding: those who act leave it alone, and listings show it only when asked
for it. One that disarms leaves the finding and takes its recovery away.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.analysis.circumstances import Circumstances
from services.analysis.kinds import FindingKind, StructureWarning
from services.analysis.model import GateTrace


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tables say of one instance."""

    circumstances: Circumstances
    kind: FindingKind
    warnings: tuple[StructureWarning, ...] = ()

    @property
    def clean(self) -> bool:
        """There is nothing to report."""
        return self.kind is FindingKind.NO_PROBLEM and not self.warnings


class Effect(enum.Enum):
    """What a closed gate does to a finding."""

    OMITS = "omits"
    SKIPS = "skips"
    DISARMS = "disarms"


@dataclass(frozen=True, slots=True)
class Gate:
    """One reason not to tell or not to act.

    Attributes:
        name: A word for programs.
        effect: What happens to the finding.
        closed: Whether it stands in the way.
        seen: What was seen, for people.
        opens: What would open it.
    """

    name: str
    effect: Effect
    closed: Callable[[Verdict], bool]
    seen: Callable[[Verdict], str]
    opens: str

    def trace(self, verdict: Verdict) -> GateTrace:
        """Return the gate's state."""
        return GateTrace(self.name, self.closed(verdict), self.seen(verdict), self.opens)


def _ignored_by(verdict: Verdict) -> str | None:
    """Return the filter that the host name matches; ports do not matter."""
    host = verdict.circumstances.instance.host
    return next((each for each in verdict.circumstances.limits.ignored_hosts if re.search(each, host)), None)


def _ignored(verdict: Verdict) -> str:
    pattern = _ignored_by(verdict)
    return "no filter matches its host name" if pattern is None else f"the filter {pattern!r} matches its host name"


def _all_replicas_downtimed(verdict: Verdict) -> bool:
    counts = verdict.circumstances.counts
    return verdict.kind.consequence.about_replicas and counts.replicas == counts.downtimed


def _downtimed_replicas(verdict: Verdict) -> str:
    counts = verdict.circumstances.counts
    about = "is" if verdict.kind.consequence.about_replicas else "is not"
    return f"{counts.downtimed} of {counts.replicas} replicas are in downtime, and the finding {about} about them alone"


def _restarted(verdict: Verdict) -> str:
    if not verdict.circumstances.restarted:
        return "the replication of its replicas was not restarted lately"
    limit_s = verdict.circumstances.limits.grace.total_seconds()
    return f"the replication of its replicas was restarted less than {limit_s:g} s ago"


def _recovery(verdict: Verdict) -> str:
    recovery = verdict.kind.consequence.recovery
    return f"the recovery for {verdict.kind.value} is: {recovery.value}" if recovery else "no recovery exists for it"


GATES: Final[tuple[Gate, ...]] = (
    Gate(
        "maintenance",
        Effect.OMITS,
        lambda v: v.circumstances.in_maintenance,
        lambda v: "it is in maintenance" if v.circumstances.in_maintenance else "it is not in maintenance",
        "the end of the maintenance",
    ),
    Gate(
        "ignored_host",
        Effect.OMITS,
        lambda v: _ignored_by(v) is not None,
        _ignored,
        "taking the filter out of the setting recovery_ignore_hostname_filters",
    ),
    Gate(
        "downtime",
        Effect.SKIPS,
        lambda v: v.circumstances.downtimed,
        lambda v: "it is in downtime" if v.circumstances.downtimed else "it is not in downtime",
        "the end of the downtime, or a recovery started by hand",
    ),
    Gate(
        "replicas_downtime",
        Effect.SKIPS,
        _all_replicas_downtimed,
        _downtimed_replicas,
        "the end of the downtime of one replica",
    ),
    Gate(
        "recovery",
        Effect.DISARMS,
        lambda v: not v.kind.actionable,
        _recovery,
        "a person: it has to be mended by hand",
    ),
    Gate(
        "never_read",
        Effect.DISARMS,
        lambda v: not v.circumstances.read_before,
        lambda v: "it was read before" if v.circumstances.read_before else "it was never read: its role is a guess",
        "a first successful reading, or a person",
    ),
    Gate(
        "grace",
        Effect.DISARMS,
        lambda v: v.kind.consequence.graced and v.circumstances.restarted,
        _restarted,
        "the end of the grace period, by itself",
    ),
)


def closed_gates(verdict: Verdict, effect: Effect, gates: Sequence[Gate] = GATES) -> tuple[str, ...]:
    """Return the names of the gates with this effect that stand in the way of a verdict, in order."""
    return tuple(gate.name for gate in gates if gate.effect is effect and gate.closed(verdict))


def trace_gates(verdict: Verdict) -> tuple[GateTrace, ...]:
    """Return every gate, in order, with what it saw."""
    return tuple(gate.trace(verdict) for gate in GATES)
