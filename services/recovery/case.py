"""A topology with everything that steers a plan, as a file says it: no service, no server, no clock.

The file is a `TopologySnapshot` in protobuf JSON with one more member: `policy`, a `PlanningPolicy`. What `primacy
analyze` reads besides may stand there too. Whether the last check of an instance is valid need not be written.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from primacy.analysis.v1 import analysis_pb2
from primacy.recovery.v1 import recovery_pb2 as pb

from services.recovery.convert import policy_from_proto
from services.recovery.policy import PlanningPolicy, contradictions
from services.recovery.situation import Situation
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot
from services.shared.topology.snapshot_file import SnapshotFile, read_message, read_snapshot

_POLICY: Final = "policy"
_MEMBERS: Final = {
    _POLICY: pb.PlanningPolicy,
    "settings": analysis_pb2.AnalysisSettings,
    "memory": analysis_pb2.AnalysisMemory,
}


def read_case(text: str, failed: InstanceKey) -> Situation:
    """Return what a file says as what a plan starts from.

    Args:
        text: The text of the file.
        failed: The instance that failed.

    Raises:
        SnapshotFileError: It is not such a file, or its policy contradicts itself.
    """
    file = read_snapshot(text, _MEMBERS)
    message = file.more.get(_POLICY, pb.PlanningPolicy())
    assert isinstance(message, pb.PlanningPolicy)
    policy = policy_from_proto(message)
    for field, problem in contradictions(policy):
        raise file.error((_POLICY, field), problem)
    snapshot = _complete(file)
    return Situation(snapshot, failed, _taken(snapshot), policy)


def read_policy(text: str) -> PlanningPolicy:
    """Return what a file says that is a policy alone.

    Raises:
        SnapshotFileError: It is not such a file, or it contradicts itself.
    """
    file = read_message(text, pb.PlanningPolicy)
    assert isinstance(file.message, pb.PlanningPolicy)
    policy = policy_from_proto(file.message)
    for field, problem in contradictions(policy):
        raise file.error((field,), problem)
    return policy


def _complete(file: SnapshotFile) -> TopologySnapshot:
    """Fill in what the file leaves to be derived."""
    instances = {
        key: instance
        if file.says(key, "reading", "last_check_valid")
        else replace(instance, reading=replace(instance.reading, last_check_valid=instance.reading.succeeded))
        for key, instance in file.snapshot.instances.items()
    }
    return replace(file.snapshot, instances=instances)


def _taken(snapshot: TopologySnapshot) -> datetime:
    """Return when a snapshot was taken: as it says, or when it last read anything."""
    read = (each.reading.last_checked_time for each in snapshot.instances.values())
    earliest = datetime.min.replace(tzinfo=UTC)
    return snapshot.snapshot_time or max((time for time in read if time is not None), default=earliest)
