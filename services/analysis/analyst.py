"""The analyst: takes topology events, answers what changed in the findings. A state machine without I/O.

State: the topology, what earlier readings showed, the findings that hold. Transitions: an event of discovery, or a
moment at which a downtime or a grace ends. Invariants: at most one finding per instance; what is found only changes
with evidence from discovery (its silence changes nothing but the age of the evidence); `revision` grows with every
change; judging everything anew would find the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.analysis.advice import Advice, advise
from services.analysis.changelog import Changelog
from services.analysis.circumstances import circumstances_of, is_analysed, newest_evidence
from services.analysis.description import describe
from services.analysis.gates import Effect, Verdict, closed_gates, trace_gates
from services.analysis.kinds import FindingKind
from services.analysis.memory import Memory
from services.analysis.model import (
    Explanation,
    Finding,
    FindingChanges,
    InstanceMemory,
    Limits,
    Progress,
    TopologyDelta,
)
from services.analysis.rules import judge, trace, trace_warnings, warn
from services.analysis.view import TopologyView
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot

TopologyEvent = TopologySnapshot | TopologyDelta | Progress

# Positions are remembered as long as the situation lasts, proven or not: a proof holds while nothing moves.
_LOCKS = frozenset({FindingKind.LOCKED_SEMI_SYNC_PRIMARY, FindingKind.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS})


class Analyst:
    """Keeps the findings of one topology up to date."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._view = TopologyView()
        self._memory = Memory()
        self.changelog = Changelog()
        """What was found before."""
        self._findings: dict[InstanceKey, Finding] = {}
        self._downtime_ends: dict[InstanceKey, datetime] = {}
        self._grace_ends: dict[InstanceKey, datetime] = {}
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
        """Judge again what depends on time alone: downtimes and graces that are over."""
        touched: set[InstanceKey] = set()
        for ends in (self._downtime_ends, self._grace_ends):
            for key in [key for key, end in ends.items() if end <= now]:
                del ends[key]
                touched.add(key)
                if key in self._view.instances:
                    touched.update(self._view.instances[key].sources)
        return self._judge(touched, now)

    def next_tick(self) -> datetime | None:
        """Return when `tick` has something to do; None when nothing depends on time."""
        return min((*self._downtime_ends.values(), *self._grace_ends.values()), default=None)

    def take_over(self, memories: Iterable[InstanceMemory], now: datetime) -> FindingChanges | None:
        """Go on with what another analyst remembered."""
        touched = set()
        for memory in memories:
            touched.add(memory.instance)
            if memory.suspected_position is not None and memory.suspect_time is not None:
                self._memory.suspect_since(memory.instance, memory.suspected_position, memory.suspect_time)
            self._memory.note_pseudo_gtid(memory.instance, present=memory.pseudo_gtid)
            if memory.restart_time is not None:
                self._memory.note_restart(memory.instance, memory.restart_time)
                self._grace_ends[memory.instance] = memory.restart_time + self._limits.grace
        return self._judge(touched, now)

    def known(self) -> tuple[InstanceKey, ...]:
        """Return every instance there is a reading or a finding of, by endpoint."""
        return tuple(sorted(self._view.instances.keys() | self._findings.keys()))

    def differences(self, now: datetime, keys: Iterable[InstanceKey] | None = None) -> tuple[InstanceKey, ...]:
        """Judge instances anew and return those whose finding is not what is held, by endpoint; changes nothing.

        Incremental judgement is right as long as this is empty. Call `tick` first.

        Args:
            now: The time.
            keys: Which; None for all.
        """
        chosen = self.known() if keys is None else keys
        return tuple(sorted(key for key in chosen if self._find(key, now) != self._findings.get(key)))

    def judge_again(self, keys: Iterable[InstanceKey], now: datetime) -> FindingChanges | None:
        """Judge these instances again, whatever changed."""
        return self._judge(keys, now)

    def findings(self, cluster_ids: Iterable[str] | None = None) -> tuple[Finding, ...]:
        """Return the findings that hold, in list order; all, or those of some clusters."""
        chosen = None if cluster_ids is None else frozenset(cluster_ids)
        held = (each for each in self._findings.values() if chosen is None or each.cluster_id in chosen)
        return tuple(sorted(held, key=lambda finding: finding.place))

    def healthy(self, now: datetime) -> tuple[Finding, ...]:
        """Return the analysed instances in which nothing is wrong, as findings that say so, by endpoint."""
        found = []
        for key in sorted(self._view.instances.keys() - self._findings.keys()):
            instance = self._view.instances[key]
            if not self._is_analysed(instance):
                continue
            verdict = self._reach_verdict(instance, now)
            if verdict.clean and not closed_gates(verdict, Effect.OMITS):
                found.append(self._render(instance, verdict, now))
        return tuple(found)

    def advice(self, cluster_ids: Iterable[str] | None = None) -> tuple[Advice, ...]:
        """Return what is weak beyond the tables, in all clusters or in some; by cluster, in the order of checks."""
        chosen = sorted(self._view.clusters if cluster_ids is None else cluster_ids)
        return tuple(
            advice
            for cluster_id in chosen
            for advice in advise(
                self._view.clusters.get(cluster_id) or Cluster(cluster_id, cluster_id),
                [self._view.instances[key] for key in self._view.members(cluster_id)],
            )
        )

    def verdict(self, key: InstanceKey, now: datetime) -> Verdict | None:
        """Return what the tables say of an instance, told or not; None when it is not known, or not analysed."""
        instance = self._view.instances.get(key)
        if instance is None or not self._is_analysed(instance):
            return None
        return self._reach_verdict(instance, now)

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
        verdict = self._reach_verdict(instance, now)
        finding = self._findings.get(key) or self._render(instance, verdict, now)
        if not self._is_analysed(instance):
            return Explanation(finding, ())
        seen = verdict.circumstances
        return Explanation(finding, trace(seen), trace_warnings(seen), trace_gates(verdict))

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
        return is_analysed(instance, self._view.replica_count(instance.key), self._limits)

    def _reach_verdict(self, instance: Instance, now: datetime) -> Verdict:
        replicas = self._view.direct_replicas(instance.key)
        circumstances = circumstances_of(instance, replicas, self._memory, self._limits, now)
        return Verdict(circumstances, judge(circumstances), warn(circumstances))

    def _judge(self, touched: Iterable[InstanceKey], now: datetime) -> FindingChanges | None:
        changed: list[Finding] = []
        ended: list[InstanceKey] = []
        for key in touched:
            before = self._findings.get(key)
            after = self._find(key, now, learn=True)
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

    def _find(self, key: InstanceKey, now: datetime, *, learn: bool = False) -> Finding | None:
        """Return the finding that holds for an instance now; `learn`: keep the memory of suspected positions."""
        instance = self._view.instances.get(key)
        if instance is None:
            if learn:
                self._forget(key)
            return None
        if not self._is_analysed(instance):
            if learn:
                self._memory.clear_position(key)
            return None
        verdict = self._reach_verdict(instance, now)
        if learn:
            self._remember(instance, verdict)
            self.changelog.note(verdict, instance.cluster_id, now)
        if verdict.clean or closed_gates(verdict, Effect.OMITS):
            return None
        return self._render(instance, verdict, now)

    def _forget(self, key: InstanceKey) -> None:
        self._memory.forget(key)
        self.changelog.forget(key)
        self._downtime_ends.pop(key, None)
        self._grace_ends.pop(key, None)

    def _remember(self, instance: Instance, verdict: Verdict) -> None:
        if verdict.kind in _LOCKS:
            self._memory.suspect_position(instance)
        else:
            self._memory.clear_position(instance.key)

    def _render(self, instance: Instance, verdict: Verdict, now: datetime) -> Finding:
        kind, seen = verdict.kind, verdict.circumstances
        before = self._findings.get(instance.key)
        replicas = self._view.direct_replicas(instance.key)
        if before is not None and before.kind is kind:
            detect_time, evidence_time = before.detect_time, before.evidence_time
        elif kind is FindingKind.NO_PROBLEM:
            detect_time, evidence_time = None, newest_evidence(instance, replicas)
        else:
            detect_time, evidence_time = now, newest_evidence(instance, replicas)
        skipped, disarmed = closed_gates(verdict, Effect.SKIPS), closed_gates(verdict, Effect.DISARMS)
        return Finding(
            instance=instance.key,
            kind=kind,
            cluster_id=instance.cluster_id,
            cluster_alias=self._view.alias(instance.cluster_id),
            server_uuid=instance.server_uuid,
            description=describe(kind, verdict.warnings, seen),
            warnings=verdict.warnings,
            instance_type=seen.instance_type,
            cluster_primary=self._view.primary_of(instance.cluster_id) == instance.key,
            actionable=not disarmed,
            downtimed="downtime" in skipped,
            replicas_downtimed="replicas_downtime" in skipped,
            graced="grace" in disarmed,
            sources=seen.sources,
            counts=seen.counts,
            replicas=tuple(replica.key for replica in replicas),
            detect_time=detect_time,
            evidence_time=evidence_time,
        )
