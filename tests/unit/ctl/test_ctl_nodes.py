"""Naming nodes: addresses and the ports of their services."""

from __future__ import annotations

import pytest

from services.ctl.nodes import Node, Service, parse_nodes, union


@pytest.mark.parametrize(
    ("text", "node"),
    [
        pytest.param("db1", Node("db1", 50051), id="host alone has the default ports"),
        pytest.param("db1:6000", Node("db1", 6000), id="host and port"),
        pytest.param("[::1]:6000", Node("::1", 6000), id="IPv6"),
        pytest.param("[::1]", Node("::1", 50051), id="IPv6 alone"),
    ],
)
def test_node_is_parsed(text: str, node: Node) -> None:
    assert Node.parse(text) == node


@pytest.mark.parametrize("text", ["", ":1", "a b", "a/b", "db1:", "db1:x", "db1:0", "db1:65533", "::1"])
def test_malformed_node_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base"):
        Node.parse(text)


def test_services_listen_on_consecutive_ports() -> None:
    node = Node("::1", 100)

    assert [node.endpoint(service) for service in Service] == ["[::1]:100", "[::1]:101", "[::1]:102", "[::1]:103"]


def test_list_of_nodes_keeps_order_and_drops_repetitions() -> None:
    assert parse_nodes("b, a:50051,b,") == (Node("b"), Node("a"))


@pytest.mark.parametrize("text", ["", " , "])
def test_empty_list_of_nodes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no node"):
        parse_nodes(text)


def test_union_keeps_the_first_ones_first() -> None:
    assert union((Node("b"),), (Node("a"), Node("b"))) == (Node("b"), Node("a"))


@pytest.mark.parametrize(
    ("consensus", "recovery", "node"),
    [
        pytest.param("h:50054", "h:50053", Node("h", 50051), id="one after another"),
        pytest.param("h:50054", "h:7000", None, id="other ports"),
        pytest.param("consensus-1:50054", "recovery-1:50053", None, id="hosts of their own"),
        pytest.param("h:50054", "", None, id="recovery not known"),
    ],
)
def test_node_of_a_member_is_known_only_by_the_usual_ports(consensus: str, recovery: str, node: Node | None) -> None:
    assert Node.of_consensus(consensus, recovery) == node
