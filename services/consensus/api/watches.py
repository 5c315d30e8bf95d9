"""Streams of changes to the state: all of it first, then what changed, and progress when quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, TypeVar

from google.protobuf.message import Message

from services.consensus.member_loop import MemberLoop

MessageT = TypeVar("MessageT", bound=Message)

PROGRESS_S: Final = 1.0
"""A watch that is quiet for so long says that it lives."""
MAX_CHUNK_BYTES: Final = 1024 * 1024


async def watch_changes(
    loop: MemberLoop, changed_since: Callable[[int], Sequence[MessageT]]
) -> AsyncIterator[tuple[int, Sequence[MessageT]]]:
    """Yield what is new or different with the log index it is the state of; nothing means progress.

    Args:
        loop: Its `applied` signal tells when to look.
        changed_since: Returns what was written by entries above a log index; 0 = everything.
    """
    changed = changed_since(0)
    while True:
        count, revision = loop.applied.count, loop.machine.mark.applied_index
        for chunk in chunks(changed):
            yield revision, chunk
        changed, quiet = (), False
        while not changed and not quiet:
            quiet = not await loop.applied.wait_beyond(count, PROGRESS_S)
            count = loop.applied.count
            changed = changed_since(revision)


def chunks(messages: Sequence[MessageT]) -> Iterator[Sequence[MessageT]]:
    """Split a list so that no response is too large; an empty list is one empty chunk."""
    chunk: list[MessageT] = []
    size = 0
    for message in messages:
        length = message.ByteSize()
        if chunk and size + length > MAX_CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += length
    yield chunk
