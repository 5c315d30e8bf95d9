"""Small topologies as values, for the tests of analysis."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.analysis.circumstances import Circumstances, circumstances_of
from services.analysis.kinds import FindingKind
from services.analysis.memory import Memory
from services.analysis.model import Limits
from services.analysis.rules import judge
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import Reading
from services.shared.topology.server import SemiSync
from services.shared.topology.snapshot import Cluster, TopologySnapshot

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRIMARY = InstanceKey("db0", 3306)
CLUSTER = Cluster("c1", "orders", primary=PRIMARY)


def at(seconds: float) -> datetime:
    """Return a moment after the start of the story."""
    return START + timedelta(seconds=seconds)


def good_reading(seconds: float = 0) -> Reading:
    """Return a fully successful probe."""
    time = at(seconds)
    return Reading(
        last_attempted_check_time=time,
        last_checked_time=time,
        last_seen_time=time,
        last_check_valid=True,
    )


def failed_reading(seconds: float = 1, seen: float = 0, *, partial: bool = False) -> Reading:
    """Return a failed probe of an instance that was read well before."""
    time = at(seconds)
    return Reading(
        last_attempted_check_time=time,
        last_checked_time=time,
        last_seen_time=at(seen),
        partial_success=partial,
        error_number=2003,
        error="connection refused",
    )


def a_primary(
    *,
    answers: bool = True,
    partial: bool = False,
    read_only: bool | None = False,
    semi_sync: SemiSync | None = None,
    seconds: float = 0,
    position: int = 4,
) -> Instance:
    """Return a primary as last seen."""
    return Instance(
        key=PRIMARY,
        server_uuid="uuid-0",
        cluster_id="c1",
        read_only=read_only,
        semi_sync=semi_sync or SemiSync(),
        binlog_position=BinlogPosition("binlog.000001", position),
        gtid_mode="ON",
        reading=good_reading(seconds) if answers else failed_reading(seconds + 1, seconds, partial=partial),
    )


class State(enum.Enum):
    """What a replica is up to."""

    DEAD = "dead"
    REPLICATING = "replicating"
    STOPPED = "stopped"
    FAILING = "failing to connect"


_THREADS = {
    State.DEAD: (ThreadState.ON, ThreadState.ON, 0),
    State.REPLICATING: (ThreadState.ON, ThreadState.ON, 0),
    State.STOPPED: (ThreadState.OFF, ThreadState.OFF, 0),
    State.FAILING: (ThreadState.CONNECTING, ThreadState.ON, 2003),
}


def a_replica(
    number: int,
    state: State = State.REPLICATING,
    *,
    lag: float | None = 0,
    delay: float = 0,
    seconds: float = 0,
    heartbeat: float | None = None,
    source: InstanceKey = PRIMARY,
) -> Instance:
    """Return a replica of the primary; `heartbeat` is when the last one came, of one a second."""
    io_state, sql_state, io_errno = _THREADS[state]
    channel = ReplicationChannel(
        source=source,
        io_state=io_state,
        sql_state=sql_state,
        io_errno=io_errno,
        lag=None if lag is None else timedelta(seconds=lag),
        sql_delay=timedelta(seconds=delay),
        gtid_positioning=True,
        heartbeat_period=None if heartbeat is None else timedelta(seconds=1),
        last_heartbeat_time=None if heartbeat is None else at(heartbeat),
    )
    return Instance(
        key=InstanceKey(f"db{number}", 3306),
        server_uuid=f"uuid-{number}",
        cluster_id="c1",
        read_only=True,
        version="8.4.3",
        log_bin=True,
        log_replica_updates=True,
        binlog_format="ROW",
        gtid_mode="ON",
        channels=(channel,),
        reading=failed_reading(seconds + 1, seconds) if state is State.DEAD else good_reading(seconds),
    )


def with_channel(replica: Instance, **changes: object) -> Instance:
    """Return a replica with fields of its only channel changed."""
    (channel,) = replica.channels
    return replace(replica, channels=(replace(channel, **changes),))  # type: ignore[arg-type]


def a_topology(*instances: Instance) -> TopologySnapshot:
    """Return instances as a snapshot of one cluster."""
    return TopologySnapshot(
        revision=1,
        snapshot_time=START,
        clusters={CLUSTER.cluster_id: CLUSTER},
        instances={instance.key: instance for instance in instances},
    )


def circumstances(
    subject: Instance, replicas: Sequence[Instance], limits: Limits | None = None, memory: Memory | None = None
) -> Circumstances:
    """Return what the rules see, at the start of the story."""
    return circumstances_of(subject, replicas, memory or Memory(), limits or Limits(), START)


def verdict(
    subject: Instance, replicas: Sequence[Instance], limits: Limits | None = None, memory: Memory | None = None
) -> FindingKind:
    """Return what the rules say of an instance and its replicas."""
    return judge(circumstances(subject, replicas, limits, memory))
