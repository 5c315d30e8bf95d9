"""What this node knows at the moment: topology, findings, records, primaries, who leads. No I/O.

Each part is fed by one stream; a part that was never fed is not known, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.recovery.model import Finding, Leadership, Primary, Record
from services.shared.runtime.errors import ClusterUnknown
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot


@dataclass
class World:
    """The newest of everything.

    Attributes:
        agreements: Grows whenever what the group has agreed on (downtimes, switches, policies) has changed.
        synced: Names of the parts that were fed at least once.
    """

    leadership: Leadership = field(default_factory=Leadership)
    snapshot: TopologySnapshot = field(default_factory=TopologySnapshot)
    findings: dict[InstanceKey, Finding] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    primaries: dict[str, Primary] = field(default_factory=dict)
    agreements: int = 0
    synced: set[str] = field(default_factory=set)

    @property
    def ready(self) -> bool:
        """Everything that decisions need has been heard at least once."""
        return {"topology", "findings", "records", "primaries"} <= self.synced

    def replace_topology(self, snapshot: TopologySnapshot) -> None:
        """Take a whole snapshot."""
        self.snapshot = snapshot
        self.synced.add("topology")

    def change_topology(
        self,
        revision: int,
        instances: Iterable[Instance],
        removed: Collection[InstanceKey],
        clusters: Iterable[Cluster],
        removed_clusters: Collection[str],
        snapshot_time: datetime | None = None,
    ) -> None:
        """Take what changed since the snapshot, or the change, before."""
        kept = {key: each for key, each in self.snapshot.instances.items() if key not in removed}
        kept.update({each.key: each for each in instances})
        known = {name: each for name, each in self.snapshot.clusters.items() if name not in removed_clusters}
        known.update({each.cluster_id: each for each in clusters})
        when = snapshot_time or self.snapshot.snapshot_time
        self.snapshot = replace(self.snapshot, revision=revision, snapshot_time=when, clusters=known, instances=kept)

    def change_findings(
        self, changed: Iterable[Finding], ended: Iterable[InstanceKey], *, first: bool
    ) -> tuple[Finding, ...]:
        """Take new findings, all of them when `first`; return those that are new or changed."""
        if first:
            self.findings.clear()
            self.synced.add("findings")
        for key in ended:
            self.findings.pop(key, None)
        taken = tuple(changed)
        for finding in taken:
            if finding.kind == "NO_PROBLEM":
                self.findings.pop(finding.instance, None)
            else:
                self.findings[finding.instance] = finding
        return taken

    def change_records(self, records: Iterable[Record], *, first: bool) -> None:
        """Take new records, all of them when `first`; an older state of a record never replaces a newer one."""
        if first:
            self.records.clear()
            self.synced.add("records")
        for record in records:
            self.note_record(record)

    def note_record(self, record: Record) -> None:
        """Take one record, unless a newer state of it is known."""
        known = self.records.get(record.recovery.recovery_id)
        if known is None or known.log_index <= record.log_index:
            self.records[record.recovery.recovery_id] = record

    def change_primaries(self, primaries: Iterable[Primary], *, first: bool) -> None:
        """Take new entries of the directory; one of an older epoch never replaces a newer one."""
        if first:
            self.synced.add("primaries")
        for primary in primaries:
            known = self.primaries.get(primary.cluster_id)
            if known is None or known.epoch <= primary.epoch:
                self.primaries[primary.cluster_id] = primary

    def open_record(self, cluster_id: str) -> Record | None:
        """Return the open recovery of a cluster."""
        return next(
            (each for each in self.records.values() if each.open and each.recovery.cluster_id == cluster_id), None
        )

    def cluster_of(self, name: str) -> str:
        """Return the id of a cluster given by its id or its exact alias; empty stays empty.

        Raises:
            ClusterUnknown: Neither discovery nor a record knows it.
        """
        if not name or name in self.snapshot.clusters:
            return name
        aliases = {each.recovery.cluster_alias: each.recovery.cluster_id for each in self.records.values()}
        aliases.update({cluster.alias: cluster.cluster_id for cluster in self.snapshot.clusters.values()})
        known = {each.recovery.cluster_id for each in self.records.values()}
        if name in aliases:
            return aliases[name]
        if name in known:
            return name
        raise ClusterUnknown(name)
