"""A topology with everything that steers its analysis, as a file says it: no service, no server, no clock.

The file is a `TopologySnapshot` in protobuf JSON with two more members: `settings` (`AnalysisSettings`) and `memory`
(`AnalysisMemory`). What discovery derives from other values need not be written: whether the last check of an instance
is valid, how deep it is in its tree, and whether it is a co-primary. Where one of these is written it holds as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from google.protobuf import duration_pb2
from primacy.analysis.v1 import analysis_pb2 as pb

from services.analysis.model import InstanceMemory, Limits
from services.shared.topology.convert.key import key_from_proto
from services.shared.topology.convert.times import duration_from_proto, time_from_proto
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.position import BinlogPosition
from services.shared.topology.snapshot import TopologySnapshot
from services.shared.topology.snapshot_file import SnapshotFile, read_snapshot

_MEMBERS: Final = {"settings": pb.AnalysisSettings, "memory": pb.AnalysisMemory}


@dataclass(frozen=True, slots=True)
class Case:
    """What a file says.

    Attributes:
        now: When it is; None when neither the snapshot nor any reading has a time.
    """

    snapshot: TopologySnapshot
    limits: Limits
    memories: tuple[InstanceMemory, ...]
    now: datetime | None


def read_case(text: str) -> Case:
    """Read the text of a file.

    Raises:
        SnapshotFileError: It is not such a file; says which field in which line.
    """
    file = read_snapshot(text, _MEMBERS)
    settings = file.more.get("settings", pb.AnalysisSettings())
    memory = file.more.get("memory", pb.AnalysisMemory())
    assert isinstance(settings, pb.AnalysisSettings)
    assert isinstance(memory, pb.AnalysisMemory)
    snapshot = _complete(file, _window(settings))
    return Case(snapshot, _limits(settings, file), tuple(_memories(memory, file)), _now(snapshot))


def _now(snapshot: TopologySnapshot) -> datetime | None:
    if snapshot.snapshot_time is not None:
        return snapshot.snapshot_time
    readings = (instance.reading for instance in snapshot.instances.values())
    times = (time for reading in readings for time in (reading.last_checked_time, reading.last_attempted_check_time))
    return max((time for time in times if time is not None), default=None)


def _limits(settings: pb.AnalysisSettings, file: SnapshotFile) -> Limits:
    filters = "recovery_ignore_hostname_filters"
    for number, pattern in enumerate(settings.recovery_ignore_hostname_filters):
        try:
            re.compile(pattern)
        except re.error as error:
            raise file.error(
                ("settings", filters, number), f"{pattern!r} is not a regular expression: {error}"
            ) from None
    locked = settings.reasonable_locked_semi_sync
    return Limits(
        lag=_duration(settings, "reasonable_replication_lag", Limits().lag),
        locked_semi_sync=duration_from_proto(locked) if settings.HasField("reasonable_locked_semi_sync") else None,
        enforce_exact_semi_sync_replicas=settings.enforce_exact_semi_sync_replicas,
        recover_non_writeable_primary=settings.recover_non_writeable_primary,
        reduce=settings.reduce_analysis_count if settings.HasField("reduce_analysis_count") else True,
        ignored_hosts=tuple(settings.recovery_ignore_hostname_filters),
    )


def _duration(settings: pb.AnalysisSettings, name: str, default: timedelta) -> timedelta:
    value: duration_pb2.Duration = getattr(settings, name)
    return duration_from_proto(value) if settings.HasField(name) else default  # type: ignore[arg-type]


def _memories(memory: pb.AnalysisMemory, file: SnapshotFile) -> Iterator[InstanceMemory]:
    for number, each in enumerate(memory.instances):
        key = key_from_proto(each.instance)
        instance = file.snapshot.instances.get(key)
        if instance is None:
            raise file.error(("memory", "instances", number, "instance"), f"{key} is not among the instances")
        position = BinlogPosition(each.suspected_position.file, each.suspected_position.position)
        yield InstanceMemory(
            key,
            position if each.HasField("suspected_position") else instance.binlog_position,
            time_from_proto(each.suspect_time) if each.HasField("suspect_time") else None,
            time_from_proto(each.restart_time) if each.HasField("restart_time") else None,
            pseudo_gtid=each.pseudo_gtid,
        )


def _window(settings: pb.AnalysisSettings) -> timedelta:
    """Return how long after a good reading a hanging one leaves an instance valid (section 2 of the analysis)."""
    poll = _duration(settings, "instance_poll", timedelta(seconds=5))
    return poll + _duration(settings, "reasonable_instance_check", timedelta(seconds=1))


def _complete(file: SnapshotFile, window: timedelta) -> TopologySnapshot:
    """Fill in what the file leaves to be derived."""
    instances = file.snapshot.instances
    depths = _Depths(instances, file.snapshot)
    completed = {}
    for key, instance in instances.items():
        reading = instance.reading
        if not file.says(key, "reading", "last_check_valid"):
            reading = replace(reading, last_check_valid=reading.valid_within(window))
        completed[key] = replace(
            instance,
            reading=reading,
            co_primary=instance.co_primary
            if file.says(key, "co_primary")
            else _reads_from_its_replica(instance, instances),
            depth=instance.depth if file.says(key, "depth") else depths.of(key),
        )
    return replace(file.snapshot, instances=completed)


def _reads_from_its_replica(instance: Instance, instances: Mapping[InstanceKey, Instance]) -> bool:
    return any(instance.key in instances[source].sources for source in instance.sources if source in instances)


class _Depths:
    """How deep instances are: 0 for a primary, else the depth of the first source + 1; unknown in a ring of three."""

    def __init__(self, instances: Mapping[InstanceKey, Instance], snapshot: TopologySnapshot) -> None:
        self._instances = instances
        self._named = {cluster.primary for cluster in snapshot.clusters.values()}
        self._named_as = {cluster.alias for cluster in snapshot.clusters.values()}
        self._known: dict[InstanceKey, int | None] = {}

    def of(self, key: InstanceKey) -> int | None:
        """Return the depth of an instance; None when it leads to an unknown source."""
        way: list[InstanceKey] = []
        depth: int | None = None
        at: InstanceKey | None = key
        while at is not None and at not in self._known and at not in way:
            way.append(at)
            at = self._source(at)
            depth = -1 if at is None else None
        if at is not None:
            depth = self._known.get(at)
        for each in reversed(way):
            depth = None if depth is None else depth + 1
            self._known[each] = depth
        return self._known[key]

    def _source(self, key: InstanceKey) -> InstanceKey | None:
        """Return whom an instance reads from, as far as depth is concerned; None for a top."""
        instance = self._instances.get(key)
        if instance is None:
            return key  # Leads nowhere: a way that repeats itself has no depth.
        sources = instance.sources
        if not sources:
            return None
        other = self._instances.get(sources[0])
        if other is not None and key in other.sources and self._is_top(instance, other):
            return None
        return sources[0]

    def _is_top(self, one: Instance, other: Instance) -> bool:
        """Return whether `one` of two co-primaries is the one their cluster is named after."""

        def rank(instance: Instance) -> tuple[bool, bool, bool, InstanceKey]:
            named = instance.key in self._named
            return (not named, str(instance.key) not in self._named_as, instance.read_only is not False, instance.key)

        return rank(one) < rank(other)
