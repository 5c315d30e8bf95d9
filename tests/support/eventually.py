"""Waiting for something to become true, with a deadline and a report."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.05


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]],
    *,
    within: float,
    message: str | Callable[[], object] = "",
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T],
    *,
    within: float,
    message: str | Callable[[], object] = "",
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
) -> T: ...
async def eventually(
    condition: Callable[[], T | Awaitable[T]],
    *,
    within: float,
    message: str | Callable[[], object] = "",
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """Wait until `condition` answers something true and return that answer.

    Args:
        condition: Asked again and again, at least once; plain or async. An `AssertionError` it raises means
            "not yet", so it may be a block of asserts that ends in `return True`.
        within: Seconds until giving up. A question in flight is cancelled then.
        message: What was waited for; a callable is asked when the wait failed, to say how things stand.
        retry_on: Further exceptions that mean "not yet". All others end the wait at once.

    Raises:
        AssertionError: Time is up; the text has `message` and what the condition answered or raised last.
    """
    patient: tuple[type[Exception], ...] = (AssertionError, *(retry_on if isinstance(retry_on, tuple) else (retry_on,)))
    deadline = time.monotonic() + within
    pause = _FIRST_PAUSE_S
    seen = "no answer at all"
    cause: BaseException | None = None
    while True:
        try:
            answer = await _ask(condition, max(deadline - time.monotonic(), _FIRST_PAUSE_S))
        except _Unanswered:
            break
        except patient as error:
            seen, cause = f"{type(error).__name__}: {error}", error
        else:
            if answer:
                return answer
            seen, cause = repr(answer), None
        if time.monotonic() + pause > deadline:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
    text = str(message() if callable(message) else message) or "the condition"
    raise AssertionError(f"{text}: not within {within} s; last seen: {seen}") from cause


class _Unanswered(Exception):
    """The deadline passed while the condition was being asked."""


async def _ask(condition: Callable[[], T | Awaitable[T]], timeout_s: float) -> T:
    answer = condition()
    if not inspect.isawaitable(answer):
        return answer
    clock = asyncio.timeout(timeout_s)
    try:
        async with clock:
            return await answer
    except TimeoutError as error:
        if clock.expired():
            raise _Unanswered from error
        raise
