"""The steps of a plan, with the exact statements. Pure; the real thing makes its steps here too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.recovery import statements
from services.recovery.model import Step, StepKind
from services.recovery.situation import Situation
from services.recovery.succession import Succession
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey

KILL_SESSIONS = "KILL each session of an application"
"""How a plan writes the statements that depend on who is connected at the time."""


def fence_step(failed: Instance) -> Step:
    """Return the step that keeps a (former) primary from taking writes."""
    return Step(0, StepKind.FENCE, failed.key, (*statements.make_read_only(failed), KILL_SESSIONS))


def freeze_steps(replicas: Sequence[Instance], failed: InstanceKey) -> tuple[Step, ...]:
    """Return the steps that make the positions of the reachable replicas stand still."""
    reachable = (replica for replica in replicas if replica.reading.last_check_valid)
    return tuple(Step(0, StepKind.FREEZE, replica.key, statements.freeze(replica, failed)) for replica in reachable)


def drain_step(first: Instance) -> Step:
    """Return the step that lets a replica apply what it received."""
    return Step(0, StepKind.DRAIN, first.key, statements.drain(first))


def catch_up_step(successor: Instance, failed: InstanceKey, interim: InstanceKey) -> Step:
    """Return the step that lets the successor fetch from another replica what that one has."""
    sent = statements.catch_up(successor, failed, interim)
    return Step(0, StepKind.CATCH_UP, successor.key, sent, source=interim)


def promote_step(chosen: Instance, failed: Instance) -> Step:
    """Return the step that makes a replica the primary; one of a pair goes on reading from the other."""
    pair = chosen.key in failed.sources
    sent = statements.promote_pair(chosen, failed.key) if pair else statements.promote(chosen)
    return Step(0, StepKind.PROMOTE, chosen.key, sent)


def repoint_step(replica: Instance, failed: InstanceKey, source: InstanceKey, successor: InstanceKey) -> Step:
    """Return the step that lets a replica of the failed primary follow another source."""
    sent = statements.repoint(replica, failed, source)
    return Step(0, StepKind.REPOINT, replica.key, sent, source=None if source == successor else source)


def numbered(steps: Sequence[Step], first: int = 1) -> tuple[Step, ...]:
    """Return steps with consecutive numbers."""
    return tuple(replace(step, number=number) for number, step in enumerate(steps, start=first))


def promotion_steps(situation: Situation, succession: Succession) -> tuple[Step, ...]:
    """Return all steps of a promotion, in order."""
    failed, successor, interim = situation.failed, succession.successor, succession.interim
    by_key = {replica.key: replica for replica in situation.replicas}
    catch_up = (catch_up_step(successor, failed, interim.key),) if interim is not None else ()
    return numbered(
        (
            fence_step(situation.primary),
            *freeze_steps(situation.replicas, failed),
            Step(0, StepKind.CHOOSE),
            drain_step(succession.first),
            *catch_up,
            promote_step(successor, situation.primary),
            Step(0, StepKind.PUBLISH, successor.key),
            *(
                repoint_step(by_key[key], failed, source, successor.key)
                for key, source in sorted(succession.sources.items())
            ),
            Step(0, StepKind.VERIFY),
        )
    )
