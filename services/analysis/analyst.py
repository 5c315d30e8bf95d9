"""The analyst: takes topology events, answers what changed in the findings. A state machine without I/O.

State: the topology, what earlier readings showed, the findings that hold. Transitions: an event of discovery, or a
moment at which a downtime ends. Invariants: at most one finding per instance; what is found only changes with evidence
from discovery (its silence changes nothing but the age of the evidence); `revision` grows with every change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.analysis.circumstances import Circumstances, circumstances_of, is_analysed, newest_evidence
from services.analysis.description import describe
from services.analysis.memory import Memory
from services.analysis.model import (
    Explanation,
    Finding,
    FindingChanges,
    FindingKind,
    Limits,
    Progress,
    TopologyDelta,
)
from services.analysis.replica import in_downtime
from services.analysis.rules import judge, trace
from services.analysis.view import TopologyView
from services.shared.topology.instance import Instance, InstanceKey, TopologySnapshot

TopologyEvent = TopologySnapshot | TopologyDelta | Progress

_LOCKS = frozenset({FindingKind.LOCKED_SEMI_SYNC_PRIMARY, FindingKind.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS})


class Analyst:
    """Keeps the findings of one topology up to date."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._view = TopologyView()
        self._memory = Memory()
        self._findings: dict[InstanceKey, Finding] = {}
        self._downtime_ends: dict[InstanceKey, datetime] = {}
        self.revision = 0
        self.synced = False
        """A snapshot was taken: an absent finding means that nothing is wrong, not that nothing is known."""
        self.evidence_time: datetime | None = None
        """End of the newest probe of any instance, as far as discovery told; None when none ever ended."""

    def take(self, event: TopologyEvent, now: datetime) -> FindingChanges | None:
        """Take an event of discovery; return what changed in the findings, None when nothing did."""
        match event:
            case Progress(staleness):
                if staleness is not None:
                    self._note_evidence(now - staleness)
                return None
            case TopologySnapshot():
                touched = self._view.replace(event)
                changed: Iterable[Instance] = event.instances.values()
                self.synced = True
            case TopologyDelta():
                touched = self._view.change(event)
                changed = event.changed_instances
        for instance in changed:
            self._note(instance)
        return self._judge(touched, now)

    def tick(self, now: datetime) -> FindingChanges | None:
        """Judge again what depends on time alone: downtimes that are over."""
        over = [key for key, end in self._downtime_ends.items() if end <= now]
        touched = set(over)
        for key in over:
            del self._downtime_ends[key]
            touched.update(self._view.instances[key].sources)
        return self._judge(touched, now)

    def next_tick(self) -> datetime | None:
        """Return when `tick` has something to do; None when nothing depends on time."""
        return min(self._downtime_ends.values(), default=None)

    def findings(self, cluster_ids: Iterable[str] | None = None) -> tuple[Finding, ...]:
        """Return the findings that hold, in list order; all, or those of some clusters."""
        chosen = None if cluster_ids is None else frozenset(cluster_ids)
        held = (each for each in self._findings.values() if chosen is None or each.cluster_id in chosen)
        return tuple(sorted(held, key=lambda finding: finding.place))

    def clusters_named(self, name: str) -> tuple[str, ...]:
        """Return the ids of the clusters with this id or exact alias."""
        return self._view.clusters_named(name)

    def analysed_members(self, cluster_id: str) -> tuple[InstanceKey, ...]:
        """Return the instances of a cluster that are worth an analysis, by endpoint."""
        return tuple(key for key in self._view.members(cluster_id) if self._is_analysed(self._view.instances[key]))

    def explain(self, key: InstanceKey, now: datetime) -> Explanation | None:
        """Return every rule with what it sees of an instance, and the verdict; None when it is not known."""
        instance = self._view.instances.get(key)
        if instance is None:
            return None
        circumstances = self._circumstances(instance, now)
        finding = self._findings.get(key) or self._render(instance, circumstances, FindingKind.NO_PROBLEM, now)
        return Explanation(finding, trace(circumstances) if self._is_analysed(instance) else ())

    def _note(self, instance: Instance) -> None:
        self._memory.note(instance)
        if instance.downtime is not None:
            self._downtime_ends[instance.key] = instance.downtime.end_time
        else:
            self._downtime_ends.pop(instance.key, None)
        if instance.reading.last_checked_time is not None:
            self._note_evidence(instance.reading.last_checked_time)

    def _note_evidence(self, time: datetime) -> None:
        if self.evidence_time is None or time > self.evidence_time:
            self.evidence_time = time

    def _is_analysed(self, instance: Instance) -> bool:
        return is_analysed(instance, self._view.replica_count(instance.key))

    def _circumstances(self, instance: Instance, now: datetime) -> Circumstances:
        replicas = self._view.direct_replicas(instance.key)
        return circumstances_of(instance, replicas, self._memory, self._limits, now)

    def _judge(self, touched: Iterable[InstanceKey], now: datetime) -> FindingChanges | None:
        changed: list[Finding] = []
        ended: list[InstanceKey] = []
        for key in touched:
            before, after = self._findings.get(key), self._find(key, now)
            if after is None and before is not None:
                del self._findings[key]
                ended.append(key)
            elif after is not None and after != before:
                self._findings[key] = after
                changed.append(after)
        if not changed and not ended:
            return None
        self.revision += 1
        in_order = sorted(changed, key=lambda finding: finding.place)
        return FindingChanges(self.revision, tuple(in_order), tuple(sorted(ended)))

    def _find(self, key: InstanceKey, now: datetime) -> Finding | None:
        """Return the finding that holds for an instance now, and keep the memory of suspected positions with it."""
        instance = self._view.instances.get(key)
        if instance is None:
            self._memory.forget(key)
            self._downtime_ends.pop(key, None)
            return None
        if not self._is_analysed(instance):
            self._memory.clear_position(key)
            return None
        circumstances = self._circumstances(instance, now)
        kind = judge(circumstances)
        if kind in _LOCKS:
            self._memory.suspect_position(instance)
        else:
            self._memory.clear_position(key)
        return None if kind is FindingKind.NO_PROBLEM else self._render(instance, circumstances, kind, now)

    def _render(self, instance: Instance, circumstances: Circumstances, kind: FindingKind, now: datetime) -> Finding:
        before = self._findings.get(instance.key)
        replicas = self._view.direct_replicas(instance.key)
        if before is not None and before.kind is kind:
            detect_time, evidence_time = before.detect_time, before.evidence_time
        elif kind is FindingKind.NO_PROBLEM:
            detect_time, evidence_time = None, newest_evidence(instance, replicas)
        else:
            detect_time, evidence_time = now, newest_evidence(instance, replicas)
        return Finding(
            instance=instance.key,
            kind=kind,
            cluster_id=instance.cluster_id,
            cluster_alias=self._view.alias(instance.cluster_id),
            server_uuid=instance.server_uuid,
            description=describe(kind, circumstances),
            actionable=kind.actionable and circumstances.read_before,
            downtimed=in_downtime(instance, now),
            counts=circumstances.counts,
            replicas=tuple(replica.key for replica in replicas),
            detect_time=detect_time,
            evidence_time=evidence_time,
        )
