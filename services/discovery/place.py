"""Where instances stand: trees of replication, tops, depths, rings.

Each instance belongs to the tree of its parent: the source of its first channel by name. So trees are disjoint also
with multi-source replication. At the top of a tree is an instance without source, an endpoint that was never read, or a
ring (co-primaries), one member of which, the smallest server UUID, counts as its head.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of replication.

    Attributes:
        top: Its topmost endpoint; not in `members` when nothing is known of it but its name.
        depths: Every known member, topmost first; None = unknown, because the top was never read.
    """

    top: InstanceKey
    depths: Mapping[InstanceKey, int | None]


class Graph:
    """The edges of replication between known instances, kept up to date one instance at a time."""

    def __init__(self) -> None:
        self._instances: dict[InstanceKey, Instance] = {}
        self._replicas: dict[InstanceKey, set[InstanceKey]] = {}

    def put(self, instance: Instance) -> None:
        """Add an instance, or replace what is known of it."""
        self.remove(instance.key)
        self._instances[instance.key] = instance
        for source in instance.sources:
            self._replicas.setdefault(source, set()).add(instance.key)

    def remove(self, key: InstanceKey) -> None:
        """Remove an instance; its replicas stay, below an unknown top."""
        old = self._instances.pop(key, None)
        for source in old.sources if old is not None else ():
            self._replicas[source].discard(key)
            if not self._replicas[source]:
                del self._replicas[source]

    def get(self, key: InstanceKey) -> Instance | None:
        """Return what is known of an instance."""
        return self._instances.get(key)

    def replicas(self, key: InstanceKey) -> frozenset[InstanceKey]:
        """Return the instances that read from an endpoint by any of their channels."""
        return frozenset(self._replicas.get(key, ()))

    def parent(self, key: InstanceKey) -> InstanceKey | None:
        """Return the source of the first channel of an instance; None for a primary, and for an unknown one."""
        instance = self._instances.get(key)
        return instance.sources[0] if instance is not None and instance.sources else None

    def ancestors(self, key: InstanceKey) -> Iterator[Instance]:
        """Yield the parent, its parent and so on, as far as known; each once, a ring ends before it repeats."""
        seen = {key}
        parent = self.parent(key)
        while parent is not None and parent not in seen and (instance := self._instances.get(parent)) is not None:
            yield instance
            seen.add(parent)
            parent = self.parent(parent)

    def is_co_primary(self, key: InstanceKey) -> bool:
        """Return whether the source of one of its sources is itself."""
        instance = self._instances.get(key)
        sources = instance.sources if instance is not None else ()
        known = (self._instances.get(source) for source in sources if source != key)
        return any(source is not None and key in source.sources for source in known)

    def tree(self, key: InstanceKey) -> Tree:
        """Return the tree an endpoint belongs to."""
        top = self._top(key)
        known = self._instances.get(top)
        depths: dict[InstanceKey, int | None] = {}
        if known is not None:
            depths[top] = 0 if known.server_uuid else None
        below = deque([top])
        while below:
            source = below.popleft()
            depth = depths.get(source)
            for child in sorted(self._replicas.get(source, ())):
                if child not in depths and child != top and self.parent(child) == source:
                    depths[child] = None if depth is None else depth + 1
                    below.append(child)
        return Tree(top, depths)

    def trees(self, keys: Iterable[InstanceKey]) -> list[Tree]:
        """Return the trees of some endpoints, each once."""
        trees: list[Tree] = []
        placed: set[InstanceKey] = set()
        for key in sorted(keys):
            if key not in placed:
                tree = self.tree(key)
                placed.update(tree.depths)
                trees.append(tree)
        return trees

    def _top(self, key: InstanceKey) -> InstanceKey:
        path = [key]
        while (parent := self.parent(path[-1])) is not None:
            if parent in path:
                ring = path[path.index(parent) :]
                return min(ring, key=lambda member: (self._instances[member].server_uuid, member))
            path.append(parent)
        return path[-1]
