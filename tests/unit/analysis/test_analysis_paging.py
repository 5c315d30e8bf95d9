"""Pages of findings."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analysis.model import Finding, FindingKind, ReplicaCounts
from services.analysis.paging import check_page_size, cut_page, read_token, write_token
from services.shared.runtime.errors import InvalidField
from services.shared.topology.instance import InstanceKey

FINDINGS = st.builds(
    lambda host, port, replicas: Finding(
        InstanceKey(host, port), FindingKind.DEAD_PRIMARY, counts=ReplicaCounts(replicas=replicas)
    ),
    st.text("abc-é", min_size=1, max_size=3),
    st.integers(1, 65535),
    st.integers(0, 3),
)


@given(st.lists(FINDINGS, unique_by=lambda finding: finding.instance), st.integers(1, 5))
def test_pages_put_together_are_the_list(findings: list[Finding], size: int) -> None:
    whole = sorted(findings, key=lambda finding: finding.place)
    pages: list[Finding] = []
    token = ""
    while True:
        page, token = cut_page(whole, size, token)
        assert len(page) <= size
        pages.extend(page)
        if not token:
            break
        assert page
    assert pages == whole


def test_a_finding_that_ends_between_two_pages_hides_no_other() -> None:
    a, b, c = (Finding(InstanceKey(host, 1), FindingKind.DEAD_PRIMARY) for host in "abc")
    _, token = cut_page([a, b, c], 1, "")
    page, _ = cut_page([b, c], 1, token)
    assert page == (b,)


@pytest.mark.parametrize(
    "token",
    ["x", "!!!!", "é", base64.urlsafe_b64encode(b"[1]").decode(), base64.urlsafe_b64encode(b"\xff").decode()],
)
def test_a_token_from_elsewhere_is_refused(token: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        read_token(token)
    assert refusal.value.field == "page_token"


def test_a_token_is_read_as_it_was_written() -> None:
    assert read_token(write_token((-3, "db1", 3306))) == (-3, "db1", 3306)


def test_page_size_has_a_default_and_a_limit() -> None:
    assert (check_page_size(0), check_page_size(1), check_page_size(1000)) == (100, 1, 1000)
    with pytest.raises(InvalidField) as refusal:
        check_page_size(1001)
    assert refusal.value.field == "page_size"
