"""Wording: spans of time, enum names, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from primacy.recovery.v1 import recovery_pb2
from primacy.topology.v1 import topology_pb2

from services.ctl.words import age_text, clock_text, endpoint_text, enum_code, enum_word, span_text, time_text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        pytest.param(timedelta(), "0 ms", id="nothing"),
        pytest.param(timedelta(milliseconds=8.4), "8 ms", id="milliseconds"),
        pytest.param(timedelta(seconds=1.234), "1.23 s", id="seconds"),
        pytest.param(timedelta(seconds=42.4), "42 s", id="many seconds"),
        pytest.param(timedelta(seconds=185), "3m05s", id="minutes"),
        pytest.param(timedelta(hours=2, minutes=4), "2h04m", id="hours"),
        pytest.param(timedelta(days=5, hours=3), "5d03h", id="days"),
        pytest.param(timedelta(seconds=-2), "-2.00 s", id="negative"),
    ],
)
def test_span_has_two_or_three_digits(span: timedelta, text: str) -> None:
    assert span_text(span) == text


def test_times_are_utc_with_milliseconds() -> None:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC))

    assert time_text(stamp) == "2026-01-31 12:00:00.123Z"
    assert clock_text(stamp) == "12:00:00.123Z"


def test_age_of_what_lies_ahead_is_nothing() -> None:
    stamp = Timestamp(seconds=100)

    assert age_text(stamp, datetime.fromtimestamp(99, UTC)) == "0 ms"
    assert age_text(stamp, datetime.fromtimestamp(105, UTC)) == "5.00 s"


def test_enum_values_are_words() -> None:
    assert enum_word(recovery_pb2.StepKind, recovery_pb2.STEP_KIND_CATCH_UP, "STEP_KIND_") == "catch-up"
    assert enum_code(recovery_pb2.RefusalReason, recovery_pb2.REFUSAL_REASON_NO_GTID, "REFUSAL_REASON_") == "NO_GTID"


def test_enum_value_of_a_newer_service_is_its_number() -> None:
    assert enum_word(recovery_pb2.StepKind, 999, "STEP_KIND_") == "999"


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [("db1", 3306, "db1:3306"), ("::1", 3306, "[::1]:3306"), ("", 0, "-")],
)
def test_endpoint_is_host_and_port(host: str, port: int, text: str) -> None:
    assert endpoint_text(topology_pb2.Endpoint(host=host, port=port)) == text
