"""Tells the local member of consensus that this process is there and could do its work.

A member leads for the sake of the recovery beside it, so one whose recovery is silent hands leadership over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, NoReturn

import grpc

from services.recovery.consensus_client import ConsensusClient, presence_message
from services.shared.runtime.grpc_client import end_if_cancelled

log = logging.getLogger(__name__)

_BEAT_S: Final = 1.0
_SILENCE_S: Final = 3.0
_RETRY_S: Final = 0.5


class Presence:
    """A session without a lease, kept for as long as the process lives."""

    def __init__(self, client: ConsensusClient, session_id: str, able: Callable[[], bool]) -> None:
        """Begin silent; `able` tells whether this process could do its work now."""
        self._client = client
        self._session_id = session_id
        self._able = able

    async def run(self) -> NoReturn:
        """Say so once a second, on a stream that is opened again whenever it breaks, until cancelled."""
        while True:
            call = self._client.keep_alive()
            speaker = asyncio.create_task(self._speak(call))
            try:
                await self._listen(call)
            except (grpc.aio.AioRpcError, TimeoutError):
                end_if_cancelled()
                log.debug("recovery.presence_stream_lost")
            finally:
                speaker.cancel()
                call.cancel()
                await asyncio.gather(speaker, return_exceptions=True)
            await asyncio.sleep(_RETRY_S)

    async def _speak(self, call: Any) -> None:
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            while True:
                await call.write(presence_message(self._session_id, able=self._able()))
                await asyncio.sleep(_BEAT_S)

    async def _listen(self, call: Any) -> None:
        while True:
            async with asyncio.timeout(_SILENCE_S):
                if await call.read() is grpc.aio.EOF:
                    return
