"""Names of clusters: an alias that belongs to one cluster at a time, and a domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.consensus.state.registry.commands import SetClusterName
from services.consensus.state.registry.item_table import ItemTable, Outcome
from services.consensus.state.registry.origin import Written
from services.consensus.state.registry_errors import AliasTaken
from services.consensus.state.rows import Row


@dataclass(frozen=True, slots=True)
class ClusterName:
    """What a cluster is called. Empty `domain` = it has none."""

    cluster_id: str
    alias: str
    domain: str
    written: Written

    @property
    def key(self) -> tuple[str, ...]:
        """What it is found by."""
        return (self.cluster_id,)

    def to_row(self) -> Row:
        """Return the row of `state_cluster_name`."""
        return (self.cluster_id, self.alias, self.domain, *self.written.to_row())

    @classmethod
    def from_row(cls, cluster_id: str, alias: str, domain: str, *written: Any) -> ClusterName:
        """Return the name of a row."""
        return cls(cluster_id, alias, domain, Written(*written))


def set_cluster_name(table: ItemTable[ClusterName], command: SetClusterName, written: Written) -> Outcome[ClusterName]:
    """Name a cluster, unless another one has the alias."""
    holder = find_alias(table, command.alias)
    if holder is not None and holder.cluster_id != command.cluster_id:
        return (), AliasTaken(command.alias, holder.cluster_id)
    return table.write(ClusterName(command.cluster_id, command.alias, command.domain, written))


def find_alias(table: ItemTable[ClusterName], alias: str) -> ClusterName | None:
    """Return the cluster that has exactly this alias."""
    return next((name for name in table.all() if name.alias == alias), None)
