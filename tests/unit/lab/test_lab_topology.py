"""The grammar of topologies."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lab.topology import InstanceSpec, InvalidTopology, parse_topology


def _of(source: str, name: str) -> InstanceSpec:
    return InstanceSpec(name, source=source)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("p", (InstanceSpec("p"),), id="lone-primary"),
        pytest.param(
            "p -> r1 r2(r3)",
            (
                InstanceSpec("p"),
                InstanceSpec("r1", source="p"),
                InstanceSpec("r2", source="p"),
                InstanceSpec("r3", source="r2"),
            ),
            id="tree",
        ),
        pytest.param("p->r(s)", (InstanceSpec("p"), _of("p", "r"), _of("r", "s")), id="tight"),
        pytest.param(
            "p@us-east -> r1 r2@eu(r3)",
            (
                InstanceSpec("p", "us-east"),
                InstanceSpec("r1", "us-east", source="p"),
                InstanceSpec("r2", "eu", source="p"),
                InstanceSpec("r3", "eu", source="r2"),
            ),
            id="data-centre-is-inherited",
        ),
        pytest.param(
            "p -> r{delay=5, semi_sync=off} s{semi_sync=on}",
            (
                InstanceSpec("p"),
                InstanceSpec("r", source="p", delay_s=5, semi_sync=False),
                InstanceSpec("s", source="p", semi_sync=True),
            ),
            id="options",
        ),
        pytest.param(
            "a -> b ; c", (InstanceSpec("a"), InstanceSpec("b", source="a"), InstanceSpec("c")), id="two-clusters"
        ),
    ],
)
def test_line_is_read(line: str, expected: tuple[InstanceSpec, ...]) -> None:
    assert parse_topology(line) == expected


@pytest.mark.parametrize(
    ("line", "problem", "column"),
    [
        pytest.param("", "expected a name", 1, id="empty"),
        pytest.param("p -> ", "expected a name", 5, id="no-replica"),
        pytest.param("p r", "unexpected 'r'", 3, id="no-arrow"),
        pytest.param("p -> r(s", "expected ')'", 9, id="open-parenthesis"),
        pytest.param("p -> r()", "expected a name", 8, id="empty-parentheses"),
        pytest.param("p -> p", "'p' a second time", 6, id="repeated-name"),
        pytest.param("p@ -> r", "expected a data centre", 4, id="no-data-centre"),
        pytest.param("p -> r{lag=5}", "no option 'lag' here", 8, id="unknown-option"),
        pytest.param("p{delay=5}", "no option 'delay' here", 3, id="delayed-primary"),
        pytest.param("p -> r{delay=soon}", "expected whole seconds", 14, id="delay-without-seconds"),
        pytest.param("p -> r{semi_sync=1}", "expected on or off", 18, id="switch"),
        pytest.param("p -> r; ", "expected a name", 8, id="no-second-cluster"),
        pytest.param("p => r", "unexpected '>'", 4, id="strange-sign"),
    ],
)
def test_mistake_is_named_with_its_column(line: str, problem: str, column: int) -> None:
    with pytest.raises(InvalidTopology, match=re.escape(f"{problem} at column {column} of")):
        parse_topology(line)


@given(st.text(alphabet="pr1 ->()@{}=,;", max_size=24))
def test_whatever_is_accepted_names_sources_before_their_replicas(line: str) -> None:
    try:
        specs = parse_topology(line)
    except InvalidTopology:
        return
    seen: set[str] = set()
    for spec in specs:
        assert spec.source is None or spec.source in seen
        assert spec.name not in seen
        seen.add(spec.name)
