"""What the directory of primaries and the topology say about one another. Pure.

Two things follow: a healthy cluster that the directory does not know is published, and a former primary that takes
writes beside the present one is made read-only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from services.recovery.model import Primary
from services.shared.topology.instance import Cluster, Instance, TopologySnapshot


def _takes_writes(instance: Instance | None) -> bool:
    return (
        instance is not None
        and instance.reading.last_check_valid
        and instance.read_only is False
        and not instance.sources
    )


def found_primaries(
    snapshot: TopologySnapshot, known: Collection[str], busy: Collection[str]
) -> Iterator[tuple[Cluster, Instance]]:
    """Return clusters that the directory does not know, with the one writable primary that replicas replicate from.

    Args:
        snapshot: The topology.
        known: Ids of the clusters in the directory.
        busy: Ids of clusters with an open recovery.
    """
    for cluster in snapshot.clusters.values():
        if cluster.cluster_id in known or cluster.cluster_id in busy:
            continue
        members = [each for each in snapshot.instances.values() if each.cluster_id == cluster.cluster_id]
        writable = [each for each in members if _takes_writes(each)]
        if len(writable) != 1 or not writable[0].server_uuid:
            continue
        replicas = snapshot.direct_replicas(writable[0].key)
        if any(each.reading.last_check_valid and each.replicating for each in replicas):
            yield cluster, writable[0]


def returned_primaries(
    snapshot: TopologySnapshot, primaries: Mapping[str, Primary]
) -> Iterator[tuple[Primary, Instance]]:
    """Return former primaries that take writes although the directory names another one, which takes writes too.

    Where the directory's primary does not take writes, people may have moved the role by hand: nothing is concluded.
    """
    for primary in primaries.values():
        present = snapshot.instances.get(primary.endpoint)
        if not _takes_writes(present):
            continue
        former = {each.server_uuid for each in primary.former if each.server_uuid} - {primary.server_uuid}
        for instance in snapshot.instances.values():
            if instance.server_uuid in former and instance.key != primary.endpoint and _takes_writes(instance):
                yield primary, instance
