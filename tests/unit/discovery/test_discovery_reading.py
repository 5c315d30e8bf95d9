from __future__ import annotations

from datetime import timedelta

import pytest

from services.discovery.model import Limits, ProbeFailure
from services.discovery.reading import after_failure, after_success, is_recent, is_valid, while_hanging
from services.shared.topology.reading import FailureKind, Reading
from tests.unit.discovery.fleets import REFUSED, at

LIMITS = Limits(poll=timedelta(seconds=5), grace=timedelta(seconds=1))
LATENCY = timedelta(milliseconds=3)
SEEN = after_success(Reading(), at(0), LATENCY)


def test_success_sets_all_times_to_its_end() -> None:
    reading = after_success(Reading(error_number=111, error="Connection refused", partial_success=True), at(3), LATENCY)
    assert reading.last_attempted_check_time == reading.last_checked_time == reading.last_seen_time == at(3)
    assert reading.last_check_valid
    assert not reading.partial_success
    assert (reading.error_number, reading.error) == (0, "")
    assert reading.latency == LATENCY


def test_failure_keeps_when_it_was_last_seen() -> None:
    reading = after_failure(SEEN, at(5), REFUSED, LIMITS)
    assert reading.last_seen_time == at(0)
    assert reading.last_checked_time == at(5)
    assert reading.last_attempted_check_time == at(0)
    assert not reading.last_check_valid
    assert (reading.error_number, reading.error) == (111, "Connection refused")


@pytest.mark.parametrize("partial", [pytest.param(True, id="half_way"), pytest.param(False, id="at_once")])
def test_failure_says_whether_the_server_answered(partial: bool) -> None:
    failure = ProbeFailure(FailureKind.REFUSED, 1227, "no privilege", partial=partial)
    assert after_failure(SEEN, at(5), failure, LIMITS).partial_success is partial


def test_first_failure_is_not_valid_and_was_never_seen() -> None:
    reading = after_failure(Reading(), at(5), REFUSED, LIMITS)
    assert reading.last_seen_time is None
    assert not reading.last_check_valid


def test_failure_is_newer_than_the_success_before_although_the_clock_went_back() -> None:
    reading = after_failure(SEEN, at(-60), REFUSED, LIMITS)
    assert not reading.last_check_valid
    assert after_success(reading, at(-59), LATENCY).last_check_valid


@pytest.mark.parametrize(
    ("attempted_s", "valid"),
    [
        pytest.param(0, True, id="never_hung"),
        pytest.param(6, True, id="poll_and_grace_after_it_was_seen"),
        pytest.param(6.001, False, id="longer"),
    ],
)
def test_hanging_probe_ends_validity_after_poll_and_grace(attempted_s: float, valid: bool) -> None:
    reading = while_hanging(SEEN, at(attempted_s), LIMITS)
    assert reading.last_check_valid is valid
    assert is_valid(reading, LIMITS) is valid
    assert reading.last_checked_time == at(0)


@pytest.mark.parametrize(
    ("now_s", "recent"), [pytest.param(25, True, id="five_polls"), pytest.param(25.1, False, id="more")]
)
def test_recent_is_within_five_polls(now_s: float, recent: bool) -> None:
    assert is_recent(SEEN, at(now_s), LIMITS) is recent


def test_what_was_never_checked_is_not_recent() -> None:
    assert not is_recent(Reading(), at(0), LIMITS)
