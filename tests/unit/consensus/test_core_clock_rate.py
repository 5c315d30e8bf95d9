"""The rate of a peer's clock, from readings whose moment is known to within a round trip (L5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.raft.clock_rate import ClockRate, Reading

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND


def _readings(ppm: int, seconds: int, there_ns: int, back_ns: int, offset: int = 10**12) -> Iterator[Reading]:
    """One heartbeat a second; the peer's clock runs `ppm` faster than ours."""
    for sent_at in range(0, seconds * SECOND, SECOND):
        read_at = sent_at + there_ns
        yield Reading(sent_at, read_at + back_ns, offset + read_at + read_at * ppm // 1_000_000)


def _observed(readings: Iterator[Reading]) -> ClockRate:
    rate = ClockRate()
    for reading in readings:
        rate.observe(reading)
    return rate


@pytest.mark.parametrize("ppm", [0, 40, -5_000, 12_000, -50_000])
def test_rate_is_known_after_a_window(ppm: int) -> None:
    rate = _observed(_readings(ppm, 33, MILLISECOND, MILLISECOND))
    assert rate.ppm == pytest.approx(ppm, abs=10)
    assert rate.differs_ppm == pytest.approx(max(0, abs(ppm) - 70), abs=20)


def test_rate_is_unknown_before_the_window_ends() -> None:
    rate = _observed(_readings(50_000, 31, MILLISECOND, MILLISECOND))
    assert rate.ppm is None
    assert rate.differs_ppm == 0


def test_newest_window_decides() -> None:
    rate = _observed(_readings(20_000, 33, MILLISECOND, MILLISECOND))
    assert rate.differs_ppm > 10_000
    for reading in _readings(0, 100, MILLISECOND, MILLISECOND, offset=10**13):
        if reading.sent_at > 33 * SECOND:
            rate.observe(reading)
    assert rate.differs_ppm == 0


def test_restarted_host_starts_a_new_window() -> None:
    """Its clock begins at zero: no rate at all, not a huge one."""
    rate = _observed(_readings(0, 20, MILLISECOND, MILLISECOND))
    for reading in _readings(0, 20, MILLISECOND, MILLISECOND, offset=0):
        rate.observe(reading)
    assert rate.ppm is None


def test_tightest_readings_count() -> None:
    """One quick round trip at each end of the window is enough."""
    rate = ClockRate()
    for reading in _readings(10_000, 33, 300 * MILLISECOND, 5 * MILLISECOND):
        quick = reading.sent_at in (SECOND, 31 * SECOND)
        clock = reading.clock - 300 * MILLISECOND * 1_010_000 // 1_000_000 if quick else reading.clock
        arrived_at = reading.sent_at + MILLISECOND if quick else reading.arrived_at
        rate.observe(Reading(reading.sent_at, arrived_at, clock))
    assert rate.differs_ppm == pytest.approx(10_000, abs=50)


@given(
    ppm=st.integers(-20_000, 20_000),
    there_ns=st.integers(0, 2 * SECOND),
    back_ns=st.integers(0, 2 * SECOND),
)
def test_delays_never_make_a_clock_look_worse_than_it_is(ppm: int, there_ns: int, back_ns: int) -> None:
    """A lease is given up only for what the clock surely does."""
    rate = _observed(_readings(ppm, 40, there_ns, back_ns))
    assert rate.differs_ppm <= abs(ppm) + 1
