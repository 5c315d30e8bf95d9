"""Who is who: identities of MariaDB servers, ids of clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID, uuid5

from services.discovery.model import DirectoryEntry
from services.shared.topology.key import InstanceKey

NAMESPACE: Final = UUID("6f1c24b7-0d5e-5f0a-9a3e-0c1f6d9b7e21")
"""Namespace of the ids made here. Never change it: all nodes, at all times, must make the same ids."""


def mariadb_server_uuid(key: InstanceKey, server_id: int) -> str:
    """Return the identity of a MariaDB server, which has no UUID: made of its server id and its endpoint."""
    return str(uuid5(NAMESPACE, f"mariadb/{server_id}/{key}"))


def new_cluster_id(server_uuid: str) -> str:
    """Return the id of a cluster first seen under this topmost server: the same on every node."""
    return str(uuid5(NAMESPACE, f"cluster/{server_uuid}"))


class Directory:
    """The replicated directory of primaries, by what discovery asks of it."""

    def __init__(self, entries: Iterable[DirectoryEntry] = ()) -> None:
        self._by_id = {entry.cluster_id: entry for entry in entries}
        self._former = {uuid: entry.cluster_id for entry in self._by_id.values() for uuid in entry.former_uuids}
        self._present = {entry.server_uuid: entry.cluster_id for entry in self._by_id.values() if entry.server_uuid}

    def with_changed(self, entries: Iterable[DirectoryEntry]) -> Directory:
        """Return the directory after changes."""
        return Directory({**self._by_id, **{entry.cluster_id: entry for entry in entries}}.values())

    def cluster_of(self, server_uuid: str) -> str | None:
        """Return the cluster that a server is, or else was, the primary of."""
        return self._present.get(server_uuid) or self._former.get(server_uuid)

    def entry(self, cluster_id: str) -> DirectoryEntry | None:
        """Return what is published of a cluster."""
        return self._by_id.get(cluster_id)


def cluster_id_of(
    top: InstanceKey, top_uuid: str, remembered: Mapping[InstanceKey, str], directory: Directory
) -> str:  # fmt: skip
    """Return the id of the cluster that a tree of instances forms.

    The directory comes first: it is the one answer all nodes share. Then what the topmost instance was known under,
    then most of the others, so that an id outlives primaries; at last a new one.

    Args:
        top: The topmost instance.
        top_uuid: Its server UUID; empty when it was never read.
        remembered: Ids that members of the tree had before.
        directory: The replicated directory.
    """
    known = directory.cluster_of(top_uuid) if top_uuid else None
    if known or top in remembered:
        return known or remembered[top]
    votes = Counter(remembered.values())
    if votes:
        most = max(votes.values())
        return min(cluster_id for cluster_id, count in votes.items() if count == most)
    return new_cluster_id(top_uuid or str(top))
