"""What was found before: a row for each change of an instance's finding (section 10 of the failure analysis).

Rows are about instances that others read from, also while nothing is wrong and while a finding is not told; not about
those in maintenance. The first finding of an instance makes no row. Structure warnings are not recorded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.analysis.gates import Verdict
from services.analysis.kinds import FindingKind
from services.shared.topology.key import InstanceKey

RETENTION: Final = timedelta(hours=240)
LONGEST: Final = 20_000
"""Rows that are kept at most: a fleet that flaps must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of what is found of an instance.

    Attributes:
        number: Grows by one with each change.
        before: What was found until then.
        after: What is found since.
        time: When.
        lasted: How long `before` had held.
    """

    number: int
    instance: InstanceKey
    cluster_id: str
    before: FindingKind
    after: FindingKind
    time: datetime
    lasted: timedelta


class Changelog:
    """The changes of one topology, oldest first."""

    def __init__(self) -> None:
        self._last: dict[InstanceKey, tuple[FindingKind, datetime]] = {}
        self._changes: deque[Change] = deque(maxlen=LONGEST)
        self._number = 0

    def note(self, verdict: Verdict, cluster_id: str, now: datetime) -> None:
        """Take in what is found of an instance now."""
        seen = verdict.circumstances
        if seen.counts.replicas == 0 or seen.in_maintenance:
            return
        before = self._last.get(seen.instance)
        if before is not None and before[0] is verdict.kind:
            return
        self._last[seen.instance] = (verdict.kind, now)
        if before is None:
            return
        self._number += 1
        kind, since = before
        self._changes.append(Change(self._number, seen.instance, cluster_id, kind, verdict.kind, now, now - since))
        while self._changes and self._changes[0].time < now - RETENTION:
            self._changes.popleft()

    def forget(self, key: InstanceKey) -> None:
        """Let the next finding of an instance be its first again; its rows stay."""
        self._last.pop(key, None)

    def changes(self, cluster_id: str | None, instance: InstanceKey | None) -> tuple[Change, ...]:
        """Return changes, newest first; of one cluster or one instance where given."""
        return tuple(
            change
            for change in reversed(self._changes)
            if cluster_id in (None, change.cluster_id) and instance in (None, change.instance)
        )
