"""What stands in a member's way and what operators should look at, as values (19). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.consensus.raft.configuration import Configuration
from services.consensus.raft.model import MILLISECOND, NOBODY, Role, StoreHealth
from services.consensus.raft.outputs import CoreStatus, PeerProgress

FAR_BEHIND: Final = 10_000
"""Entries a member may lag before it is said to catch up: an alert of section 19."""
ROUND_TRIPS: Final = 10
"""`election_min` is at least so many round trips between voters (20)."""


class Blocker(Enum):
    """Why a member, or the group, cannot do all of its work (19)."""

    NO_QUORUM = "no_quorum"
    NO_LEADER = "no_leader"
    STORE_STALLED = "store_stalled"
    STORE_FAILED = "store_failed"
    QUARANTINED = "quarantined"
    CLOCK_DRIFT = "clock_drift"
    NOT_READY = "not_ready"
    CATCHING_UP = "catching_up"
    VERSION = "version"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a verdict on a member looks at.

    Attributes:
        status: The core's view.
        store_health: The store's, now.
        group_version / max_group_version: Spoken by the group; newest this member speaks.
    """

    status: CoreStatus
    store_health: StoreHealth
    group_version: int = 0
    max_group_version: int = 0


def blockers(seen: Circumstances) -> tuple[Blocker, ...]:
    """Return what stands in the way, the worst first."""
    status = seen.status
    behind = status.commit_index - status.applied_index
    conditions = (
        (status.removed, Blocker.REMOVED),
        (bool(status.quarantine), Blocker.QUARANTINED),
        (seen.group_version > seen.max_group_version, Blocker.VERSION),
        (seen.store_health is StoreHealth.STALLED, Blocker.STORE_STALLED),
        (seen.store_health in (StoreHealth.FULL, StoreHealth.FAILED), Blocker.STORE_FAILED),
        (status.quorum_have < status.quorum_need, Blocker.NO_QUORUM),
        (status.leader == NOBODY, Blocker.NO_LEADER),
        (status.clock_drift_exceeded, Blocker.CLOCK_DRIFT),
        (behind > FAR_BEHIND, Blocker.CATCHING_UP),
        (not status.ready, Blocker.NOT_READY),
    )
    return tuple(blocker for holds, blocker in conditions if holds)


def warnings(status: CoreStatus, election_min_ns: int, listed: Configuration) -> tuple[str, ...]:
    """Return what operators should look at, one sentence each.

    Args:
        status: The core's view.
        election_min_ns: In force.
        listed: Members as the settings list them; nobody when they list none.
    """
    return (
        *configuration_warnings(status.configuration),
        *_none_to_spare(status),
        *_timing(status, election_min_ns),
        *_listed(status, listed),
    )


def configuration_warnings(configuration: Configuration) -> tuple[str, ...]:
    """Return what is unwise about a configuration (M6)."""
    count = len(configuration.voters)
    if count and count % 2 == 0:
        return (f"{count} voters survive no more losses than {count - 1} do; an odd number is better",)
    return ()


def _none_to_spare(status: CoreStatus) -> Iterable[str]:
    """Tell that one more loss ends all decisions, and who is missing already; only a leader knows."""
    voters = status.configuration.voters
    if status.role is not Role.LEADER or len(voters) < 3 or spare(status):
        return
    silent = [peer.member_id for peer in status.peers if peer.member_id in voters and peer.heard_at is None]
    names = ", ".join(name_of(status.configuration, member_id) for member_id in silent)
    yield "no further voter may be lost" + (f"; not heard in this term: {names}" if names else "")


def _timing(status: CoreStatus, election_min_ns: int) -> Iterable[str]:
    for peer in status.peers:
        slow = peer.rtt_ns is not None and peer.rtt_ns * ROUND_TRIPS > election_min_ns
        if slow and peer.member_id in status.configuration.voters and peer.rtt_ns is not None:
            yield (
                f"the round trip to {name_of(status.configuration, peer.member_id)} takes "
                f"{peer.rtt_ns / MILLISECOND:.0f} ms: raise election_min to at least "
                f"{peer.rtt_ns * ROUND_TRIPS / MILLISECOND:.0f} ms"
            )


def _listed(status: CoreStatus, listed: Configuration) -> Iterable[str]:
    """Tell of a difference between settings and group: after the start the list is ignored (18.1)."""
    if not listed.members or not status.configuration.members:
        return
    group = {(member.member_id, member.raft_endpoint) for member in status.configuration.members}
    settings = {(member.member_id, member.raft_endpoint) for member in listed.members}
    if group != settings:
        yield "the members in the settings are not those of the group; they count at the first start only"


def name_of(configuration: Configuration, member_id: int) -> str:
    """Return a member's name for people; `member 7` for one that is not known."""
    member = configuration.find(member_id)
    return f"member {member_id}" if member is None or not member.name else member.name


def spare(status: CoreStatus) -> int:
    """Return how many voters in contact may still be lost."""
    return max(0, status.quorum_have - status.quorum_need)


def lag(status: CoreStatus, peer: PeerProgress) -> int:
    """Return how many entries a peer is behind the leader's log."""
    return max(0, status.last_index - peer.match_index)
