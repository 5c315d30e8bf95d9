"""The log, majorities, and the generator of the core."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.raft.log import ENTRY_OVERHEAD, Log
from services.consensus.raft.model import Entry, EntryKind, InvariantViolated, LogMark
from services.consensus.raft.quorum import majority, reached_by
from services.consensus.raft.randomness import SplitMix64

terms = st.lists(st.integers(1, 5), max_size=12).map(sorted)


def _log(numbers: list[int], data: bytes = b"") -> Log:
    return Log([Entry(index, term, EntryKind.COMMAND, 0, data) for index, term in enumerate(numbers, 1)])


@given(terms, st.integers(0, 15), st.integers(0, 6))
def test_may_match_is_the_last_entry_within_both_bounds(numbers: list[int], index: int, term: int) -> None:
    """R4."""
    within = [place for place in range(1, len(numbers) + 1) if place <= index and numbers[place - 1] <= term]
    found = max(within, default=0)
    assert _log(numbers).may_match(index, term) == LogMark(found, numbers[found - 1] if found else 0)


@given(terms.filter(bool), st.data())
def test_compacted_log_answers_as_before_from_its_mark_on(numbers: list[int], data: st.DataObject) -> None:
    """N1: nobody who asks from the mark on can tell the difference."""
    whole, log = _log(numbers, b"xy"), _log(numbers, b"xy")
    for to in sorted(data.draw(st.lists(st.integers(0, len(numbers)), max_size=3))):
        log.compact(to)
    mark = log.mark
    assert mark == LogMark(mark.index, whole.term_at(mark.index) or 0)
    assert (log.last_index, log.last_term) == (whole.last_index, whole.last_term)
    assert log.bytes == whole.size(mark.index + 1)
    for index in range(len(numbers) + 3):
        assert log.term_at(index) == (whole.term_at(index) if index >= mark.index else None)
        if index > mark.index:
            assert log.between(index, log.last_index) == whole.between(index, whole.last_index)
            assert log.batch(index, 2, 1000) == whole.batch(index, 2, 1000)
            assert log.size(index) == whole.size(index)
    for index, term in itertools.product(range(len(numbers) + 2), range(7)):
        found = whole.may_match(index, term)
        assert found is not None
        assert log.may_match(index, term) == (found if found.index >= mark.index else None)


@given(terms.filter(bool), st.data())
def test_size_follows_whatever_happens_to_the_log(numbers: list[int], data: st.DataObject) -> None:
    log = _log(numbers, b"abc")
    to = data.draw(st.integers(0, len(numbers)))
    log.compact(to)
    log.truncate(data.draw(st.integers(to + 1, len(numbers) + 1)))
    assert log.bytes == log.size(log.mark.index + 1) == (log.last_index - to) * (3 + ENTRY_OVERHEAD)
    log.reset(LogMark(20, 9))
    assert (log.bytes, log.last_index, log.last_term, log.term_at(20)) == (0, 20, 9, 9)


@pytest.mark.parametrize(
    ("attempt", "rule"),
    [
        pytest.param(lambda log: log.truncate(2), "S5", id="truncation-of-the-mark"),
        pytest.param(lambda log: log.compact(1), "I16", id="compaction-backwards"),
        pytest.param(lambda log: log.compact(5), "I16", id="compaction-beyond-the-end"),
    ],
)
def test_compacted_log_keeps_its_mark(attempt: Callable[[Log], None], rule: str) -> None:
    log = _log([1, 1, 2, 2])
    log.compact(2)
    with pytest.raises(InvariantViolated, match=rule):
        attempt(log)


@given(terms, terms)
def test_of_two_logs_one_at_least_covers_the_other(mine: list[int], other: list[int]) -> None:
    """E4: otherwise nobody could ever win."""
    a, b = _log(mine), _log(other)
    covers = b.is_covered_by(a.last_index, a.last_term), a.is_covered_by(b.last_index, b.last_term)
    assert any(covers)
    assert all(covers) == ((len(mine), mine[-1:]) == (len(other), other[-1:]))


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 300))
def test_batch_keeps_its_limits_and_always_moves_on(first: int, max_entries: int, max_bytes: int) -> None:
    entries, size = _log([1] * 8, b"x" * 50).batch(first, max_entries, max_bytes)
    assert [entry.index for entry in entries] == list(range(first, first + len(entries)))
    assert 1 <= len(entries) <= max_entries
    assert size == len(entries) * (50 + ENTRY_OVERHEAD)
    assert size <= max_bytes or len(entries) == 1


@pytest.mark.parametrize(
    ("index", "term"),
    [pytest.param(4, 2, id="gap"), pytest.param(2, 2, id="overlap"), pytest.param(3, 1, id="falling-term")],
)
def test_log_refuses_what_does_not_continue_it(index: int, term: int) -> None:
    with pytest.raises(InvariantViolated, match="S3"):
        _log([1, 2]).append([Entry(index, term, EntryKind.COMMAND, 0, b"")])


@pytest.mark.parametrize(("voters", "need"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_majority(voters: int, need: int) -> None:
    assert majority(voters) == need


@given(st.lists(st.integers(), min_size=1, max_size=7))
def test_reached_by_is_the_largest_value_a_majority_has(values: list[int]) -> None:
    need = majority(len(values))
    reached = reached_by(values, need)
    assert sum(value >= reached for value in values) >= need
    assert sum(value > reached for value in values) < need


def test_generator_gives_the_published_sequence() -> None:
    generator = SplitMix64(1234567)
    assert [generator.next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(), st.integers(-3, 100))
def test_random_numbers_stay_below_their_bound(seed: int, bound: int) -> None:
    assert 0 <= SplitMix64(seed).below(bound) < max(1, bound)
