"""Plans a failover: who is promoted, who follows, what is executed where, what may be lost. Pure.

The same planner serves the dry run and the real thing; the real thing calls it with what it re-read after the replicas
were frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.recovery import statements
from services.recovery.candidate import Choice, choose_candidate
from services.recovery.loss import assess_loss
from services.recovery.model import FailoverPlan, Loss, LossState, Step, StepKind
from services.shared.mysql.gtid import GtidSet
from services.shared.topology.instance import Instance, InstanceKey, Reading, TopologySnapshot

KILL_SESSIONS = "KILL each session of an application"
"""How a plan writes the statements that depend on who is connected at the time."""


def with_readings(snapshot: TopologySnapshot, readings: Sequence[Instance]) -> TopologySnapshot:
    """Return a snapshot with some instances replaced by newer readings."""
    return replace(snapshot, instances={**snapshot.instances, **{each.key: each for each in readings}})


def unreadable(instance: Instance, error: str) -> Instance:
    """Return an instance as it counts after a read of it failed."""
    reading = replace(instance.reading, last_check_valid=False, error=error)
    return replace(instance, reading=reading)


def _instance(snapshot: TopologySnapshot, key: InstanceKey) -> Instance:
    return snapshot.instances.get(key, Instance(key, reading=Reading(error="never seen")))


def fence_step(failed: Instance) -> Step:
    """Return the step that keeps a (former) primary from taking writes."""
    return Step(0, StepKind.FENCE, failed.key, (*statements.make_read_only(failed), KILL_SESSIONS))


def freeze_steps(replicas: Sequence[Instance], failed: InstanceKey) -> tuple[Step, ...]:
    """Return the steps that make the positions of the reachable replicas stand still."""
    reachable = (replica for replica in replicas if replica.reading.last_check_valid)
    return tuple(Step(0, StepKind.FREEZE, replica.key, statements.freeze(replica, failed)) for replica in reachable)


def promotion_steps(chosen: Instance) -> tuple[Step, ...]:
    """Return the steps that make a replica the primary."""
    return (
        Step(0, StepKind.DRAIN, chosen.key, statements.drain(chosen)),
        Step(0, StepKind.PROMOTE, chosen.key, statements.promote(chosen)),
    )


def repoint_steps(followers: Sequence[Instance], failed: InstanceKey, chosen: InstanceKey) -> tuple[Step, ...]:
    """Return the steps that let the other replicas follow the new primary."""
    return tuple(
        Step(0, StepKind.REPOINT, replica.key, statements.repoint(replica, failed, chosen)) for replica in followers
    )


def numbered(steps: Sequence[Step], first: int = 1) -> tuple[Step, ...]:
    """Return steps with consecutive numbers."""
    return tuple(replace(step, number=number) for number, step in enumerate(steps, start=first))


def _steps(failed: Instance, replicas: Sequence[Instance], choice: Choice) -> tuple[Step, ...]:
    if choice.chosen is None:
        return ()
    return numbered(
        (
            fence_step(failed),
            *freeze_steps(replicas, failed.key),
            Step(0, StepKind.CHOOSE),
            *promotion_steps(choice.chosen),
            Step(0, StepKind.PUBLISH, choice.chosen.key),
            *repoint_steps(choice.followers, failed.key, choice.chosen.key),
            Step(0, StepKind.VERIFY),
        )
    )


def plan_failover(
    snapshot: TopologySnapshot,
    failed: InstanceKey,
    now: datetime,
    *,
    fenced: GtidSet | None = None,
    excluded: frozenset[InstanceKey] = frozenset(),
) -> FailoverPlan:
    """Plan what a failover of a primary would do, as if it were dead now.

    Only its direct replicas are considered; their own replicas simply stay below them.

    Args:
        snapshot: The topology, with the newest readings there are.
        failed: The primary.
        now: The time readings are compared with.
        fenced: Executed set of the failed primary, read after it was made read-only; None when it was not reached.
        excluded: Replicas that died during this recovery.
    """
    primary = _instance(snapshot, failed)
    replicas = tuple(
        unreadable(replica, "it died during this recovery") if replica.key in excluded else replica
        for replica in snapshot.direct_replicas(failed)
    )
    choice = choose_candidate(primary, replicas)
    if choice.chosen is None:
        loss = Loss(LossState.UNKNOWN, "", "no replica may be promoted")
    else:
        loss = assess_loss(primary, replicas, choice.holdings, choice.chosen, now, fenced)
    return FailoverPlan(
        cluster_id=primary.cluster_id or next((each.cluster_id for each in replicas if each.cluster_id), ""),
        failed=failed,
        chosen=choice.chosen.key if choice.chosen else None,
        candidates=choice.candidates,
        steps=_steps(primary, replicas, choice),
        loss=loss,
        lost_replicas=tuple(sorted(choice.lost)),
        followers=tuple(replica.key for replica in choice.followers),
    )
