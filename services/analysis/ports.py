"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from services.analysis.analyst import TopologyEvent
from services.shared.topology.key import InstanceKey


class TopologySource(Protocol):
    """Where topologies come from."""

    def watch(self) -> AsyncGenerator[TopologyEvent, None]:
        """Yield a snapshot, then every change and signs of life.

        Raises:
            DependencyUnavailable: The stream broke, or went silent; watch again for a new snapshot.
        """

    async def read(self, key: InstanceKey) -> None:
        """Have an instance read now; what was read comes with the stream.

        Raises:
            DependencyUnavailable: It could not be asked for, or did not come in time.
        """


class Health(Protocol):
    """Whom to tell whether analysis can do its work."""

    async def report(self, *, serving: bool) -> None:
        """Tell that the evidence flows, or that it does not."""


class Clock(Protocol):
    """The wall clock."""

    def __call__(self) -> datetime:
        """Return the time, timezone-aware in UTC."""
