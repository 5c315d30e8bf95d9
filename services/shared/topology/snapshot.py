"""Clusters and snapshots as immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


@dataclass(frozen=True, slots=True)
class Cluster:
    """One replication topology under one primary. Field by field as in `topology.proto`."""

    cluster_id: str
    alias: str
    primary: InstanceKey | None = None
    instance_count: int = 0
    problem_count: int = 0
    epoch: int = 0
    domain: str = ""
    former_aliases: tuple[str, ...] = ()
    alias_from_registry: bool = False
    group_name: str = ""
    suspect_count: int = 0


@dataclass(frozen=True, slots=True)
class TopologySnapshot:
    """All of it at one revision."""

    revision: int = 0
    snapshot_time: datetime | None = None
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    instances: Mapping[InstanceKey, Instance] = field(default_factory=dict)

    def direct_replicas(self, source: InstanceKey) -> tuple[Instance, ...]:
        """Return the instances that are configured to read from `source`, by endpoint, whatever their threads do."""
        found = (instance for instance in self.instances.values() if source in instance.sources)
        return tuple(sorted(found, key=lambda instance: instance.key))
