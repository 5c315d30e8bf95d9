"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from services.analysis.analyst import TopologyEvent


class TopologySource(Protocol):
    """Where topologies come from."""

    def watch(self) -> AsyncGenerator[TopologyEvent, None]:
        """Yield a snapshot, then every change and signs of life.

        Raises:
            DependencyUnavailable: The stream broke, or went silent; watch again for a new snapshot.
        """


class Health(Protocol):
    """Whom to tell whether analysis can do its work."""

    async def report(self, *, serving: bool) -> None:
        """Tell that the evidence flows, or that it does not."""


class Clock(Protocol):
    """The wall clock."""

    def __call__(self) -> datetime:
        """Return the time, timezone-aware in UTC."""
