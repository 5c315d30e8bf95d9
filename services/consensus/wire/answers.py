"""Calls that came in one stream, carried out side by side; what is answered at the same time leaves in one message.

The one writer of the stream takes everything that is ready, so that under load a message carries many answers and in
quiet times one, without any delay (P6). A caller that has too many calls open is not read on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, Generic, TypeVar

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

MAX_OPEN: Final = 1_024
"""Calls of one stream that are not answered yet."""
MAX_MERGED: Final = 256
"""Answers in one message."""


class AnswerStream(Generic[RequestT, ResponseT]):
    """The answering side of one stream."""

    def __init__(
        self, calls_of: Callable[[RequestT], Iterable[RequestT]], answer: Callable[[RequestT], Awaitable[ResponseT]]
    ) -> None:
        """Make the answering side of a stream.

        Args:
            calls_of: Returns the calls in a message.
            answer: Carries out one call; a refusal is an answer, so it raises nothing.
        """
        self._calls_of = calls_of
        self._answer = answer
        self._open: set[asyncio.Task[None]] = set()
        self._ready: list[ResponseT] = []
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def serve(self, requests: AsyncIterator[RequestT]) -> AsyncIterator[list[ResponseT]]:
        """Give out what is ready, each time all of it, until all calls of the stream are answered."""
        reader = asyncio.ensure_future(self._read(requests))
        try:
            while True:
                self._changed.clear()
                if self._ready:
                    ready, self._ready = self._ready[:MAX_MERGED], self._ready[MAX_MERGED:]
                    yield ready
                elif self._ended and not self._open:
                    break
                else:
                    await self._changed.wait()
            reader.result()
        finally:
            for task in (reader, *self._open):
                task.cancel()
            await asyncio.wait((reader, *self._open))

    async def _read(self, requests: AsyncIterator[RequestT]) -> None:
        try:
            async for message in requests:
                for call in self._calls_of(message):
                    self._begin(call)
                while len(self._open) + len(self._ready) >= MAX_OPEN:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._changed.set()

    def _begin(self, call: RequestT) -> None:
        self._open.add(asyncio.create_task(self._carry_out(call)))

    async def _carry_out(self, call: RequestT) -> None:
        try:
            response = await self._answer(call)
            self._ready.append(response)
        finally:
            # Here and not in a callback of the task, which would be one more thing to call for each answer.
            task = asyncio.current_task()
            assert task is not None, "a coroutine that runs belongs to a task"
            self._open.discard(task)
            self._changed.set()
            self._room.set()
