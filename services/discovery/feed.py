"""Changes by revision: what watchers read, and how far back they may resume. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.discovery.model import Delta
from services.shared.runtime.errors import RevisionCompacted


@dataclass(frozen=True, slots=True)
class Revised:
    """A change and the revision it made."""

    revision: int
    delta: Delta


class Feed:
    """The newest changes, each under a revision larger than all before it."""

    def __init__(self, first_revision: int, capacity: int) -> None:
        """Begin without changes.

        Args:
            first_revision: Present revision; larger than any that an earlier run of this node gave out, so that nobody
                resumes on it.
            capacity: How many changes are kept.
        """
        self._revision = first_revision
        self._changes: deque[Revised] = deque(maxlen=capacity)
        self._oldest = first_revision

    @property
    def revision(self) -> int:
        """The present revision."""
        return self._revision

    def add(self, delta: Delta) -> Revised:
        """Append a change; the oldest one may be dropped."""
        if len(self._changes) == self._changes.maxlen:
            self._oldest = self._changes[0].revision
        self._revision += 1
        revised = Revised(self._revision, delta)
        self._changes.append(revised)
        return revised

    def after(self, revision: int) -> list[Revised]:
        """Return the changes after a revision, oldest first.

        Raises:
            RevisionCompacted: They are not all kept, or the revision was never given out.
        """
        if not self._oldest <= revision <= self._revision:
            raise RevisionCompacted(self._oldest)
        return [revised for revised in self._changes if revised.revision > revision]


def merged(first: Delta, second: Delta) -> Delta:
    """Return one change that does what two do, one after the other."""
    changed = {key: value for key, value in first.changed.items() if key not in second.removed}
    clusters = {key: value for key, value in first.changed_clusters.items() if key not in second.removed_clusters}
    return Delta(
        changed={**changed, **second.changed},
        removed=(first.removed - second.changed.keys()) | second.removed,
        changed_clusters={**clusters, **second.changed_clusters},
        removed_clusters=(first.removed_clusters - second.changed_clusters.keys()) | second.removed_clusters,
    )
