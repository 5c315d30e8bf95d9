"""Answers by request id: kept once, aged out by machine time."""

from __future__ import annotations

from services.consensus.state.requests import MAX_FORGOTTEN, MAX_REQUESTS, TTL_MS, RequestRecord, RequestTable


def record(number: int, stamp_ms: int) -> RequestRecord:
    return RequestRecord(f"q{number}", b"hash", number, stamp_ms, "{}")


def test_remembered_answer_is_found() -> None:
    table = RequestTable()
    changes = table.remember(record(1, 100))
    assert table.get("q1") == record(1, 100)
    assert [change.row for change in changes] == [record(1, 100).to_row()]


def test_answer_older_than_a_day_goes() -> None:
    table = RequestTable([record(1, 0), record(2, 1)])
    changes = table.remember(record(3, TTL_MS + 1))
    assert table.get("q1") is None
    assert table.get("q2") == record(2, 1)
    assert [change.key for change in changes if change.row is None] == [("q1",)]


def test_one_entry_forgets_a_bounded_number() -> None:
    table = RequestTable([record(number, 0) for number in range(1, MAX_FORGOTTEN + 51)])
    changes = table.remember(record(1_000, 10 * TTL_MS))
    assert sum(change.row is None for change in changes) == MAX_FORGOTTEN


def test_too_many_answers_push_out_the_oldest() -> None:
    table = RequestTable([record(number, 5) for number in range(1, MAX_REQUESTS + 1)])
    table.remember(record(MAX_REQUESTS + 1, 5))
    assert table.get("q1") is None
    assert table.get("q2") is not None
