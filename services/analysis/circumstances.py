"""The facts the rules look at, computed from readings; section numbers are those of the failure analysis they follow.

A null operand makes a condition not hold, so a fact that was not read stays None here and no rule takes it for zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.analysis.counts import ReplicaCounts, ReplicaGtids, count, gtids_of
from services.analysis.memory import Memory
from services.analysis.model import Limits
from services.analysis.replica import in_downtime, is_binlog_server, view_replica
from services.analysis.standing import InstanceType, cannot_reach_source, is_group_member, is_primary
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.server import SemiSync


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Everything the rules see of one instance.

    Attributes:
        primary: It reads from nobody, and is no secondary of a replication group.
        co_primary: It is one of two primaries that read from each other, by its own word or that of a replica.
        group_member: It is a member of a replication group, and not offline.
        binlog_server: It is a binlog server.
        depth: 0 for a primary, else depth of its source + 1; None when not known.
        sources: Whom it reads from, detached sources left out; a primary has none.
        answers: Its last probe succeeded and none has been hanging too long.
        read_before: It was read successfully at least once; else its role is a guess.
        partial: The last probe that ended failed half-way.
        error: Why the last probe failed.
        cannot_reach_source: Its applier runs and its receiver cannot connect, as last reported, however long ago.
        counts: Over its direct replicas.
        gtids: How its direct replicas stand with GTIDs.
        gtid_mode: Its own GTID mode.
        pseudo_gtid: Its binary log carries Pseudo-GTID.
        silent: Replicas that claim to replicate but hear nothing any more. Only looked at while it does not answer,
            and then not counted as replicating: threads can claim a dead source for as long as their timeouts last.
        standstill: How long its binary log position is known to have stood still under suspicion.
        downtimed: It is in downtime.
        in_maintenance: It is in maintenance.
        restarted: Replication of its replicas was restarted so lately that they may still feel it.
    """

    instance: InstanceKey
    primary: bool
    answers: bool
    co_primary: bool = False
    group_member: bool = False
    binlog_server: bool = False
    depth: int | None = None
    sources: tuple[InstanceKey, ...] = ()
    read_before: bool = True
    partial: bool = False
    error: str = ""
    cannot_reach_source: bool = False
    read_only: bool | None = None
    counts: ReplicaCounts = field(default_factory=ReplicaCounts)
    gtids: ReplicaGtids = field(default_factory=ReplicaGtids)
    gtid_mode: str = ""
    pseudo_gtid: bool = False
    silent: tuple[InstanceKey, ...] = ()
    semi_sync: SemiSync = field(default_factory=SemiSync)
    standstill: timedelta | None = None
    downtimed: bool = False
    in_maintenance: bool = False
    restarted: bool = False
    limits: Limits = field(default_factory=Limits)

    @property
    def stale_position(self) -> bool:
        """The binary log position has stood still for longer than the limit."""
        return self.standstill is not None and self.standstill > self.limits.standstill

    @property
    def instance_type(self) -> InstanceType:
        """What it is called in findings; the first that fits."""
        if self.co_primary:
            return InstanceType.CO_PRIMARY
        if self.group_member:
            return InstanceType.GROUP_MEMBER
        return InstanceType.PRIMARY if self.primary else InstanceType.INTERMEDIATE


def is_analysed(instance: Instance, replica_count: int, limits: Limits) -> bool:
    """Return whether an instance is worth an analysis; healthy instances nobody reads from are left out (section 9.1).

    Args:
        instance: The instance.
        replica_count: Number of its direct replicas.
        limits: Whether anything is left out at all.
    """
    if replica_count > 0 or not limits.reduce:
        return True
    if instance.reading.last_seen_time is None:
        return False
    return not instance.reading.last_check_valid or cannot_reach_source(instance)


def circumstances_of(
    subject: Instance, replicas: Sequence[Instance], memory: Memory, limits: Limits, now: datetime
) -> Circumstances:
    """Return what the rules see of `subject`.

    Args:
        subject: The instance to judge.
        replicas: Its direct replicas, whatever their threads do.
        memory: What earlier readings showed.
        limits: Where the rules draw their lines.
        now: Decides which downtimes and graces are over, nothing else.
    """
    answers = subject.reading.last_check_valid
    names = frozenset((subject.key, *subject.other_endpoints))
    views = [view_replica(replica, names, memory, limits.lag, now) for replica in replicas]
    silent = () if answers else tuple(sorted(view.key for view in views if view.silent))
    return Circumstances(
        instance=subject.key,
        primary=is_primary(subject),
        co_primary=subject.co_primary or any(view.co_primary for view in views),
        group_member=is_group_member(subject),
        binlog_server=is_binlog_server(subject),
        depth=subject.depth,
        sources=subject.sources,
        answers=answers,
        read_before=subject.reading.last_seen_time is not None,
        partial=subject.reading.partial_success,
        error=subject.reading.error,
        cannot_reach_source=cannot_reach_source(subject),
        read_only=subject.read_only,
        counts=count(views, silent),
        gtids=gtids_of(views),
        gtid_mode=subject.gtid_mode,
        pseudo_gtid=memory.has_pseudo_gtid(subject.key),
        silent=silent,
        semi_sync=subject.semi_sync,
        standstill=memory.standstill(subject),
        downtimed=in_downtime(subject, now),
        in_maintenance=subject.maintenance is not None,
        restarted=memory.restarted_within(subject.key, limits.grace, now),
        limits=limits,
    )


def newest_evidence(subject: Instance, replicas: Sequence[Instance]) -> datetime | None:
    """Return the end of the newest probe among an instance and its replicas; None when none ever ended."""
    readings = [subject.reading, *(replica.reading for replica in replicas)]
    times = (time for reading in readings for time in (reading.last_checked_time, reading.last_attempted_check_time))
    return max((time for time in times if time is not None), default=None)
