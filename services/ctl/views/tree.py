"""A cluster as a tree: one line per instance, drawn below the source it reads from.

Replication is a graph, so a tree loses something: an instance with several sources is drawn below the first one, and
co-primaries below the one that takes the writes. Notes on the line say what the tree cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.ctl.text import Line, columns, dim, line, strong, warn
from services.ctl.views.instance import bracket, notes
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot

_BRANCH, _LAST_BRANCH, _TRUNK, _NO_TRUNK = "├─ ", "└─ ", "│  ", "   "


def topology_lines(snapshot: TopologySnapshot) -> list[Line]:
    """Return every cluster of a snapshot by alias, then the instances that belong to none."""
    clusters = sorted(snapshot.clusters.values(), key=lambda cluster: (cluster.alias, cluster.cluster_id))
    blocks = [cluster_lines(cluster, _members(snapshot, cluster.cluster_id)) for cluster in clusters]
    strays = [instance for instance in snapshot.instances.values() if instance.cluster_id not in snapshot.clusters]
    if strays:
        blocks.append([line(warn("in no cluster yet")), *tree_lines(strays, None)])
    if not blocks:
        return [line("nothing is known yet; make a topology known: primacy discover HOST:PORT")]
    return [content for number, block in enumerate(blocks) for content in ([line()] if number else []) + block]


def _members(snapshot: TopologySnapshot, cluster_id: str) -> list[Instance]:
    return [instance for instance in snapshot.instances.values() if instance.cluster_id == cluster_id]


def cluster_lines(cluster: Cluster, instances: Sequence[Instance]) -> list[Line]:
    """Return the head line of a cluster and its tree."""
    primary = (
        line("primary ", strong(str(cluster.primary))) if cluster.primary else line(warn("no single primary in sight"))
    )
    epoch = f", epoch {cluster.epoch}" if cluster.epoch else ""
    head = line("cluster ", strong(cluster.alias), ": ", primary, epoch, dim(f"  {cluster.cluster_id}"))
    return [head, *tree_lines(instances, cluster.primary)]


def tree_lines(instances: Iterable[Instance], primary: InstanceKey | None) -> list[Line]:
    """Return one line per instance, below its source, brackets aligned.

    Args:
        instances: The instances of one cluster.
        primary: Its primary, drawn first; None when unknown.
    """
    forest = _Forest({instance.key: instance for instance in instances}, primary)
    for root in forest.roots():
        forest.draw(root, head="", below="", parent=None)
    for left in forest.left_over():
        forest.draw(left, head="", below="", parent=None)
    return columns(forest.rows, gap=1)


@dataclass
class _Forest:
    """Draws the replication graph as trees, each instance once."""

    instances: Mapping[InstanceKey, Instance]
    primary: InstanceKey | None
    drawn: set[InstanceKey] = field(default_factory=set)
    rows: list[tuple[Line, Line]] = field(default_factory=list)

    def roots(self) -> list[InstanceKey]:
        """Return the primary, then what has no source among these instances, by endpoint."""
        tops = (key for key, instance in self.instances.items() if not self._sources(instance))
        first = [self.primary] if self.primary in self.instances and self.primary is not None else []
        return list(dict.fromkeys([*first, *sorted(tops)]))

    def left_over(self) -> Iterable[InstanceKey]:
        """Yield where to begin in what no root reaches: rings. Writable ones first, then by endpoint."""
        order = sorted(self.instances.values(), key=lambda instance: (instance.read_only is not False, instance.key))
        for instance in order:
            if instance.key not in self.drawn:
                yield instance.key

    def draw(self, key: InstanceKey, *, head: str, below: str, parent: InstanceKey | None) -> None:
        """Add the line of an instance and of everything below it.

        Args:
            key: The instance.
            head: What stands before its name.
            below: What stands before the names of its replicas' heads.
            parent: The source it is drawn below; None at the top.
        """
        if key in self.drawn:
            return
        self.drawn.add(key)
        instance = self.instances[key]
        name = strong(str(key)) if key == self.primary else str(key)
        self.rows.append(
            (line(dim(head), name), line(bracket(instance), notes(instance, parent, self.instances.keys())))
        )
        replicas = [other for other in self._replicas(key) if other not in self.drawn]
        for number, replica in enumerate(replicas, start=1):
            last = number == len(replicas)
            branch, trunk = (_LAST_BRANCH, _NO_TRUNK) if last else (_BRANCH, _TRUNK)
            self.draw(replica, head=below + branch, below=below + trunk, parent=key)

    def _sources(self, instance: Instance) -> list[InstanceKey]:
        return [source for source in instance.sources if source in self.instances]

    def _replicas(self, key: InstanceKey) -> list[InstanceKey]:
        """Return who reads from an instance through its first channel that leads into this cluster, by endpoint."""
        below = (other.key for other in self.instances.values() if self._sources(other)[:1] == [key])
        return sorted(below)
