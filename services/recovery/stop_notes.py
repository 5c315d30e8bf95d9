"""Tells the group of stops as soon as it is in contact again, so that the record has them (rule F8)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, NoReturn, Protocol

from services.recovery.audit import Audit
from services.recovery.model import Stop
from services.recovery.ports import JournalRefused, JournalUnavailable
from services.shared.runtime.errors import DomainError

log = logging.getLogger(__name__)

MAX_KEPT: Final = 256
"""Stops that wait to be told; beyond that the oldest is only in the audit."""
_RETRY_S: Final = 0.5


class StopJournal(Protocol):
    """Where stops are noted."""

    async def note_stop(self, stop: Stop) -> None:
        """Note a stop on the record of its recovery; told again it is noted once.

        Raises:
            JournalUnavailable: Not answered; tell it again.
            RecoveryUnknown, JournalRefused: It will never be taken.
        """


class StopNotes:
    """An `Audit` that writes stops down and keeps them until a leader took them."""

    def __init__(self, write: Audit, journal: StopJournal) -> None:
        """Take where stops go.

        Args:
            write: Writes a stop down at once, on this host.
            journal: The group's, by whoever leads it.
        """
        self._write = write
        self._journal = journal
        self._kept: deque[Stop] = deque(maxlen=MAX_KEPT)
        self._told = asyncio.Event()

    def __call__(self, stop: Stop) -> None:
        """Write a stop down, and tell the group of it soon."""
        self._write(stop)
        self._kept.append(stop)
        self._told.set()

    async def run(self) -> NoReturn:
        """Tell the group, oldest first, until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._kept:
                await self._tell(self._kept[0])

    async def _tell(self, stop: Stop) -> None:
        try:
            await self._journal.note_stop(stop)
        except JournalUnavailable:
            await asyncio.sleep(_RETRY_S)
            return
        except (DomainError, JournalRefused) as refused:
            facts = {"recovery_id": stop.recovery_id, "step": stop.step, "fencing_token": stop.fencing_token}
            log.warning("recovery.stop_not_taken", extra={**facts, "problem": str(refused)})
        if self._kept and self._kept[0] is stop:  # Otherwise it made room for newer ones meanwhile.
            self._kept.popleft()
