"""What a plan starts from: the topology, what failed, what people want. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.recovery.model import RecoveryKind
from services.recovery.policy import DEFAULT_POLICY, PlanningPolicy
from services.shared.mysql.gtid import GtidSet
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import Reading
from services.shared.topology.snapshot import TopologySnapshot


def with_readings(snapshot: TopologySnapshot, readings: Sequence[Instance]) -> TopologySnapshot:
    """Return a snapshot with some instances replaced by newer readings."""
    return replace(snapshot, instances={**snapshot.instances, **{each.key: each for each in readings}})


def unreadable(instance: Instance, error: str) -> Instance:
    """Return an instance as it counts after a read of it failed."""
    reading = replace(instance.reading, last_check_valid=False, error=error)
    return replace(instance, reading=reading)


def instance_of(snapshot: TopologySnapshot, key: InstanceKey) -> Instance:
    """Return an instance as last seen; one that never was is empty."""
    return snapshot.instances.get(key, Instance(key, reading=Reading(error="never seen")))


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan starts from.

    Attributes:
        snapshot: The topology, with the newest readings there are.
        failed: The instance that failed, or, for a switchover, the primary.
        now: The time readings are compared with.
        policy: What steers the choice.
        kind: What is planned.
        target: Who was named to take over.
        any_target: A switchover may go to whoever is best when nobody is named.
        fenced: Executed set of the failed primary, read after it was made read-only; None when it was not reached.
        excluded: Replicas that died during this recovery.
        passed_over: Replicas that were to replace the most advanced one and did not catch up with it.
    """

    snapshot: TopologySnapshot
    failed: InstanceKey
    now: datetime
    policy: PlanningPolicy = DEFAULT_POLICY
    kind: RecoveryKind = RecoveryKind.DEAD_PRIMARY
    target: InstanceKey | None = None
    any_target: bool = False
    fenced: GtidSet | None = None
    excluded: frozenset[InstanceKey] = frozenset()
    passed_over: frozenset[InstanceKey] = frozenset()

    @property
    def primary(self) -> Instance:
        """The failed instance as last seen."""
        return instance_of(self.snapshot, self.failed)

    @property
    def replicas(self) -> tuple[Instance, ...]:
        """Its direct replicas, by endpoint."""
        return tuple(
            unreadable(replica, "it died during this recovery") if replica.key in self.excluded else replica
            for replica in self.snapshot.direct_replicas(self.failed)
        )

    @property
    def cluster_id(self) -> str:
        """Cluster of the failed instance, as far as anybody knows it."""
        known = (self.primary, *self.replicas)
        return next((each.cluster_id for each in known if each.cluster_id), "")
