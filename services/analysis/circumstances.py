"""The facts the rules look at, computed from readings; section numbers are those of the failure analysis they follow.

A null operand makes a condition not hold, so a fact that was not read stays None here and no rule takes it for zero.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.analysis.memory import Memory
from services.analysis.model import Limits, ReplicaCounts
from services.analysis.replica import ReplicaView, fails_to_connect, view_replica
from services.shared.topology.instance import Instance, InstanceKey, ReplicationChannel, SemiSync


class Role(enum.Enum):
    """What an instance is in its topology, as far as the rules tell roles apart."""

    PRIMARY = "primary"
    REPLICA = "replica"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Everything the rules see of one instance.

    Attributes:
        sources: Whom it reads from, detached sources left out; a primary has none.
        answers: Its last probe succeeded and none has been hanging too long.
        read_before: It was read successfully at least once; else its role is a guess.
        partial: The last probe that ended failed half-way.
        error: Why the last probe failed.
        counts: Over its direct replicas.
        silent: Replicas that claim to replicate but hear nothing any more. Only looked at while it does not answer,
            and then not counted as replicating: threads can claim a dead source for as long as their timeouts last.
        standstill: How long its binary log position is known to have stood still under suspicion.
    """

    instance: InstanceKey
    role: Role
    answers: bool
    sources: tuple[InstanceKey, ...] = ()
    read_before: bool = True
    partial: bool = False
    error: str = ""
    read_only: bool | None = None
    counts: ReplicaCounts = field(default_factory=ReplicaCounts)
    silent: tuple[InstanceKey, ...] = ()
    semi_sync: SemiSync = field(default_factory=SemiSync)
    standstill: timedelta | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def stale_position(self) -> bool:
        """The binary log position has stood still for longer than the limit."""
        return self.standstill is not None and self.standstill > self.limits.standstill


def is_live_source(channel: ReplicationChannel) -> bool:
    """Return whether a channel names a source; `//host` is a detached one, an empty host or port 0 is none."""
    host = channel.source.host
    return host not in ("", "_") and not host.startswith("//") and channel.source.port != 0


def role_of(instance: Instance) -> Role:
    """Return the role by the instance's own channels."""
    return Role.REPLICA if any(is_live_source(channel) for channel in instance.channels) else Role.PRIMARY


def is_analysed(instance: Instance, replica_count: int) -> bool:
    """Return whether an instance is worth an analysis; healthy instances nobody reads from are left out (section 9.1).

    Args:
        instance: The instance.
        replica_count: Number of its direct replicas.
    """
    if replica_count > 0:
        return True
    if instance.reading.last_seen_time is None:
        return False
    return not instance.reading.last_check_valid or any(fails_to_connect(channel) for channel in instance.channels)


def circumstances_of(
    subject: Instance, replicas: Sequence[Instance], memory: Memory, limits: Limits, now: datetime
) -> Circumstances:
    """Return what the rules see of `subject`.

    Args:
        subject: The instance to judge.
        replicas: Its direct replicas, whatever their threads do.
        memory: What earlier readings showed.
        limits: Where the rules draw their lines.
        now: Decides which downtimes are over, nothing else.
    """
    answers = subject.reading.last_check_valid
    views = tuple(view_replica(replica, subject.key, memory, limits.lag, now) for replica in replicas)
    silent = () if answers else tuple(sorted(view.key for view in views if view.silent))
    return Circumstances(
        instance=subject.key,
        role=role_of(subject),
        sources=tuple(channel.source for channel in subject.channels if is_live_source(channel)),
        answers=answers,
        read_before=subject.reading.last_seen_time is not None,
        partial=subject.reading.partial_success and not subject.reading.succeeded,
        error=subject.reading.error,
        read_only=subject.read_only,
        counts=_count(views, silent),
        silent=silent,
        semi_sync=subject.semi_sync,
        standstill=memory.standstill(subject),
        limits=limits,
    )


def _count(views: Sequence[ReplicaView], silent: Sequence[InstanceKey]) -> ReplicaCounts:
    return ReplicaCounts(
        replicas=len(views),
        valid=sum(view.valid for view in views),
        replicating=sum(view.claims_to_replicate for view in views) - len(silent),
        failing_to_connect=sum(view.failing_to_connect for view in views),
        lagging=sum(view.lagging for view in views),
        delayed=sum(view.delayed for view in views),
        downtimed=sum(view.downtimed for view in views),
    )


def newest_evidence(subject: Instance, replicas: Sequence[Instance]) -> datetime | None:
    """Return the end of the newest probe among an instance and its replicas; None when none ever ended."""
    readings = [subject.reading, *(replica.reading for replica in replicas)]
    times = (time for reading in readings for time in (reading.last_checked_time, reading.last_attempted_check_time))
    return max((time for time in times if time is not None), default=None)
