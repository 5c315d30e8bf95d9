"""Who may take over from a leader, and when a leader hands over by itself (8.1 to 8.3).

The core chooses the target of a transfer that names none. Whether to hand over at all is the app's question: it knows
whether a recovery runs, and asks `Succession` now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.consensus.raft.configuration import NEVER_LEADS, Configuration
from services.consensus.raft.membership import CAUGHT_UP_ENTRIES
from services.consensus.raft.model import Role
from services.consensus.raft.outputs import CoreStatus, PeerProgress

PAUSE_NS: Final = 300 * 1_000_000_000
"""Least time between two handovers for the sake of preference (8.2)."""


def fit_successors(
    peers: Iterable[PeerProgress], configuration: Configuration, last_index: int, heard_since: int
) -> tuple[PeerProgress, ...]:
    """Return the voters that could lead at once, the best first: by preference, then by match, then by id (8.1).

    Args:
        peers: As the leader sees them.
        configuration: The newest.
        last_index: End of the leader's log.
        heard_since: A peer not heard after this time is not fit.
    """
    preferences = {member.member_id: member.preference for member in configuration.members if member.votes}
    fit = [
        peer
        for peer in peers
        if preferences.get(peer.member_id, NEVER_LEADS) > NEVER_LEADS
        and peer.ready
        and not peer.quarantined
        and peer.store_health.usable
        and peer.heard_at is not None
        and peer.heard_at > heard_since
        and last_index - peer.match_index <= CAUGHT_UP_ENTRIES
    ]
    return tuple(
        sorted(fit, key=lambda peer: (-preferences[peer.member_id], -peer.match_index, peer.member_id)),
    )


class HandoverReason(Enum):
    """Why a leader shall hand over."""

    PREFERENCE = "preference"
    """A voter of a higher preference has been fit for long enough (8.2)."""
    READINESS = "readiness"
    """This node's recovery has been silent for too long, and another's is alive (8.3)."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What to ask the core for."""

    target: int
    reason: HandoverReason


class Succession:
    """Watches a leader's status over time and tells when to hand over, and to whom."""

    def __init__(self, election_min: int, stable_ns: int, grace_ns: int) -> None:
        """Start to watch.

        Args:
            election_min: E in nanoseconds: a peer silent for longer is not fit.
            stable_ns: How long a preferred voter must have been fit without a break (8.2).
            grace_ns: How long this node may be unready (8.3).
        """
        self._election_min = election_min
        self._stable_ns = stable_ns
        self._grace_ns = grace_ns
        self._fit_since: dict[int, int] = {}
        self._unready_since: int | None = None
        self._pause_until = 0

    def retime(self, election_min: int) -> None:
        """Take a new E (18.5)."""
        self._election_min = election_min

    def decide(self, status: CoreStatus, now: int, *, busy: bool) -> Handover | None:
        """Tell whether to hand over now; None = lead on, or this member does not lead.

        Args:
            status: Of this member, now.
            now: Local clock, nanoseconds; never goes back.
            busy: A recovery is running here: preference waits for its end, readiness does not.
        """
        fit: tuple[PeerProgress, ...] = ()
        if status.role is Role.LEADER:
            fit = fit_successors(status.peers, status.configuration, status.last_index, now - self._election_min)
        self._fit_since = {peer.member_id: self._fit_since.get(peer.member_id, now) for peer in fit}
        unready = status.role is Role.LEADER and not status.ready
        self._unready_since = (now if self._unready_since is None else self._unready_since) if unready else None
        if not fit or status.draining:
            return None
        if self._unready_since is not None:
            late = now - self._unready_since >= self._grace_ns
            return Handover(fit[0].member_id, HandoverReason.READINESS) if late else None
        target = None if busy or now < self._pause_until else self._preferred(status, fit, now)
        if target is None:
            return None
        self._pause_until = now + PAUSE_NS
        return Handover(target, HandoverReason.PREFERENCE)

    def _preferred(self, status: CoreStatus, fit: tuple[PeerProgress, ...], now: int) -> int | None:
        own = status.configuration.find(status.member_id)
        if own is None:
            return None
        # A voter that never leads, but had to, hands over at once.
        stable_ns = 0 if own.preference == NEVER_LEADS else self._stable_ns
        for peer in fit:
            member = status.configuration.find(peer.member_id)
            higher = member is not None and member.preference > own.preference
            if higher and now - self._fit_since[peer.member_id] >= stable_ns:
                return peer.member_id
        return None
