"""Holds the lease `recovery` while the local member leads, and tells for how long it may be relied upon (rules F1-F3).

Consensus pushes validity with every round of its heartbeats. Nothing has to happen for the lease to end: without pushes
it runs out by the clock, and every guard looks at the clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, NoReturn

import grpc

from services.recovery.consensus_client import ConsensusClient, keep_alive_message, lease_told
from services.recovery.lease import MARGIN_NS, LeaseGuard, LeaseState
from services.recovery.ports import LeaseRefused
from services.shared.runtime.grpc_client import end_if_cancelled
from services.shared.runtime.status import transport_message

log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 1.0
_SILENCE_S: Final = 3.0
_RETRY_S: Final = 0.1


class LeaseHolder:
    """The lease of this process. Its state is read from any thread, and changed in the loop's thread only."""

    def __init__(
        self,
        client: ConsensusClient,
        session_id: str,
        boot_id: str,
        clock_ns: Callable[[], int],
        changed: Callable[[], None],
        able: Callable[[], bool],
    ) -> None:
        """Make a holder that holds nothing.

        Args:
            client: The local consensus.
            session_id: UUID of this process.
            boot_id: Identity of this host's boot.
            clock_ns: `CLOCK_BOOTTIME` in nanoseconds.
            changed: Told when the lease is gained, lost, valid again after a lapse, or being handed over.
            able: Returns whether this process could do its work.
        """
        self._client = client
        self._session_id = session_id
        self._boot_id = boot_id
        self._clock_ns = clock_ns
        self._changed = changed
        self._able = able
        self._giving_back: asyncio.Task[None] | None = None
        self._leads = asyncio.Event()
        self._state: LeaseState | None = None

    def note_leadership(self, *, leads: bool) -> None:
        """Take note whether the local member leads with its lease."""
        if leads:
            self._leads.set()
        else:
            self._leads.clear()

    @property
    def live(self) -> bool:
        """Whether the lease is held and has not run out."""
        state = self._state
        if state is None or state.boot_id != self._boot_id:
            return False
        return self._clock_ns() + MARGIN_NS < state.valid_until_ns

    @property
    def draining(self) -> bool:
        """Whether the lease is held, and leadership is being handed over: nothing new begins (section 8.1)."""
        return self._state is not None and self._state.draining

    def guard(self) -> LeaseGuard | None:
        """Return a guard that pins the lease as it is; None when nothing may be begun under it."""
        state = self._state
        if state is None or state.draining or not self.live:
            return None
        return LeaseGuard(lambda: self._state, state, self._boot_id, self._clock_ns)

    async def run(self) -> NoReturn:
        """Acquire the lease whenever the local member leads, and keep it; until cancelled."""
        while True:
            await self._leads.wait()
            try:
                state = await self._client.acquire(self._session_id)
            except LeaseRefused as refusal:
                log.info("recovery.lease_refused", extra={"reason": refusal.reason})
                await asyncio.sleep(_RETRY_S)
                continue
            log.info("recovery.lease_acquired", extra={"fencing_token": state.token, "lease_seq": state.lease_seq})
            self._set(state)
            await self._keep(state.token)

    def give_back(self) -> None:
        """Give the lease back, soon: leadership is being handed over, and nothing runs under it any more."""
        if self._state is not None:
            self._giving_back = asyncio.get_running_loop().create_task(self.release())

    async def release(self) -> None:
        """Give the lease back at the end, so that the next holder need not wait for this session to expire."""
        state, self._state = self._state, None
        if state is None:
            return
        try:
            await self._client.release(self._session_id, state.token)
        except LeaseRefused as refusal:
            log.info("recovery.lease_not_released", extra={"reason": refusal.reason})

    async def _keep(self, token: int) -> None:
        """Keep a lease until it is lost; a broken stream is opened again, because the grant may have outlived it."""
        while self._state is not None:
            call = self._client.keep_alive()
            writer = asyncio.create_task(self._speak(call, token))
            try:
                await self._listen(call, token)
            except grpc.aio.AioRpcError as error:
                end_if_cancelled()
                log.warning("recovery.lease_stream_lost", extra={"problem": transport_message(error)})
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    self._lose(token)
                await asyncio.sleep(_RETRY_S)
            finally:
                writer.cancel()
                call.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    async def _speak(self, call: Any, token: int) -> None:
        while True:
            await call.write(keep_alive_message(self._session_id, token, able=self._able()))
            await asyncio.sleep(_KEEP_ALIVE_S)

    async def _listen(self, call: Any, token: int) -> None:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    message = await call.read()
            except TimeoutError:
                if not self._leads.is_set():
                    self._lose(token)
                return
            if message is grpc.aio.EOF:
                await call.code()  # Raises what ended the stream, where it was an error.
                await asyncio.sleep(_RETRY_S)
                return
            state = lease_told(token, message)
            if state is None:
                self._lose(token)
                return
            self._set(state)

    def _set(self, state: LeaseState) -> None:
        before, self._state = self._state, state
        if before is None or (before.lease_seq, before.draining) != (state.lease_seq, state.draining):
            self._changed()

    def _lose(self, token: int) -> None:
        if self._state is not None:
            log.warning("recovery.lease_lost", extra={"fencing_token": token})
            self._state = None
            self._changed()
