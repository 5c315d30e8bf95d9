"""Reads of the registry: how far they look, and from which log index on (12)."""

from __future__ import annotations

import asyncio

from services.consensus.app import ConsensusApp
from services.consensus.errors import IndexNotApplied
from services.consensus.state.registry.registry import Registry


class RegistryReader:
    """The registry as this member applied it."""

    def __init__(self, app: ConsensusApp) -> None:
        self.app = app

    @property
    def index(self) -> int:
        """Log index that was applied last."""
        return self.app.loop.machine.mark.applied_index

    async def read(self, *, linearizable: bool, min_index: int) -> Registry:
        """Return the registry, not from before what the caller asks for.

        Args:
            linearizable: Have everything applied that was committed before the call.
            min_index: Have this log index applied.

        Raises:
            NotLeader: Another member can tell what is committed.
            NoLeader: Nobody can.
            IndexNotApplied: The index did not come in time.
        """
        if linearizable:
            await self.app.read_barrier()
        try:
            async with asyncio.timeout(self.app.commit_s):
                while self.index < min_index:
                    await self.app.loop.applied.wait_beyond(self.app.loop.applied.count, self.app.commit_s)
        except TimeoutError:
            raise IndexNotApplied(self.index, min_index) from None
        return self.app.loop.machine.registry
