"""A burst: what follows a suspicion about one instance, until the picture is clear. A state machine without I/O.

Everything near the subject (itself, its sources, all its replicas) is probed at once and again at short intervals, each
target on its own, so that a slow one holds up nobody. The burst ends when

- the subject answers a probe that began after the suspicion: nothing happened to it; or
- the subject refuses, and no replica that answers receives from it any more: it is gone, and everybody knows; or
- the time is up. While the subject hangs, or only we do not reach it, its replicas are asked for longer, at the pauses
  that the burst has come to: how old their last heartbeat is decides what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.discovery.model import ProbeFailure, ProbeResult
from services.shared.topology.channel import ThreadState
from services.shared.topology.instance import Instance
from services.shared.topology.key import InstanceKey
from services.shared.topology.reading import FailureKind

WAITS_MS: Final = (10, 15, 15, 20, 25, 40, 60, 80, 100, 100, 100, 100, 100, 150, 200, 250)
"""Pauses between the probes of one target; the last one repeats. A killed mysqld's replicas report it 5 to 10 ms after
its sockets closed, so the first pauses decide how soon it is known."""
SETTLED_WAIT_MS: Final = 100
"""Pause for a target that has said all there is to say."""

_REFUSALS: Final = frozenset({FailureKind.UNREACHABLE, FailureKind.LOST})


class Burst:
    """One suspicion being followed."""

    def __init__(self, subject: InstanceKey, started_ns: int, length_ns: int, hung_length_ns: int) -> None:
        """Begin.

        Args:
            subject: The suspected instance.
            started_ns: Boot time now: only probes that began later count.
            length_ns: Longest time to go on.
            hung_length_ns: The same while the subject fails and replicas still receive from it; not shorter.
        """
        self.subject = subject
        self._started_ns = started_ns
        self._ends_ns = started_ns + length_ns
        self._hung_ends_ns = started_ns + hung_length_ns
        self._failed = False
        self._answered = False
        self._refused = False
        self._settled: set[InstanceKey] = set()
        self._receiving: dict[InstanceKey, bool] = {}

    def record(self, result: ProbeResult) -> None:
        """Take the result of a probe of any target; one that began before the suspicion tells nothing."""
        if result.started_ns < self._started_ns:
            return
        outcome = result.outcome
        if result.key == self.subject:
            self._answered = isinstance(outcome, Instance)
            self._failed = not self._answered
            self._refused = isinstance(outcome, ProbeFailure) and outcome.kind in _REFUSALS
            settled = self._answered or self._refused
        else:
            receiving = isinstance(outcome, Instance) and receives_from(outcome, self.subject)
            self._receiving[result.key] = receiving
            settled = not receiving
        if settled:
            self._settled.add(result.key)
        else:
            self._settled.discard(result.key)

    def is_over(self, now_ns: int, replicas: Iterable[InstanceKey]) -> bool:
        """Return whether the picture is clear, or the time is up.

        Args:
            now_ns: Boot time.
            replicas: The instances known to read from the subject; one that has not been heard counts as receiving.
        """
        receiving = any(self._receiving.get(replica, True) for replica in replicas)
        if self._answered or (self._refused and not receiving):
            return True
        return now_ns >= (self._hung_ends_ns if self._failed and receiving else self._ends_ns)

    def wait_ms(self, target: InstanceKey, probed: int) -> int:
        """Return how long to pause before the next probe of a target.

        Args:
            target: The instance.
            probed: How often it was probed in this burst, 1 or more.
        """
        if target in self._settled:
            return SETTLED_WAIT_MS
        return WAITS_MS[min(probed, len(WAITS_MS)) - 1]


def receives_from(replica: Instance, source: InstanceKey) -> bool:
    """Return whether a replica says that it is connected to a source."""
    return any(channel.source == source and channel.io_state is ThreadState.ON for channel in replica.channels)


def suspects(old: Instance | None, new: Instance) -> frozenset[InstanceKey]:
    """Return whom a change of one instance makes suspect.

    An instance that no longer answers is suspect itself; a replica that has lost its source makes the source suspect.
    """
    found: set[InstanceKey] = set()
    if old is not None and old.reading.last_check_valid and not new.reading.last_check_valid:
        found.add(new.key)
    for source in new.sources:
        if old is not None and receives_from(old, source) and not receives_from(new, source) and _has_lost(new, source):
            found.add(source)
    return frozenset(found)


def _has_lost(replica: Instance, source: InstanceKey) -> bool:
    """Return whether the IO thread fails to reach its source, as opposed to having been stopped."""
    return any(
        channel.source == source and (channel.io_state is ThreadState.CONNECTING or channel.io_errno != 0)
        for channel in replica.channels
    )
