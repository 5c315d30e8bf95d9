"""A watch of the registry: everything first, then what changed between two looks, and progress when quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from services.consensus.api.watches import PROGRESS_S
from services.consensus.member_loop import MemberLoop
from services.consensus.state.registry.registry import Registry, RegistryItem


@dataclass(frozen=True, slots=True)
class Look:
    """What differs from the look before.

    Attributes:
        revision: Log index this is the state of.
        changed: Items that are new or different; at the first look all.
        removed: Items that are gone, as they last were.
        policy_revision: Log index of the last change of any policy.
    """

    revision: int
    changed: Sequence[RegistryItem]
    removed: Sequence[RegistryItem]
    policy_revision: int


async def watch_registry(loop: MemberLoop) -> AsyncIterator[Look]:
    """Yield the registry, then its changes; nothing changed and nothing removed means progress.

    Between two looks any number of entries may be applied, or a snapshot installed: what is told is the difference, so
    a slow receiver costs no memory.
    """
    told: Mapping[tuple[str, ...], RegistryItem] = {}
    while True:
        count, registry, looked = loop.applied.count, loop.machine.registry, loop.machine.registry.revision
        items = _items(registry)
        yield Look(
            loop.machine.mark.applied_index,
            [item for key, item in items.items() if told.get(key) != item],
            [item for key, item in told.items() if key not in items],
            registry.policy_revision,
        )
        told = items
        while loop.machine.registry is registry and registry.revision == looked:
            if not await loop.applied.wait_beyond(count, PROGRESS_S):
                break
            count = loop.applied.count


def _items(registry: Registry) -> Mapping[tuple[str, ...], RegistryItem]:
    return {(table.name, *item.key): item for table in registry.tables for item in table.all()}
