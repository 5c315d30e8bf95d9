"""Sending snapshots: the state as of one moment, framed bit by bit between the turns of the loop (N2, N3)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from services.consensus.ports import Transport
from services.consensus.raft.model import LogMark
from services.consensus.state.machine import Machine
from services.consensus.state.snapshot import encode_snapshot

log = logging.getLogger(__name__)

MAX_OUTGOING: Final = 2
"""Snapshots that are framed or sent at a time (N3)."""


class SnapshotSending:
    """The snapshots under way to peers. Belongs to the event loop's thread."""

    def __init__(self, machine: Callable[[], Machine], group_id: Callable[[], str]) -> None:
        """Begin with nothing to send.

        Args:
            machine: Returns the present one.
            group_id: Returns the group's identity.
        """
        self._machine = machine
        self._group_id = group_id
        self._in_transit: dict[int, LogMark] = {}
        self._waiting: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.newest_bytes = 0
        """Size of the newest one; 0 = there was none."""

    def start(self, transport: Transport) -> None:
        """Begin to run in the present event loop."""
        self._transport = transport

    def stop(self) -> None:
        """Frame nothing more."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    def wanted(self, member_id: int) -> None:
        """Send the state of this moment to a member, or that of a later one when others are under way."""
        if member_id not in self._in_transit and member_id not in self._waiting:
            self._waiting.append(member_id)
            self._begin()

    def ended(self, member_id: int) -> None:
        """Take note that a transfer has ended."""
        self._in_transit.pop(member_id, None)
        self._begin()

    @property
    def in_transit(self) -> tuple[LogMark, ...]:
        """Where the snapshots stand whose receivers need the log behind them next (N1)."""
        return tuple(self._in_transit.values())

    def _begin(self) -> None:
        while self._waiting and len(self._in_transit) < MAX_OUTGOING:
            member_id, machine = self._waiting.popleft(), self._machine()
            mark = LogMark(machine.mark.applied_index, machine.mark.applied_term)
            self._in_transit[member_id] = mark
            # The rows are taken here, in one turn: that makes them one state.
            pieces = encode_snapshot(machine.mark, machine.tables(), self._group_id())
            task = asyncio.ensure_future(self._send(member_id, mark, pieces))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, member_id: int, mark: LogMark, pieces: Iterator[bytes]) -> None:
        framed = []
        for piece in pieces:
            framed.append(piece)
            await asyncio.sleep(0)
        data = b"".join(framed)
        self.newest_bytes = len(data)
        log.info("consensus.snapshot_begun", extra={"peer": member_id, "log_index": mark.index, "bytes": len(data)})
        self._transport.send_snapshot(member_id, mark, data)
