"""Waiting until all nodes see what they should see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from demo.failure import StoryFailed
from demo.views import NodeOpinion, opinions
from services.ctl.client import Suite
from services.ctl.words import endpoint_text
from services.shared.topology.key import InstanceKey
from tests.support.eventually import eventually
from tests.support.lab import Fleet

_SETTLE_WITHIN_S: Final = 90.0
_AGREE_WITHIN_S: Final = 60.0


async def settled(suite: Suite, instance_count: int) -> list[NodeOpinion]:
    """Wait until every node is healthy, knows all instances and has the primary in its directory."""
    seen: list[NodeOpinion] = []

    async def all_settled() -> bool:
        seen[:] = await opinions(suite)
        return all(_is_settled(opinion, instance_count) for opinion in seen)

    await within(_SETTLE_WITHIN_S, all_settled, lambda: "; ".join(_lacks(opinion, instance_count) for opinion in seen))
    return seen


def _is_settled(opinion: NodeOpinion, instance_count: int) -> bool:
    return not _lacks(opinion, instance_count)


def _lacks(opinion: NodeOpinion, instance_count: int) -> str:
    """What a node still lacks, in words; empty when nothing."""
    status, snapshot = opinion.status, opinion.snapshot
    if not status.healthy:
        failing = ", ".join(f"{service} {state}" for service, state in status.health.items() if state != "serving")
        return f"{status.node} is not healthy ({failing or status.error or 'no leader'})"
    found = len(snapshot.instances) if snapshot else 0
    if found < instance_count:
        return f"{status.node} has found {found} of {instance_count} servers"
    if not opinion.primaries:
        return f"{status.node} has no primary in its directory"
    return ""


async def within(seconds: float, condition: Callable[[], Awaitable[bool]], lacking: Callable[[], str]) -> None:
    """Wait for a condition.

    Raises:
        StoryFailed: It does not hold in time; the text says what was lacking.
    """
    try:
        await eventually(condition, within=seconds)
    except AssertionError:
        raise StoryFailed(f"not within {seconds:.0f} s: {lacking()}") from None


async def agreed(suite: Suite, successor: str, fleet: Fleet) -> list[NodeOpinion]:
    """Wait until every node names the successor and sees each surviving replica replicate from it."""
    seen: list[NodeOpinion] = []
    survivors = [InstanceKey.parse(replica.endpoint) for replica in fleet.replicas if replica.endpoint != successor]

    async def all_agree() -> bool:
        seen[:] = await opinions(suite)
        return all(_names(opinion, successor) and _follow(opinion, successor, survivors) for opinion in seen)

    await within(_AGREE_WITHIN_S, all_agree, lambda: f"not every node sees all replicas follow {successor}")
    return seen


def _names(opinion: NodeOpinion, successor: str) -> bool:
    return [endpoint_text(primary.endpoint) for primary in opinion.primaries] == [successor]


def _follow(opinion: NodeOpinion, successor: str, survivors: list[InstanceKey]) -> bool:
    known = opinion.snapshot.instances if opinion.snapshot else {}
    replicas = [known.get(key) for key in survivors]
    return all(
        replica is not None and replica.replicating and [str(source) for source in replica.sources] == [successor]
        for replica in replicas
    )
