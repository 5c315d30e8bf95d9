"""What happens to a change of the topology: it goes to the store and to those who watch, at once or gathered."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Final

from services.discovery.feed import Feed, Revised, merged
from services.discovery.model import Delta, Remembered
from services.discovery.ports import Clock, Store
from services.discovery.topology import Topology
from services.shared.runtime.watching import Watcher, Watchers

GATHER_S: Final = 0.2
"""How long changes that are not urgent wait for company."""
FEED_CAPACITY: Final = 4096
WATCHER_LIMIT: Final = 512
"""Changes a watcher may leave unread."""


class Publishing:
    """The way of changes out of the process."""

    def __init__(
        self, topology: Topology, clock: Clock, store: Store, remembered: Remembered, ready: asyncio.Event
    ) -> None:
        """Begin without changes.

        Args:
            topology: Where the labels of changed clusters are.
            clock: Gives the first revision.
            store: Takes what is to survive a restart.
            remembered: What it has already.
            ready: Set when changes may go to watchers; until then they wait.
        """
        self._topology = topology
        self._store = store
        self._ready = ready
        self._saved_aliases = dict(remembered.aliases)
        self._feed = Feed(int(clock.utc_now().timestamp() * 1e6), FEED_CAPACITY)
        self._watchers: Watchers[Revised] = Watchers(WATCHER_LIMIT)
        self._pending = Delta()
        self._flush_handle: asyncio.TimerHandle | None = None

    @property
    def revision(self) -> int:
        """Revision of the last change that went to watchers."""
        return self._feed.revision

    def publish(self, delta: Delta, *, urgent: bool) -> None:
        """Take a change; if it is urgent, or one of clusters, it and all that waits go to watchers now."""
        if not delta:
            return
        self._pending = merged(self._pending, delta)
        self._store.save(delta.changed.values(), urgent=urgent)
        if delta.removed:
            self._store.remove(delta.removed)
        for cluster_id in delta.changed_clusters:
            alias = self._topology.aliases.get(cluster_id)
            if alias is not None and self._saved_aliases.get(cluster_id) != alias:
                self._saved_aliases[cluster_id] = alias
                self._store.save_alias(cluster_id, alias)
        if urgent or delta.changed_clusters or delta.removed:
            self.flush()
        elif self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def flush(self) -> None:
        """Send what waits, if the process is ready."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._pending and self._ready.is_set():
            revised = self._feed.add(self._pending)
            self._pending = Delta()
            self._watchers.publish(revised)

    def join(self, after_revision: int) -> AbstractContextManager[Watcher[Revised]]:
        """Watch the changes after a revision; 0: those from now on.

        Raises:
            RevisionCompacted: Changes after that revision are no longer kept.
        """
        return self._watchers.join(self._feed.after(after_revision) if after_revision else ())

    def end(self) -> None:
        """End every stream."""
        self._watchers.end()
