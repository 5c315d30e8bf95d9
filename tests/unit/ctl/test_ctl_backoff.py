"""A process that crashes again and again is started later and later, within limits."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.ctl.up.backoff import FIRST_DELAY, FORGIVEN_AFTER, LONGEST_DELAY, Backoff

SHORT = timedelta(seconds=1)


def test_delay_doubles_with_each_crash_in_a_row() -> None:
    first = Backoff().after_crash(SHORT)
    second = first.after_crash(SHORT)
    third = second.after_crash(SHORT)

    assert [first.delay, second.delay, third.delay] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4]


def test_long_run_forgives_earlier_crashes() -> None:
    assert Backoff(crashes=9).after_crash(FORGIVEN_AFTER).delay == FIRST_DELAY


def test_what_never_crashed_starts_at_once() -> None:
    assert Backoff().delay == timedelta()


@given(st.integers(min_value=1, max_value=10_000))
def test_delay_never_shrinks_nor_passes_the_limit(crashes: int) -> None:
    before, after = Backoff(crashes), Backoff(crashes).after_crash(SHORT)

    assert before.delay <= after.delay <= LONGEST_DELAY
