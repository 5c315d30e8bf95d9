"""How much of the log is kept: what may be compacted, and when (N1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.consensus.raft.model import MILLISECOND, LogMark
from services.consensus.raft.outputs import CoreStatus, ReplicationState


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds of the log.

    Attributes:
        snapshot_entries / snapshot_bytes: A log longer than one of them is compacted.
        trailing_entries: Applied entries that stay, so that a follower that is a little behind needs no snapshot; no
            more than fit into half of `snapshot_bytes`.
        max_log: Bytes above which nobody who is behind holds the log any more.
        follower_memory: How long a follower that is silent holds the log, nanoseconds.
    """

    snapshot_entries: int = 10_000
    snapshot_bytes: int = 64 << 20
    trailing_entries: int = 5_000
    max_log: int = 256 << 20
    follower_memory: int = 600_000 * MILLISECOND


DEFAULT_RETENTION: Final = Retention()


def compaction_target(status: CoreStatus, in_transit: Iterable[LogMark], retention: Retention, now: int) -> int | None:
    """Return the index to compact to; None = leave the log as it is.

    Args:
        status: Of the core. Only a leader knows of followers.
        in_transit: Marks of the snapshots that are being sent: their receivers need what is behind them next.
        retention: The bounds.
        now: Local clock, nanoseconds.
    """
    mark, entries = status.mark.index, status.last_index - status.mark.index
    large = status.log_bytes > retention.snapshot_bytes
    if entries <= retention.snapshot_entries and not large:
        return None
    average = max(1, status.log_bytes // entries)
    trailing = min(retention.trailing_entries, retention.snapshot_bytes // 2 // average)
    target = min([status.applied_index - trailing, *(sent.index for sent in in_transit)])
    if status.log_bytes < retention.max_log:
        target = min([target, *_matches(status, now - retention.follower_memory)])
    # Held back by somebody, the mark would otherwise move entry by entry.
    worthwhile = 1 if large else max(1, retention.snapshot_entries - retention.trailing_entries)
    return target if target >= mark + worthwhile else None


def _matches(status: CoreStatus, since: int) -> Iterable[int]:
    """Return what the followers have that were heard; one that waits for a snapshot has no use for the log."""
    for peer in status.peers:
        feeds = peer.state is not ReplicationState.SNAPSHOT and not peer.quarantined
        if feeds and peer.heard_at is not None and peer.heard_at > since:
            yield peer.match_index
