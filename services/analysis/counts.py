"""What is counted over the direct replicas of an instance (section 3.3 of the failure analysis the rules follow)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.analysis.replica import GtidKind, ReplicaView
from services.shared.topology.key import InstanceKey


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """What was counted over the direct replicas of an instance.

    `replicating + failing_to_connect <= valid <= replicas`, and no count exceeds `replicas`. A value that was not read
    is counted nowhere.

    Attributes:
        replicas: All.
        valid: Those whose last probe succeeded.
        replicating: Valid ones with both threads running that still hear from the instance.
        failing_to_connect: Valid ones whose SQL thread runs and whose IO thread cannot connect.
        lagging: Those that lag more than the limit, valid or not.
        delayed: Those with a configured delay.
        downtimed: Those in downtime.
        logging: Those that write what they replicate to a binary log.
        statement_based: Logging ones with format STATEMENT.
        mixed_based: Logging ones with format MIXED.
        row_based: Logging ones with format ROW.
        major_versions: Distinct major versions among the logging ones.
        semi_sync: Those with the replica side of semi-synchronous replication switched on.
    """

    replicas: int = 0
    valid: int = 0
    replicating: int = 0
    failing_to_connect: int = 0
    lagging: int = 0
    delayed: int = 0
    downtimed: int = 0
    logging: int = 0
    statement_based: int = 0
    mixed_based: int = 0
    row_based: int = 0
    major_versions: int = 0
    semi_sync: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaGtids:
    """How the direct replicas stand with GTIDs (sections 3.3 and 3.5).

    Attributes:
        smallest_mode: Smallest GTID mode as text; empty without replicas.
        largest_mode: Largest GTID mode as text; empty without replicas.
        kinds: In which ways every valid replica positions itself; empty where they differ, and when none is valid.
        errant: Largest errant set as text, of replicas that are not in downtime; empty when there is none.
        errant_at: Whose set that is.
    """

    smallest_mode: str = ""
    largest_mode: str = ""
    kinds: frozenset[GtidKind] = frozenset()
    errant: str = ""
    errant_at: InstanceKey | None = None


def count(views: Sequence[ReplicaView], silent: Sequence[InstanceKey]) -> ReplicaCounts:
    """Count replicas.

    Args:
        views: The direct replicas.
        silent: Those that claim to replicate and are not believed.
    """
    if not views:
        return ReplicaCounts()
    logging = [view for view in views if view.logging]
    formats = [view.binlog_format for view in logging]
    return ReplicaCounts(
        replicas=len(views),
        valid=_number(views, lambda view: view.valid),
        replicating=_number(views, lambda view: view.claims_to_replicate) - len(silent),
        failing_to_connect=_number(views, lambda view: view.failing_to_connect),
        lagging=_number(views, lambda view: view.lagging),
        delayed=_number(views, lambda view: view.delayed),
        downtimed=_number(views, lambda view: view.downtimed),
        logging=len(logging),
        statement_based=formats.count("STATEMENT"),
        mixed_based=formats.count("MIXED"),
        row_based=formats.count("ROW"),
        major_versions=len({view.major_version for view in logging} - {""}),
        semi_sync=_number(views, lambda view: view.semi_sync),
    )


def _number(views: Sequence[ReplicaView], holds: Callable[[ReplicaView], bool]) -> int:
    return sum(map(holds, views))


def gtids_of(views: Sequence[ReplicaView]) -> ReplicaGtids:
    """Return how replicas stand with GTIDs."""
    if not views:
        return ReplicaGtids()
    kinds = [view.gtid_kinds for view in views if view.valid]
    errant = max((view for view in views if not view.downtimed), key=lambda view: view.errant, default=None)
    return ReplicaGtids(
        smallest_mode=min(view.gtid_mode for view in views),
        largest_mode=max(view.gtid_mode for view in views),
        kinds=frozenset.intersection(*kinds) if kinds else frozenset(),
        errant=errant.errant if errant is not None else "",
        errant_at=errant.key if errant is not None and errant.errant else None,
    )
