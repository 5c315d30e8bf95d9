"""The topology as analysis holds it agrees with the snapshot it came from, whatever the order of deltas."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.analysis.model import TopologyDelta
from services.analysis.view import TopologyView
from services.shared.topology.channel import ReplicationChannel
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import TopologySnapshot

KEYS = [InstanceKey(f"db{number}", 3306) for number in range(4)]
INSTANCES = st.builds(
    lambda key, sources, cluster: Instance(
        key, cluster_id=cluster, channels=tuple(ReplicationChannel(source) for source in sources)
    ),
    st.sampled_from(KEYS),
    st.lists(st.sampled_from(KEYS), max_size=2, unique=True),
    st.sampled_from(["", "c1", "c2"]),
)
DELTAS = st.builds(
    lambda changed, removed: TopologyDelta(changed_instances=tuple(changed), removed_instances=tuple(removed)),
    st.lists(INSTANCES, max_size=3),
    st.lists(st.sampled_from(KEYS), max_size=2),
)


@settings(deadline=None)
@given(st.lists(DELTAS, max_size=8))
def test_indexes_agree_with_the_instances(deltas: list[TopologyDelta]) -> None:
    view = TopologyView()
    for delta in deltas:
        before = TopologySnapshot(instances=dict(view.instances))
        touched = view.change(delta)
        after = TopologySnapshot(instances=dict(view.instances))
        for key in KEYS:
            assert view.direct_replicas(key) == after.direct_replicas(key)
            assert view.replica_count(key) == len(after.direct_replicas(key))
            if before.direct_replicas(key) != after.direct_replicas(key):
                assert key in touched
            if before.instances.get(key) != after.instances.get(key):
                assert key in touched
        for cluster in ("", "c1", "c2"):
            members = tuple(
                key for key in KEYS if key in after.instances and after.instances[key].cluster_id == cluster
            )
            assert view.members(cluster) == members
