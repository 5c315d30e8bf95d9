"""How long judging takes: `make bench NAME=analysis`, 10,000 instances in 500 clusters.

A full pass judges every instance anew; a single change is a reading of one replica, or of a primary that dies, taken by
the analyst; from a delta to its finding it passes the converters both ways, as between two services, without the wire.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from primacy.discovery.v1 import discovery_pb2

from benchmarks.report import progress, report
from services.analysis.analyst import Analyst
from services.analysis.convert import changes_to_proto, event_from_proto
from services.analysis.model import Limits, TopologyDelta
from services.shared.topology.channel import ReplicationChannel, ThreadState
from services.shared.topology.convert.instance import instance_to_proto
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.reading import Reading
from services.shared.topology.snapshot import Cluster, TopologySnapshot

BENCH: Final = "analysis"
MODE: Final = "memory"
CLUSTERS: Final = 500
PER_CLUSTER: Final = 20
CHANGES: Final = 1_000
START: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def main() -> None:
    """Run the benchmark as the environment asks."""
    runs = int(os.environ.get("RUNS", "10"))
    progress(f"{CLUSTERS} clusters of {PER_CLUSTER} instances")
    instances = {instance.key: instance for instance in _fleet()}
    clusters = {f"c{number}": Cluster(f"c{number}", f"cluster{number}") for number in range(CLUSTERS)}
    analyst = Analyst(Limits())
    analyst.take(TopologySnapshot(1, START, clusters, instances), START)
    gc.collect()
    gc.freeze()
    progress(f"{runs} full passes")
    report(BENCH, MODE, "full_pass_ms", [_timed(lambda: analyst.differences(START)) for _ in range(runs)])
    progress(f"{CHANGES} changes")
    report(BENCH, MODE, "single_change_ms", [_timed(change) for change in _changes(analyst, instances)])
    report(BENCH, MODE, "delta_to_finding_ms", [_timed(change) for change in _deaths(analyst, instances)])


def _fleet() -> Iterator[Instance]:
    """Yield primaries with replicas; half of the replicas of each cluster are below an intermediate."""
    for cluster in range(CLUSTERS):
        keys = [InstanceKey(f"c{cluster}-db{number}", 3306) for number in range(PER_CLUSTER)]
        for number, key in enumerate(keys):
            source = None if number == 0 else keys[0] if number <= PER_CLUSTER // 2 else keys[1]
            yield _instance(key, f"c{cluster}", source)


def _instance(key: InstanceKey, cluster_id: str, source: InstanceKey | None) -> Instance:
    running = ReplicationChannel(
        source or key,
        io_state=ThreadState.ON,
        sql_state=ThreadState.ON,
        lag=timedelta(),
        gtid_positioning=True,
        read_position=BinlogPosition("binlog.000001", 4),
        last_heartbeat_time=START,
        heartbeat_period=timedelta(seconds=1),
    )
    return Instance(
        key,
        server_uuid=f"uuid-{key}",
        cluster_id=cluster_id,
        version="8.4.3",
        read_only=source is not None,
        log_bin=True,
        log_replica_updates=True,
        binlog_format="ROW",
        gtid_mode="ON",
        channels=() if source is None else (running,),
        reading=_read(START, answers=True),
    )


def _read(time_: datetime, *, answers: bool) -> Reading:
    seen = time_ if answers else START
    return Reading(time_, time_, seen, last_check_valid=answers)


def _changes(analyst: Analyst, instances: dict[InstanceKey, Instance]) -> Iterator[Callable[[], object]]:
    """Yield changes to be taken: a replica was read again."""
    keys = [key for key, instance in instances.items() if instance.channels]
    for number in range(CHANGES):
        now = START + timedelta(milliseconds=number + 1)
        again = replace(instances[keys[number * 7 % len(keys)]], reading=_read(now, answers=True))
        yield lambda again=again, now=now: analyst.take(TopologyDelta(changed_instances=(again,)), now)  # type: ignore[misc]


def _deaths(analyst: Analyst, instances: dict[InstanceKey, Instance]) -> Iterator[Callable[[], object]]:
    """Yield what happens from the message of discovery that a primary does not answer to the message of the finding."""
    keys = [key for key, instance in instances.items() if not instance.channels]
    for number in range(CHANGES):
        now = START + timedelta(seconds=2, milliseconds=number)
        key = keys[number % len(keys)]
        changed = replace(instances[key], reading=_read(now, answers=number >= len(keys)))
        delta = discovery_pb2.TopologyDelta(changed_instances=[instance_to_proto(changed)])
        wire = discovery_pb2.WatchTopologyResponse(delta=delta).SerializeToString()
        yield lambda wire=wire, now=now: _deliver(analyst, wire, now)  # type: ignore[misc]


def _deliver(analyst: Analyst, wire: bytes, now: datetime) -> bytes:
    event = event_from_proto(discovery_pb2.WatchTopologyResponse.FromString(wire))
    assert event is not None
    changes = analyst.take(event, now)
    assert changes is not None
    return changes_to_proto(changes, changes.revision, None).SerializeToString()


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begin) / 1e6


if __name__ == "__main__":
    main()
