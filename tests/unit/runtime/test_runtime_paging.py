"""Pages of lists: put together they are the list, whatever changes between two of them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.errors import InvalidField
from services.shared.runtime.paging import MAX_PAGE_SIZE, Place, page_of


def itself(item: tuple[int, str]) -> Place:
    return item


@given(st.lists(st.tuples(st.integers(), st.text(max_size=3)), unique=True), st.integers(1, 5))
def test_pages_put_together_are_the_list(items: list[tuple[int, str]], size: int) -> None:
    read: list[tuple[int, str]] = []
    token = ""
    for _ in range(len(items) + 1):
        page, token = page_of(items, itself, size, token)
        assert len(page) <= size
        read.extend(page)
        if not token:
            break
    assert read == sorted(items)


def test_item_that_goes_between_two_pages_hides_no_other() -> None:
    a, b, c = (1, "a"), (2, "b"), (3, "c")
    _, token = page_of([a, b, c], itself, 1, "")
    page, token = page_of([b, c], itself, 1, token)
    assert (page, token != "") == ([b], True)
    assert page_of([c], itself, 1, token) == ([c], "")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("x", id="no base64"),
        pytest.param("é", id="no ascii"),
        pytest.param(base64.urlsafe_b64encode(b"\xff").decode(), id="no text"),
        pytest.param(base64.urlsafe_b64encode(b"{}").decode(), id="no list"),
        pytest.param(base64.urlsafe_b64encode(b"[]").decode(), id="an empty list"),
        pytest.param(base64.urlsafe_b64encode(b"[[1]]").decode(), id="a list of lists"),
        pytest.param(base64.urlsafe_b64encode(b'["a"]').decode(), id="a place of another list"),
    ],
)
def test_token_from_elsewhere_is_refused(token: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        page_of([(1, "a")], itself, 1, token)
    assert refusal.value.field == "page_token"


def test_page_size_has_a_default_and_a_limit() -> None:
    items = [(number, "") for number in range(MAX_PAGE_SIZE + 1)]
    assert [len(page_of(items, itself, size, "")[0]) for size in (0, 1, MAX_PAGE_SIZE)] == [100, 1, MAX_PAGE_SIZE]
    with pytest.raises(InvalidField) as refusal:
        page_of(items, itself, MAX_PAGE_SIZE + 1, "")
    assert refusal.value.field == "page_size"
