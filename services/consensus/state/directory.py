"""Who takes the writes of each cluster: primaries with epochs, as the replicated log defines them.

The epoch of a cluster grows by one with every recovery that publishes, so a consumer can refuse an older answer. A
primary that is merely found never replaces what a recovery wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.consensus.state.commands import PublishPrimary
from services.consensus.state.rows import PRIMARIES, Change, Row, RowsOf, put

MAX_FORMER: Final = 8


@dataclass(frozen=True, slots=True)
class FormerPrimary:
    """A server that used to be the primary of a cluster, and the epoch it ended with."""

    host: str
    port: int
    server_uuid: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Primary:
    """The primary of one cluster.

    Attributes:
        epoch: Grows by one with every change.
        publish_ms: When it was published, in Unix milliseconds of machine time (T4).
        recovery_id: What made it primary; empty when it was found as it is.
        former: Its predecessors, newest first, at most `MAX_FORMER`.
        log_index: Entry that wrote it.
    """

    cluster_id: str
    alias: str
    host: str
    port: int
    server_uuid: str
    epoch: int
    publish_ms: int
    recovery_id: str
    former: tuple[FormerPrimary, ...]
    log_index: int

    def to_row(self) -> Row:
        """Return the row of `state_primary`."""
        former = [(entry.host, entry.port, entry.server_uuid, entry.epoch) for entry in self.former]
        return (
            self.cluster_id,
            self.alias,
            self.host,
            self.port,
            self.server_uuid,
            self.epoch,
            self.publish_ms,
            self.recovery_id,
            json.dumps(former, separators=(",", ":")),
            self.log_index,
        )

    @classmethod
    def from_row(
        cls,
        cluster_id: str,
        alias: str,
        host: str,
        port: int,
        server_uuid: str,
        epoch: int,
        publish_ms: int,
        recovery_id: str,
        former: str,
        log_index: int,
    ) -> Primary:
        """Return the primary of a row."""
        entries = tuple(FormerPrimary(*entry) for entry in json.loads(former))
        return cls(cluster_id, alias, host, port, server_uuid, epoch, publish_ms, recovery_id, entries, log_index)


class Directory:
    """The primaries of all clusters."""

    def __init__(self, primaries: Iterable[Primary] = ()) -> None:
        self._primaries = {primary.cluster_id: primary for primary in primaries}

    def get(self, cluster_id: str) -> Primary | None:
        """Return the primary of a cluster."""
        return self._primaries.get(cluster_id)

    def find(self, cluster: str) -> Primary | None:
        """Return the primary of a cluster by its id or its exact alias; an alias that two share names none."""
        found = self._primaries.get(cluster)
        if found is not None:
            return found
        named = [primary for primary in self._primaries.values() if primary.alias == cluster]
        return named[0] if len(named) == 1 else None

    def all(self) -> tuple[Primary, ...]:
        """Return all primaries, by alias and cluster id."""
        return tuple(sorted(self._primaries.values(), key=lambda primary: (primary.alias, primary.cluster_id)))

    def rows(self) -> dict[str, Sequence[Row]]:
        """Return the rows of the table."""
        return {PRIMARIES: RowsOf(tuple(self._primaries.values()), lambda primary: primary.to_row())}

    def publish(self, index: int, now_ms: int, command: PublishPrimary) -> tuple[tuple[Change, ...], Primary]:
        """Write the primary that a recovery made, or the first one that was found; return what stands."""
        before = self._primaries.get(command.cluster_id)
        if before is not None and not command.recovery_id:
            return (), before
        primary = Primary(
            cluster_id=command.cluster_id,
            alias=command.alias,
            host=command.host,
            port=command.port,
            server_uuid=command.server_uuid,
            epoch=1 if before is None else before.epoch + 1,
            publish_ms=now_ms,
            recovery_id=command.recovery_id,
            former=() if before is None else _former_after(before),
            log_index=index,
        )
        self._primaries[primary.cluster_id] = primary
        return (put(PRIMARIES, primary.to_row()),), primary


def _former_after(before: Primary) -> tuple[FormerPrimary, ...]:
    ended = FormerPrimary(before.host, before.port, before.server_uuid, before.epoch)
    return (ended, *before.former)[:MAX_FORMER]
