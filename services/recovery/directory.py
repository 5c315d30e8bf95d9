"""What the directory of primaries and the topology say about one another. Pure.

Three things follow: a healthy cluster that the directory does not know is published; a former primary that takes writes
beside the present one is made read-only; and nobody is promoted in place of an instance that is no longer the primary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from services.recovery.model import Finding, Primary
from services.shared.topology.instance import Instance
from services.shared.topology.snapshot import Cluster, TopologySnapshot


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
    unknown = [each for each in snapshot.clusters.values() if each.cluster_id not in {*known, *busy}]
    if not unknown:
        return
    writable: dict[str, list[Instance]] = defaultdict(list)
    for instance in snapshot.instances.values():
        if _takes_writes(instance):
            writable[instance.cluster_id].append(instance)
    for cluster in unknown:
        primaries = writable[cluster.cluster_id]
        if len(primaries) != 1 or not primaries[0].server_uuid:
            continue
        replicas = snapshot.direct_replicas(primaries[0].key)
        if any(each.reading.last_check_valid and each.replicating for each in replicas):
            yield cluster, primaries[0]


def returned_primaries(
    snapshot: TopologySnapshot, primaries: Mapping[str, Primary]
) -> Iterator[tuple[Primary, Instance]]:
    """Return former primaries that take writes although the directory names another one, which takes writes too.

    Where the directory's primary does not take writes, people may have moved the role by hand: nothing is concluded.
    """
    former: dict[str, Primary] = {}
    for primary in primaries.values():
        if primary.former and _takes_writes(snapshot.instances.get(primary.endpoint)):
            former.update({each.server_uuid: primary for each in primary.former if each.server_uuid})
            former.pop(primary.server_uuid, None)
    if not former:
        return
    for instance in snapshot.instances.values():
        present = former.get(instance.server_uuid)
        if present is not None and instance.key != present.endpoint and _takes_writes(instance):
            yield present, instance


def why_superseded(finding: Finding, snapshot: TopologySnapshot, primaries: Mapping[str, Primary]) -> str:
    """Return why an instance is not the primary of its cluster any more, in a sentence; empty when it may be.

    Replicas that a failover lost still point at the dead former primary, which so looks like a dead primary with
    replicas: to promote one of them would make a second primary. An entry that is out of date, because people moved the
    role by hand, proves nothing as long as the instance it names takes no writes.
    """
    primary = primaries.get(finding.cluster_id)
    if primary is None or primary.endpoint == finding.instance or primary.server_uuid == finding.server_uuid:
        return ""
    present = snapshot.instances.get(primary.endpoint)
    if present is not None and finding.instance in present.sources:
        return ""  # The directory's primary replicates from it: people moved the role back.
    uuids = {each.server_uuid for each in primary.former if each.server_uuid}
    if finding.server_uuid in uuids or finding.instance in {each.endpoint for each in primary.former}:
        return f"{finding.instance} is a former primary: {primary.endpoint} took over in epoch {primary.epoch}"
    if _takes_writes(present):
        return f"{primary.endpoint} is the primary of this cluster and takes writes"
    return ""
