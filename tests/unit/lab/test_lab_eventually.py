"""Waiting reports what it saw, and waits no longer than it was told."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from tests.support.eventually import eventually


async def test_answer_that_becomes_true_is_returned() -> None:
    counter = itertools.count()

    assert await eventually(lambda: next(counter) == 3 and "done", within=5) == "done"


async def test_async_condition_and_failing_asserts_mean_not_yet() -> None:
    counter = itertools.count()

    async def third() -> int:
        number = next(counter)
        assert number > 2
        return number

    assert await eventually(third, within=5) == 3


async def test_failure_says_what_was_waited_for_and_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"two leaders: not within 0\.01 s; last seen: \[\]"):
        await eventually(list, within=0.01, message="two leaders")


async def test_message_is_made_when_the_wait_failed() -> None:
    with pytest.raises(AssertionError, match="still 7"):
        await eventually(lambda: False, within=0.01, message=lambda: "still 7")


async def test_question_in_flight_is_cancelled_at_the_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError, match="no answer at all"):
        await eventually(asyncio.Event().wait, within=0.05)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("error", [pytest.param(TimeoutError, id="timeout"), pytest.param(OSError, id="os-error")])
async def test_error_of_the_condition_ends_the_wait(error: type[Exception]) -> None:
    async def fail() -> bool:
        raise error("at once")

    with pytest.raises(error, match="at once"):
        await eventually(fail, within=5)


async def test_error_named_as_not_yet_is_waited_out() -> None:
    answers = iter([OSError("refused"), None])

    def ask() -> bool:
        error = next(answers)
        if error:
            raise error
        return True

    assert await eventually(ask, within=5, retry_on=OSError)
