"""Installing a snapshot: read bit by bit, judged by the core, swapped in when it is durable (N4-N6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from services.consensus.raft.events import SnapshotReceived
from services.consensus.raft.model import LogMark
from services.consensus.state.machine import Machine
from services.consensus.state.snapshot import SnapshotReader, SnapshotRefused
from services.consensus.store_write import Install

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Arrived:
    """A snapshot that was read; `batch` is the persist batch that installs it, 0 = none does."""

    install: Install
    machine: Machine
    durable: asyncio.Future[bool]
    batch: int = 0


class SnapshotInstalling:
    """The one snapshot that is being installed, if any. Belongs to the event loop's thread."""

    def __init__(
        self, group_id: Callable[[], str], commit_index: Callable[[], int], step: Callable[[SnapshotReceived], None]
    ) -> None:
        """Begin with nothing to install.

        Args:
            group_id: Returns the group's identity; empty = not known yet.
            commit_index: Returns the core's.
            step: Has the core take the event and its output carried out before it returns.
        """
        self._group_id = group_id
        self._commit_index = commit_index
        self._step = step
        self._reading = False
        self._arrived: _Arrived | None = None

    async def install(self, data: bytes, sender: int) -> bool:
        """Install a snapshot; see `MemberLoop.install_snapshot`."""
        if self._reading or self._arrived is not None:
            return False
        self._reading = True
        try:
            arrived = await self._read(data)
        except SnapshotRefused as error:
            log.error("consensus.snapshot_refused", extra={"peer": sender, "problem": str(error)})
            raise
        finally:
            self._reading = False
        if arrived is None:
            return True
        self._arrived, mark = arrived, arrived.install.mark
        self._step(
            SnapshotReceived(
                sender,
                LogMark(mark.applied_index, mark.applied_term),
                mark.configuration,
                mark.configuration_index,
            )
        )
        if not arrived.batch:
            self._arrived = None
            return self._commit_index() >= mark.applied_index
        return await arrived.durable

    def begin(self, batch: int) -> Install:
        """Return what the persist batch has to install."""
        assert self._arrived is not None, "the core installs only what it was given"
        self._arrived.batch = batch
        return self._arrived.install

    def durable(self, batch: int) -> Machine | None:
        """Return the machine to go on with when this batch, or one before it, was the install."""
        arrived = self._arrived
        if arrived is None or not 0 < arrived.batch <= batch:
            return None
        self._arrived = None
        if not arrived.durable.done():
            arrived.durable.set_result(True)
        return arrived.machine

    def stop(self) -> None:
        """Tell whoever waits that nothing was installed as far as is known."""
        if self._arrived is not None and not self._arrived.durable.done():
            self._arrived.durable.set_result(False)

    async def _read(self, data: bytes) -> _Arrived | None:
        """Read a snapshot between the turns of the loop; None = it is not newer than what is committed (N5)."""
        reader = SnapshotReader(data, self._group_id())
        if reader.mark.applied_index <= self._commit_index():
            return None
        more = True
        while more:
            await asyncio.sleep(0)
            more = reader.read()
        machine = Machine(reader.mark, reader.tables)
        return _Arrived(Install(reader.mark, reader.tables), machine, asyncio.get_running_loop().create_future())
