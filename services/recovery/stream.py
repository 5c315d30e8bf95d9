"""Follows a gRPC stream for ever: reconnects when it breaks, ends, or says nothing for too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeVar

import grpc

from services.shared.runtime.grpc_client import end_if_cancelled
from services.shared.runtime.status import transport_message

log = logging.getLogger(__name__)

MessageT = TypeVar("MessageT")

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Stream:
    """One stream that is kept alive."""

    def __init__(
        self,
        name: str,
        open_call: Callable[[], Any],
        take: Callable[[Any, bool], None],
        silence: timedelta,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe the stream.

        Args:
            name: For logs: who speaks.
            open_call: Begins a call that streams messages.
            take: Given each message, and whether it is the first of its call; must not wait.
            silence: A stream that says nothing for so long is dead.
            changed: Told when `alive` changed.
        """
        self._name = name
        self._open_call = open_call
        self._take = take
        self._silence_s = silence.total_seconds()
        self._changed = changed
        self._told: bool | None = None  # None: never tried.

    @property
    def alive(self) -> bool:
        """Whether the stream that runs now has said something."""
        return self._told is True

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            call = self._open_call()
            try:
                problem = await self._follow(call)
            except grpc.aio.AioRpcError as error:
                end_if_cancelled()
                problem = transport_message(error)
            finally:
                call.cancel()
            pause_s = _FIRST_PAUSE_S if self.alive else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._note(alive=False, problem=problem)
            await asyncio.sleep(pause_s)

    async def _follow(self, call: AsyncIterable[Any]) -> str:
        """Take messages until the stream ends; return why it did."""
        messages = aiter(call)
        first = True
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    message = await anext(messages)
            except TimeoutError:
                return f"it said nothing for {self._silence_s:g} s"
            except StopAsyncIteration:
                return "it ended the stream"
            self._take(message, first)
            first = False
            self._note(alive=True)

    def _note(self, *, alive: bool, problem: str = "") -> None:
        if alive is self._told:
            return
        self._told = alive
        if alive:
            log.info("recovery.stream_followed", extra={"stream": self._name})
        else:
            log.warning("recovery.stream_lost", extra={"stream": self._name, "problem": problem})
        self._changed()
