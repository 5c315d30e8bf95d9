"""What the decision table does not know: weaknesses of a cluster that cost writes or time when something fails.

An ordered table of checks, each of one cluster. They never change a finding. A value that was not read proves nothing
here, with one exception: a replica whose fitness to be promoted is not known is not fit.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.analysis.standing import is_primary
from services.shared.mysql.gtid import GtidFormatError, MysqlGtidSet
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance, Problem
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import PromotionRule
from services.shared.topology.server import Flavor
from services.shared.topology.snapshot import Cluster


class AdviceKind(enum.Enum):
    """What is weak; the value says it in a few words."""

    SEVERAL_WRITABLE = "several servers of the cluster take writes"
    FORMER_PRIMARY_WRITABLE = "a server that is not the primary takes writes and reads from nobody"
    ERRANT_TRANSACTIONS = "a replica has transactions that none of its ancestors has"
    SEEN_TWICE = "two endpoints lead to one server"
    REPLICA_UNFIT = "a replica may not be promoted"
    NO_FIT_REPLICA = "no replica may be promoted"
    SEMI_SYNC_WITHOUT_SPARE = "the loss of one more replica makes commits wait"
    SLOW_TIMERS = "a replica notices late that its source is gone"
    GREY_FAILURE = "a server answers and does not do its work"
    PARTIAL_PARTITION = "observers disagree on whether a server is there"


@dataclass(frozen=True, slots=True)
class Advice:
    """One weakness.

    Attributes:
        instance: Whom it is about.
        seen: What was seen, for people.
        remedy: What mends it.
    """

    kind: AdviceKind
    cluster_id: str
    instance: InstanceKey
    seen: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster, as the checks see it."""

    cluster: Cluster
    instances: Mapping[InstanceKey, Instance]

    def replicas_of(self, key: InstanceKey) -> Sequence[Instance]:
        """Return the direct replicas of an instance, by endpoint."""
        return [each for _, each in sorted(self.instances.items()) if key in each.sources]

    def in_order(self) -> Sequence[Instance]:
        """Return all instances, by endpoint."""
        return [each for _, each in sorted(self.instances.items())]

    def ancestors_of(self, instance: Instance) -> Sequence[Instance] | None:
        """Return all it reads from, directly or not, over every channel; None when one of them is not known."""
        found: dict[InstanceKey, Instance] = {}
        ahead = list(instance.sources)
        while ahead:
            key = ahead.pop()
            if key in found or key == instance.key:
                continue
            ancestor = self.instances.get(key)
            if ancestor is None or ancestor.reading.last_seen_time is None:
                return None
            found[key] = ancestor
            ahead += ancestor.sources
        return list(found.values())


Check = Callable[[ClusterView], Iterator[tuple[InstanceKey, str, str]]]
"""Yields whom it is about, what was seen, and what mends it."""

SLOWEST_HEARTBEAT: Final = timedelta(seconds=5)
"""Heartbeats that come less often let a hung primary pass for a quiet one for that long."""
SLOWEST_RETRY: Final = timedelta(seconds=10)
_GREY: Final = {
    Problem.WRITE_BLOCKED: "a write does not come back",
    Problem.DISK_FULL: "a disk is full, or read-only",
    Problem.CONNECTIONS_EXHAUSTED: "next to no connection is free",
    Problem.LATENCY_RISING: "its answers take far longer than they used to",
}


def _takes_writes(instance: Instance) -> bool:
    return instance.reading.last_check_valid and instance.read_only is False


def _several_writable(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    writable = [each for each in view.in_order() if _takes_writes(each)]
    groups = {each.group.name for each in writable if each.group is not None and each.group.single_primary is False}
    if len(writable) < 2 or (len(groups) == 1 and all(each.group is not None for each in writable)):
        return
    names = ", ".join(str(each.key) for each in writable)
    for each in writable:
        if each.key != view.cluster.primary:
            yield each.key, f"these take writes: {names}", "SET GLOBAL read_only = ON on all but the primary"


def _former_primary(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    primary = view.cluster.primary
    if primary is None or view.cluster.epoch == 0:
        return
    for each in view.in_order():
        if each.key != primary and _takes_writes(each) and is_primary(each) and each.group is None:
            yield (
                each.key,
                f"it takes writes, and the primary of epoch {view.cluster.epoch} is {primary}",
                "SET GLOBAL read_only = ON there; then let it follow the primary, or rebuild it",
            )


def _errant(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for each in view.in_order():
        errant = _errant_by_lineage(each, view) if each.errant_gtid_set else ""
        if errant:
            yield (
                each.key,
                f"none of its ancestors has {errant}",
                "keep it from being promoted; rebuild it, or commit empty transactions with these ids on the primary",
            )


def _errant_by_lineage(instance: Instance, view: ClusterView) -> str:
    """Return what is left of the errant set without all that any ancestor executed, or commits itself."""
    ancestors = view.ancestors_of(instance)
    if ancestors is None:
        return ""
    if instance.flavor is not Flavor.MYSQL:
        return instance.errant_gtid_set
    try:
        errant = MysqlGtidSet.parse(instance.errant_gtid_set)
        for ancestor in ancestors:
            errant = errant.subtract(MysqlGtidSet.parse(ancestor.executed_gtid_set))
    except GtidFormatError:
        return ""
    return str(errant.without_uuids(ancestor.server_uuid for ancestor in ancestors))


def _seen_twice(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    by_uuid: defaultdict[str, list[InstanceKey]] = defaultdict(list)
    for each in view.in_order():
        if each.server_uuid:
            by_uuid[each.server_uuid].append(each.key)
    for uuid, keys in by_uuid.items():
        for key in keys[1:]:
            remedy = f"primacy forget {key}, or give the copy a server UUID of its own (remove auto.cnf, restart)"
            yield key, f"it has the server UUID {uuid}, as has {keys[0]}", remedy


def unfit_because(replica: Instance) -> list[str]:
    """Return why a replica may not be promoted; empty when it may."""
    reasons = {
        "it does not answer": not replica.reading.last_check_valid,
        "its binary log is off, or not known to be on": replica.log_bin is not True,
        "it does not log what it replicates, or is not known to": replica.log_replica_updates is not True,
        "its promotion rule is MUST_NOT": replica.promotion_rule is PromotionRule.MUST_NOT,
        "it has errant transactions": bool(replica.errant_gtid_set),
        "it does not position itself by GTID": not all(each.gtid_positioning for each in replica.channels),
        "its applier stopped with an error": any(each.sql_errno for each in replica.channels),
        "it replicates from several sources": len(replica.sources) > 1,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _unfit(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for primary in view.in_order():
        for replica in view.replicas_of(primary.key) if is_primary(primary) else ():
            reasons = unfit_because(replica)
            if reasons:
                yield replica.key, "; ".join(reasons), "primacy plan shows what a failover would do"


def _none_fit(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for primary in view.in_order():
        replicas = view.replicas_of(primary.key) if is_primary(primary) else ()
        if replicas and all(map(unfit_because, replicas)):
            yield (
                primary.key,
                f"of its {len(replicas)} replicas none may be promoted; each has an advice of its own",
                "mend one replica, or add one",
            )


def _no_spare(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for each in view.in_order():
        state = each.semi_sync
        wanted, clients = state.wait_for_replica_count, state.clients
        if not each.reading.last_check_valid or state.source_status is not True or not wanted or clients != wanted:
            continue
        how_long = "" if state.timeout is None else f", up to {state.timeout.total_seconds():g} s each"
        yield (
            each.key,
            f"commits wait for {wanted} replicas and {clients} are there: without one more of them they wait{how_long}",
            "switch semi-synchronous replication on in another replica",
        )


def _slow_timers(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for each in view.in_order():
        slow = [words for channel in each.channels for words in _slow_words(channel)]
        if slow:
            yield (
                each.key,
                "; ".join(slow),
                "CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD = 1, SOURCE_CONNECT_RETRY = 1",
            )


def _slow_words(channel: ReplicationChannel) -> Iterator[str]:
    period = channel.heartbeat_period
    if period is not None and not timedelta() < period <= SLOWEST_HEARTBEAT:
        yield f"heartbeats every {period.total_seconds():g} s" if period else "no heartbeats"
    retry = channel.settings.connect_retry if channel.settings is not None else None
    if retry is not None and retry > SLOWEST_RETRY:
        yield f"it tries to connect every {retry.total_seconds():g} s"


def _grey(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for each in view.in_order():
        words = [_GREY[problem] for problem in each.problems if problem in _GREY]
        if words:
            yield each.key, "; ".join(words), "a switchover while it still answers: primacy plan"


def _partial_partition(view: ClusterView) -> Iterator[tuple[InstanceKey, str, str]]:
    for each in view.in_order():
        if each.reading.last_check_valid or each.reading.last_seen_time is None:
            continue
        hear = [
            str(replica.key)
            for replica in view.replicas_of(each.key)
            if replica.reading.succeeded and any(channel.replicating for channel in replica.channels)
        ]
        if hear:
            remedy = (
                "look at the network between this node and it; `primacy explain` on other nodes shows what they see"
            )
            yield each.key, f"it does not answer this node, and {', '.join(hear)} still receive from it", remedy


CHECKS: Final[tuple[tuple[AdviceKind, Check], ...]] = (
    (AdviceKind.SEVERAL_WRITABLE, _several_writable),
    (AdviceKind.FORMER_PRIMARY_WRITABLE, _former_primary),
    (AdviceKind.ERRANT_TRANSACTIONS, _errant),
    (AdviceKind.SEEN_TWICE, _seen_twice),
    (AdviceKind.NO_FIT_REPLICA, _none_fit),
    (AdviceKind.REPLICA_UNFIT, _unfit),
    (AdviceKind.SEMI_SYNC_WITHOUT_SPARE, _no_spare),
    (AdviceKind.SLOW_TIMERS, _slow_timers),
    (AdviceKind.GREY_FAILURE, _grey),
    (AdviceKind.PARTIAL_PARTITION, _partial_partition),
)


def advise(
    cluster: Cluster, members: Sequence[Instance], checks: Sequence[tuple[AdviceKind, Check]] = CHECKS
) -> tuple[Advice, ...]:
    """Return the weaknesses of a cluster, in the order of the table, then by endpoint."""
    view = ClusterView(cluster, {instance.key: instance for instance in members})
    return tuple(
        Advice(kind, cluster.cluster_id, key, seen, remedy)
        for kind, check in checks
        for key, seen, remedy in check(view)
    )
