"""Styled text as values: alignment, and what a terminal never gets to see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ctl.text import Cell, bad, columns, fold, indent, line, plain, printable, width


def test_columns_align_all_but_the_last_cell() -> None:
    rows: list[list[Cell]] = [["a", bad("long"), "x"], ["bbb", "c", "something else"]]

    assert [plain(content) for content in columns(rows)] == ["a    long  x", "bbb  c     something else"]


def test_rows_may_have_fewer_cells_than_others() -> None:
    assert [plain(content) for content in columns([("one",), ("a", "b")])] == ["one", "a  b"]


def test_no_rows_are_no_lines() -> None:
    assert columns([]) == []


def test_indent_moves_every_line() -> None:
    assert [plain(content) for content in indent([line("a"), line("b")], by=3)] == ["   a", "   b"]


def test_long_line_goes_on_below_with_a_hanging_indent() -> None:
    folded = fold(line("one two ", bad("three four"), " five"), limit=10, hang=2)

    assert [plain(content) for content in folded] == ["one two", "  three", "  four", "  five"]
    assert bad("three ") in folded[1]


def test_word_longer_than_the_limit_stays_whole() -> None:
    assert [plain(content) for content in fold(line("abc", " " + "x" * 20), limit=10, hang=2)] == [
        "abc",
        "  " + "x" * 20,
    ]


@given(st.text(alphabet="ab  ", max_size=60), st.integers(min_value=6, max_value=20))
def test_folding_loses_no_word(text: str, limit: int) -> None:
    folded = [plain(content) for content in fold(line(text), limit, hang=2)]

    assert " ".join(folded).split() == text.split()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param("\x1b[2Jgone", "?[2Jgone", id="escape sequence"),
        pytest.param("two\nlines\tand", "two lines and", id="line break and tab"),
        pytest.param("\u202eevil", "?evil", id="right-to-left override"),
        pytest.param("\x9b31m", "?31m", id="8-bit control sequence"),
        pytest.param("grüße, 数据库", "grüße, 数据库", id="letters stay"),
    ],
)
def test_text_of_servers_cannot_steer_the_terminal(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@given(st.lists(st.lists(st.text(alphabet="ab ", max_size=8), min_size=2, max_size=4), min_size=1, max_size=6))
def test_columns_lose_no_text(rows: list[list[str]]) -> None:
    for row, content in zip(rows, columns(rows), strict=True):
        assert width(content) >= sum(len(cell) for cell in row)
        assert "".join(plain(content).split()) == "".join("".join(row).split())
