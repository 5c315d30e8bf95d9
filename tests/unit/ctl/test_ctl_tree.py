"""Trees: every shape of replication graph, each instance once, what is not known shown as such."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.ctl.text import plain
from services.ctl.views.tree import topology_lines, tree_lines
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.snapshot import Cluster, TopologySnapshot
from tests.unit.ctl.instances import channel, key, primary, replica


def drawn(*instances: Instance, at: InstanceKey | None = None) -> str:
    """Return the tree as text, brackets cut to what the shape is about."""
    lines = [plain(content) for content in tree_lines(instances, at)]
    return "\n" + "\n".join(content.replace(",9.7.0,", ",").replace(",ROW,>>,GTID]", "]") for content in lines)


def test_replicas_hang_below_their_source_by_endpoint() -> None:
    tree = drawn(replica("r2", "p"), primary("p"), replica("r1", "p"), at=key("p"))

    assert (
        tree
        == """
p:3306     [-,ok,rw]
├─ r1:3306 [0s,ok,ro]
└─ r2:3306 [0s,ok,ro]"""
    )


def test_chain_grows_to_the_right() -> None:
    tree = drawn(primary("p"), replica("a", "p"), replica("b", "a"), replica("c", "b"), replica("z", "p"), at=key("p"))

    assert (
        tree
        == """
p:3306          [-,ok,rw]
├─ a:3306       [0s,ok,ro]
│  └─ b:3306    [0s,ok,ro]
│     └─ c:3306 [0s,ok,ro]
└─ z:3306       [0s,ok,ro]"""
    )


def test_co_primaries_hang_below_the_one_in_charge_and_are_marked() -> None:
    first = replace(replica("p1", "p2"), co_primary=True, read_only=False)
    second = replace(replica("p2", "p1"), co_primary=True)

    assert (
        drawn(first, second, replica("r", "p2"), at=key("p1"))
        == """
p1:3306      [0s,ok,rw]  co-primary
└─ p2:3306   [0s,ok,ro]  co-primary
   └─ r:3306 [0s,ok,ro]"""
    )


def test_ring_without_a_known_primary_begins_at_the_writable_one() -> None:
    ring = [replica("a", "c"), replace(replica("b", "a"), read_only=False), replica("c", "b")]

    assert drawn(*ring).splitlines()[1].startswith("b:3306")
    assert "reads from a:3306" in drawn(*ring).splitlines()[1]


def test_orphan_tells_whom_it_reads_from() -> None:
    assert (
        drawn(primary("p"), replica("r", "gone"), at=key("p"))
        == """
p:3306 [-,ok,rw]
r:3306 [0s,ok,ro]  reads from gone:3306, not known"""
    )


def test_second_source_is_a_note() -> None:
    assert (
        drawn(primary("p"), primary("q"), replica("r", "p", channel("q", name="extra")), at=key("p"))
        == """
p:3306    [-,ok,rw]
└─ r:3306 [0s,ok,ro]  reads from q:3306 (channel extra)
q:3306    [-,ok,rw]"""
    )


def test_detached_replica_tells_from_whom() -> None:
    assert "detached from p:3306" in drawn(replica("r", "//p"))


def test_instance_that_reads_from_itself_is_drawn_once() -> None:
    assert drawn(replica("a", "a")).count("a:3306 [") == 1


def test_clusters_come_by_alias_and_strays_last() -> None:
    alone = primary("p")
    snapshot = TopologySnapshot(
        clusters={
            "id-2": Cluster("id-2", "orders", primary=key("o"), epoch=3),
            "id-1": Cluster("id-1", "billing"),
        },
        instances={
            instance.key: instance
            for instance in (
                replace(alone, key=key("o"), cluster_id="id-2"),
                replace(alone, key=key("b"), cluster_id="id-1"),
                replace(alone, key=key("x"), cluster_id=""),
            )
        },
    )

    heads = [plain(content).split("  ")[0] for content in topology_lines(snapshot)]

    assert heads == [
        "cluster billing: no single primary in sight",
        "b:3306 [-,ok,9.7.0,rw,ROW,>>,GTID]",
        "",
        "cluster orders: primary o:3306, epoch 3",
        "o:3306 [-,ok,9.7.0,rw,ROW,>>,GTID]",
        "",
        "in no cluster yet",
        "x:3306 [-,ok,9.7.0,rw,ROW,>>,GTID]",
    ]


def test_nothing_known_says_how_to_begin() -> None:
    (content,) = topology_lines(TopologySnapshot())

    assert "primacy discover HOST:PORT" in plain(content)


_NAMES = st.sampled_from("abcdefg")


@given(st.dictionaries(_NAMES, st.lists(_NAMES, max_size=2)), st.one_of(st.none(), _NAMES))
def test_every_instance_of_any_graph_is_drawn_exactly_once(edges: dict[str, list[str]], top: str | None) -> None:
    instances = [
        replace(primary(name), channels=tuple(channel(source) for source in sources)) for name, sources in edges.items()
    ]

    lines = [plain(content) for content in tree_lines(instances, key(top) if top else None)]

    names = sorted(content.partition(" [")[0].strip("├└─│ ") for content in lines)
    assert names == sorted(f"{name}:3306" for name in edges)
