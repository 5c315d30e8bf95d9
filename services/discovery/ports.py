"""What the use cases need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from services.discovery.lane import Place
from services.discovery.model import ProbeDepth, ProbeResult
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey


class Clock(Protocol):
    """Time, for the edge."""

    def boottime_ns(self) -> int:
        """Return nanoseconds since boot; never goes back."""

    def utc_now(self) -> datetime:
        """Return the wall time in UTC."""


class Prober(Protocol):
    """Reads servers, each over one connection that is kept and watched between probes."""

    async def probe(
        self, key: InstanceKey, depth: ProbeDepth, deadline: timedelta, place: Place, on_start: Callable[[], None]
    ) -> ProbeResult:
        """Read a server; at most one call per server at a time.

        Args:
            key: Where it is.
            depth: How much to read; a new connection is always read more deeply.
            deadline: Longest time from its start; then it fails as timed out.
            place: Where it waits until it may start.
            on_start: Called when it starts; only from then on the server is to blame for the time that passes.

        Raises:
            NoPlace: It did not start within `LONGEST_WAIT_S` of the lane.
        """

    def hurry(self, key: InstanceKey, place: Place) -> None:
        """Let a probe that waits for a place wait for a better one; any other is left as it is."""

    def forget(self, key: InstanceKey) -> None:
        """Close the connection to a server, if there is one."""

    async def close(self) -> None:
        """End all probes and connections."""


class Store(Protocol):
    """Takes what is to survive a restart, without ever waiting for the disk."""

    def save(self, instances: Iterable[Instance], *, urgent: bool) -> None:
        """Write instances soon; those not urgent may wait a few seconds, and be overtaken by newer states."""

    def remove(self, keys: Iterable[InstanceKey]) -> None:
        """Drop instances soon."""

    def save_alias(self, cluster_id: str, alias: str) -> None:
        """Write a cluster's label soon."""

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
