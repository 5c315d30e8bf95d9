"""Lanes: which probes may run at a time, and who waits for whom. Pure: no I/O, no clock.

Probes of different importance never wait for each other, because each lane has places of its own. Within a lane a free
place goes to the best rank, then to who waits longest, and the last places are kept for the better ranks: servers that
hang hold their places until the deadline, so a lane full of hung leaves must still have one for a primary.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.discovery.model import ProbeFailure
from services.discovery.topology import Topology
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind


class Lane(enum.IntEnum):
    """Kinds of probes, the most important first."""

    BURST = 0
    """Around a suspect: a verdict waits for it."""
    PRIMARY = 1
    """Routine probes of primaries, whether they answered last time or not."""
    ROUTINE = 2
    """Routine probes of all others that answered last time."""
    SUSPECT = 3
    """Of those that did not."""


class Rank(enum.IntEnum):
    """How much an instance matters, the most first."""

    PRIMARY = 0
    """Published as primary, or looks like one."""
    SOURCE = 1
    """Has replicas."""
    LEAF = 2
    """Has none."""


LONGEST_WAIT_S: Final[Mapping[Lane, float]] = {
    Lane.BURST: 0.5,
    Lane.PRIMARY: 1.0,
    Lane.ROUTINE: 5.0,
    Lane.SUSPECT: 15.0,
}
"""Longest wait for a place: about the time after which the same instance is to be probed again anyway."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place that a probe asks for. The smaller of two is the better.

    Attributes:
        lane: Where.
        rank: Before whom.
    """

    lane: Lane
    rank: Rank


class NoPlace(Exception):
    """A probe did not begin, because its lane was full for too long. It tells nothing about the server."""

    def __init__(self, key: InstanceKey) -> None:
        super().__init__(f"the lane for a probe of {key} was full for too long; it is probed later")


class Lanes:
    """Who has a place, and who waits for one."""

    def __init__(self, sizes: Mapping[Lane, int]) -> None:
        """Begin empty.

        Args:
            sizes: Places of each lane, 1 or more.
        """
        self._sizes = dict(sizes)
        self._taken = dict.fromkeys(Lane, 0)
        self._placed: dict[InstanceKey, Lane] = {}
        self._waiting: dict[InstanceKey, tuple[Place, int]] = {}
        self._queues: dict[Lane, list[tuple[Rank, int, InstanceKey]]] = {lane: [] for lane in Lane}
        self._asked = 0

    def ask(self, key: InstanceKey, place: Place) -> bool:
        """Take a place if one is free, else wait for it; return whether it was taken.

        One that waits already waits for the better of both places.
        """
        before = self._waiting.get(key)
        if before is not None and before[0] <= place:
            return False
        self._waiting.pop(key, None)
        if self._has_room(place.lane, place.rank):
            self._take(key, place.lane)
            return True
        self._asked += 1
        self._waiting[key] = (place, self._asked)
        heapq.heappush(self._queues[place.lane], (place.rank, self._asked, key))
        return False

    def leave(self, key: InstanceKey) -> list[InstanceKey]:
        """Give a place back, or wait no more; return who got a place by that."""
        self._waiting.pop(key, None)
        lane = self._placed.pop(key, None)
        if lane is None:
            return []
        self._taken[lane] -= 1
        return self._admit(lane)

    def _admit(self, lane: Lane) -> list[InstanceKey]:
        admitted: list[InstanceKey] = []
        queue = self._queues[lane]
        while queue:
            rank, number, key = queue[0]
            waits = self._waiting.get(key) == (Place(lane, rank), number)
            if waits and not self._has_room(lane, rank):
                break
            heapq.heappop(queue)
            if waits:
                del self._waiting[key]
                self._take(key, lane)
                admitted.append(key)
        return admitted

    def _take(self, key: InstanceKey, lane: Lane) -> None:
        self._placed[key] = lane
        self._taken[lane] += 1

    def _has_room(self, lane: Lane, rank: Rank) -> bool:
        """Return whether a rank may have one more place: an eighth of them is kept for each better rank."""
        size = self._sizes[lane]
        return self._taken[lane] < max(1, size - size * rank // 8)


def rank_of(topology: Topology, key: InstanceKey) -> Rank:
    """Return how much an instance matters; one that is not known is a leaf."""
    instance = topology.instances.get(key)
    has_replicas = bool(topology.replicas(key))
    if instance is not None and (is_published(topology, instance) or _looks_primary(instance, has_replicas)):
        return Rank.PRIMARY
    return Rank.SOURCE if has_replicas else Rank.LEAF


def is_published(topology: Topology, instance: Instance) -> bool:
    """Return whether an instance is the published primary of its cluster."""
    cluster = topology.clusters.get(instance.cluster_id)
    return cluster is not None and cluster.primary == instance.key


def _looks_primary(instance: Instance, has_replicas: bool) -> bool:
    if instance.channels:
        return instance.co_primary and instance.read_only is False
    return instance.read_only is False or has_replicas


def place_of(rank: Rank, failure: ProbeFailure | None) -> Place:
    """Return the place for a routine probe.

    Args:
        rank: How much the instance matters.
        failure: How its last probe failed; None: it did not.
    """
    suspect = Lane.ROUTINE if failure is None else Lane.SUSPECT
    return Place(Lane.PRIMARY if rank is Rank.PRIMARY else suspect, after_hanging(rank, failure))


def after_hanging(rank: Rank, failure: ProbeFailure | None) -> Rank:
    """Return the rank for a probe: one lower for a server that hung, as it is likely to hold its place for long."""
    hung = failure is not None and failure.kind is FailureKind.TIMEOUT
    return Rank(min(rank + 1, Rank.LEAF)) if hung else rank
