"""An example topology for each finding, each structure warning and each gate; the files of `tests/testdata/snapshots`.

Names of the examples are the names orchestrator has, so that whoever comes from there finds what they look for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from google.protobuf import json_format

from services.analysis.kinds import FindingKind, StructureWarning
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.convert.snapshot import snapshot_to_proto
from services.shared.topology.group import GroupMemberRole, GroupMemberState, GroupState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.operators import Downtime, Maintenance
from services.shared.topology.reading import Reading
from services.shared.topology.server import SemiSync
from services.shared.topology.snapshot import TopologySnapshot
from tests.unit.analysis.builders import (
    CLUSTER,
    PRIMARY,
    START,
    State,
    a_primary,
    a_replica,
    at,
    failed_reading,
    good_reading,
    with_channel,
)

K: Final = FindingKind
W: Final = StructureWarning
DB1: Final = InstanceKey("db1", 3306)
WAITING: Final = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=0)
CROWDED: Final = SemiSync(source_enabled=True, source_status=True, wait_for_replica_count=1, clients=2)
FALLEN_BACK: Final = SemiSync(source_enabled=True, source_status=False, wait_for_replica_count=1, clients=0)
GROUP: Final = GroupState("5f0ca2f3-0d3c-4a3e-9d2b-6a3a7d1c9f10", state=GroupMemberState.ONLINE)
DOWNTIME: Final = Downtime("ops", "a new disk", at(3600))


@dataclass(frozen=True, slots=True)
class Example:
    """A topology and what is to be found in it.

    Attributes:
        instances: The topology.
        subject: The instance it is about.
        kind: What is found of the subject.
        warnings: What is warned of the subject.
        hidden: By default nothing is told of the subject.
        disarmed: It is not actionable, although its kind is.
        settings: Settings of the file.
        memory: What earlier readings showed of the subject, as in `InstanceMemory`.
    """

    instances: tuple[Instance, ...]
    kind: FindingKind = K.NO_PROBLEM
    subject: InstanceKey = PRIMARY
    warnings: tuple[StructureWarning, ...] = ()
    hidden: bool = False
    disarmed: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Return the file."""
        topology = TopologySnapshot(
            1, at(2), {CLUSTER.cluster_id: CLUSTER}, {instance.key: instance for instance in self.instances}
        )
        told = json_format.MessageToDict(snapshot_to_proto(topology), preserving_proto_field_name=True)
        if self.settings:
            told["settings"] = dict(self.settings)
        if self.memory:
            endpoint = {"host": self.subject.host, "port": self.subject.port}
            told["memory"] = {"instances": [{"instance": endpoint, **self.memory}]}
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def replicas(*states: State, **changes: Any) -> tuple[Instance, ...]:
    """Return replicas db2, db3, … of one source in these states."""
    return tuple(a_replica(number, state, **changes) for number, state in enumerate(states, start=2))


def dead(*states: State, **changes: Any) -> tuple[Instance, ...]:
    """Return a primary that does not answer, and its replicas."""
    return (a_primary(answers=False), *replicas(*states, **changes))


def alive(*states: State, **changes: Any) -> tuple[Instance, ...]:
    """Return a primary that answers, and its replicas."""
    return (a_primary(), *replicas(*states, **changes))


def below(*states: State, answers: bool = True, **changes: Any) -> tuple[Instance, ...]:
    """Return a healthy primary, the intermediate db1 below it, and the replicas of db1."""
    intermediate = replace(a_replica(1), depth=1, reading=good_reading() if answers else failed_reading())
    followers = tuple(replace(each, depth=2) for each in replicas(*states, source=DB1, **changes))
    return (replace(a_primary(), depth=0), intermediate, *followers)


def pair(*states: State, answers: bool = True) -> tuple[Instance, ...]:
    """Return two co-primaries, db0 and db1, that read from each other, and replicas of db0.

    `answers` tells of db0, the first state of db1.
    """
    first = a_primary(answers=answers)
    first = replace(first, channels=(ReplicationChannel(DB1),), co_primary=True, depth=0)
    second = replace(a_replica(1, states[0]), co_primary=True, depth=1)
    return (first, second, *replicas(*states[1:]))


def grouped(instance: Instance, role: GroupMemberRole) -> Instance:
    """Return an instance as member of a replication group."""
    return replace(instance, group=replace(GROUP, role=role))


def logging(instance: Instance, binlog_format: str) -> Instance:
    """Return a replica that logs in a format."""
    return replace(instance, binlog_format=binlog_format)


def by_position(instance: Instance) -> Instance:
    """Return a replica that positions itself by file and offset."""
    return replace(with_channel(instance, gtid_positioning=False), gtid_mode="OFF")


_UP, _OFF, _FAIL, _GONE = State.REPLICATING, State.STOPPED, State.FAILING, State.DEAD
_NO_WAY = (W.NO_FAILOVER_SUPPORT,)

FINDINGS: Final[Mapping[FindingKind, Example]] = {
    K.NO_PROBLEM: Example(alive(_UP, _UP), hidden=True),
    K.DEAD_PRIMARY_WITHOUT_REPLICAS: Example(dead(), K.DEAD_PRIMARY_WITHOUT_REPLICAS),
    K.DEAD_PRIMARY: Example(dead(_FAIL, _FAIL), K.DEAD_PRIMARY),
    # Without a replica that answers nobody knows a way to follow a new primary.
    K.DEAD_PRIMARY_AND_REPLICAS: Example(dead(_GONE, _GONE), K.DEAD_PRIMARY_AND_REPLICAS, warnings=_NO_WAY),
    K.DEAD_PRIMARY_AND_SOME_REPLICAS: Example(dead(_FAIL, _GONE), K.DEAD_PRIMARY_AND_SOME_REPLICAS),
    K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS: Example(
        dead(_UP, _UP, lag=60), K.UNREACHABLE_PRIMARY_WITH_LAGGING_REPLICAS
    ),
    K.UNREACHABLE_PRIMARY: Example(dead(_UP, _FAIL), K.UNREACHABLE_PRIMARY),
    K.LOCKED_SEMI_SYNC_PRIMARY: Example(
        (a_primary(semi_sync=WAITING), *replicas(_UP, _UP)),
        K.LOCKED_SEMI_SYNC_PRIMARY,
        memory={"suspect_time": "2026-03-01T11:59:40Z"},
    ),
    K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS: Example(
        (a_primary(semi_sync=WAITING), *replicas(_UP, _UP)), K.LOCKED_SEMI_SYNC_PRIMARY_HYPOTHESIS
    ),
    K.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS: Example(
        (a_primary(semi_sync=CROWDED), *replicas(_UP, _UP)),
        K.PRIMARY_WITH_TOO_MANY_SEMI_SYNC_REPLICAS,
        settings={"enforce_exact_semi_sync_replicas": True},
    ),
    K.READ_ONLY_PRIMARY: Example(
        (a_primary(read_only=True), *replicas(_UP)),
        K.READ_ONLY_PRIMARY,
        warnings=(W.READ_ONLY_PRIMARY,),
        settings={"recover_non_writeable_primary": True},
    ),
    K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING: Example(alive(_OFF), K.PRIMARY_SINGLE_REPLICA_NOT_REPLICATING),
    K.PRIMARY_SINGLE_REPLICA_DEAD: Example(alive(_GONE), K.PRIMARY_SINGLE_REPLICA_DEAD),
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING: Example(alive(_OFF, _FAIL), K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING),
    K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD: Example(
        alive(_OFF, _GONE), K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD
    ),
    K.DEAD_CO_PRIMARY: Example(pair(_FAIL, _FAIL, answers=False), K.DEAD_CO_PRIMARY),
    K.DEAD_CO_PRIMARY_AND_SOME_REPLICAS: Example(
        pair(_FAIL, _GONE, answers=False), K.DEAD_CO_PRIMARY_AND_SOME_REPLICAS
    ),
    K.UNREACHABLE_CO_PRIMARY: Example(pair(_UP, _UP, answers=False), K.UNREACHABLE_CO_PRIMARY),
    K.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING: Example(pair(_OFF), K.ALL_CO_PRIMARY_REPLICAS_NOT_REPLICATING),
    K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT: Example(
        below(_FAIL, answers=False), K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA_FAILING_TO_CONNECT, DB1
    ),
    K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA: Example(
        below(_OFF, answers=False), K.DEAD_INTERMEDIATE_WITH_SINGLE_REPLICA, DB1
    ),
    K.DEAD_INTERMEDIATE: Example(below(_FAIL, _FAIL, answers=False), K.DEAD_INTERMEDIATE, DB1),
    K.DEAD_INTERMEDIATE_AND_SOME_REPLICAS: Example(
        below(_FAIL, _GONE, answers=False), K.DEAD_INTERMEDIATE_AND_SOME_REPLICAS, DB1
    ),
    K.DEAD_INTERMEDIATE_AND_REPLICAS: Example(
        below(_GONE, _GONE, answers=False), K.DEAD_INTERMEDIATE_AND_REPLICAS, DB1
    ),
    K.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS: Example(
        below(_UP, _UP, answers=False, lag=60), K.UNREACHABLE_INTERMEDIATE_WITH_LAGGING_REPLICAS, DB1
    ),
    K.UNREACHABLE_INTERMEDIATE: Example(below(_UP, _FAIL, answers=False), K.UNREACHABLE_INTERMEDIATE, DB1),
    K.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD: Example(
        below(_FAIL, _GONE), K.ALL_INTERMEDIATE_REPLICAS_FAILING_TO_CONNECT_OR_DEAD, DB1
    ),
    K.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING: Example(
        below(_OFF, _FAIL), K.ALL_INTERMEDIATE_REPLICAS_NOT_REPLICATING, DB1
    ),
    K.BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY: Example(
        (a_primary(), replace(a_replica(1, _FAIL), version="10.11.6-maxscale", depth=1), *replicas(_UP)),
        K.BINLOG_SERVER_FAILING_TO_CONNECT_TO_PRIMARY,
        DB1,
    ),
    K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY: Example(
        (a_primary(), replace(a_replica(1, _FAIL), depth=1), *replicas(_UP)),
        K.FIRST_TIER_REPLICA_FAILING_TO_CONNECT_TO_PRIMARY,
        DB1,
    ),
    K.DEAD_GROUP_MEMBER_WITH_REPLICAS: Example(
        (grouped(a_primary(answers=False), GroupMemberRole.PRIMARY), *replicas(_FAIL, _GONE)),
        K.DEAD_GROUP_MEMBER_WITH_REPLICAS,
    ),
}

_TWO = replicas(_UP, _UP)

WARNINGS: Final[Mapping[StructureWarning, Example]] = {
    W.NO_LOGGING_REPLICAS: Example(
        (a_primary(), *(replace(each, log_replica_updates=False) for each in _TWO)),
        warnings=(W.NO_LOGGING_REPLICAS,),
    ),
    W.NO_FAILOVER_SUPPORT: Example(
        (replace(a_primary(), gtid_mode="OFF"), *map(by_position, _TWO)), warnings=(W.NO_FAILOVER_SUPPORT,)
    ),
    W.STATEMENT_AND_MIXED_LOGGING_REPLICAS: Example(
        (a_primary(), logging(_TWO[0], "STATEMENT"), logging(_TWO[1], "MIXED")),
        warnings=(W.STATEMENT_AND_MIXED_LOGGING_REPLICAS,),
    ),
    W.STATEMENT_AND_ROW_LOGGING_REPLICAS: Example(
        (a_primary(), logging(_TWO[0], "STATEMENT"), _TWO[1]), warnings=(W.STATEMENT_AND_ROW_LOGGING_REPLICAS,)
    ),
    W.MIXED_AND_ROW_LOGGING_REPLICAS: Example(
        (a_primary(), logging(_TWO[0], "MIXED"), _TWO[1]), warnings=(W.MIXED_AND_ROW_LOGGING_REPLICAS,)
    ),
    W.MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS: Example(
        (a_primary(), replace(_TWO[0], version="8.0.41"), _TWO[1]),
        warnings=(W.MULTIPLE_MAJOR_VERSIONS_LOGGING_REPLICAS,),
    ),
    W.DIFFERENT_GTID_MODES: Example(
        (a_primary(), _TWO[0], replace(_TWO[1], gtid_mode="ON_PERMISSIVE")), warnings=(W.DIFFERENT_GTID_MODES,)
    ),
    W.ERRANT_GTID: Example(
        (a_primary(), _TWO[0], replace(_TWO[1], errant_gtid_set="3e11fa47-71ca-11e1-9e33-c80aa9429562:7")),
        warnings=(W.ERRANT_GTID,),
    ),
    W.READ_ONLY_PRIMARY: Example((a_primary(read_only=True), *_TWO), warnings=(W.READ_ONLY_PRIMARY,)),
    W.NOT_ENOUGH_SEMI_SYNC_REPLICAS: Example(
        (a_primary(semi_sync=FALLEN_BACK), *_TWO), warnings=(W.NOT_ENOUGH_SEMI_SYNC_REPLICAS,)
    ),
}

_DEAD = dead(_FAIL, _FAIL)

SUPPRESSIONS: Final[Mapping[str, Example]] = {
    "maintenance": Example((replace(_DEAD[0], maintenance=Maintenance("ops", "a new disk")), *_DEAD[1:]), hidden=True),
    "ignored_host": Example(_DEAD, hidden=True, settings={"recovery_ignore_hostname_filters": ["^db0$"]}),
    "downtime": Example((replace(_DEAD[0], downtime=DOWNTIME), *_DEAD[1:]), K.DEAD_PRIMARY, hidden=True),
    "replicas_downtime": Example(
        (a_primary(), *(replace(each, downtime=DOWNTIME) for each in replicas(_OFF, _GONE))),
        K.ALL_PRIMARY_REPLICAS_NOT_REPLICATING_OR_DEAD,
        hidden=True,
    ),
    "never_read": Example(
        (Instance(PRIMARY, cluster_id="c1", reading=Reading(last_checked_time=at(1))), *_DEAD[1:]),
        K.DEAD_PRIMARY,
        warnings=(W.DIFFERENT_GTID_MODES,),
        disarmed=True,
    ),
    "grace": Example(_DEAD, K.DEAD_PRIMARY, disarmed=True, memory={"restart_time": "2026-03-01T12:00:00Z"}),
}

FURTHER: Final[Mapping[str, Example]] = {
    # The second of the two rules that find an unreachable primary.
    "UnreachableMaster-half-way": Example(
        (a_primary(answers=False, partial=True), *replicas(_UP, _FAIL)), K.UNREACHABLE_PRIMARY
    ),
}
assert START.isoformat() == "2026-03-01T12:00:00+00:00"


def files() -> dict[str, Example]:
    """Return every example by the name of its file, without `.json`."""
    return {
        **{kind.orchestrator_code: example for kind, example in FINDINGS.items() if kind is not K.READ_ONLY_PRIMARY},
        "NoWriteableMaster": FINDINGS[K.READ_ONLY_PRIMARY],
        **{warning.orchestrator_name: example for warning, example in WARNINGS.items()},
        **FURTHER,
        **{f"suppressed-by-{name}": example for name, example in SUPPRESSIONS.items()},
    }
