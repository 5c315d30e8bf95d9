"""Which servers to read again at once, because a verdict would be the better for it (section 6 of the analysis).

Reading only: restarting replication is for who holds the lease, so that finding merely names it. Discovery follows a
suspicion with a burst of its own; what is asked for here begins when a finding has outlasted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from services.analysis.kinds import Emergency
from services.analysis.model import Finding
from services.shared.topology.key import InstanceKey

PAUSE: Final = timedelta(seconds=1)
"""Between two readings of one instance, and between the begin of a finding and its first."""


class Emergencies:
    """Remembers what was read lately."""

    def __init__(self) -> None:
        self._read: dict[InstanceKey, datetime] = {}

    def due(self, findings: Iterable[Finding], now: datetime, limit: int) -> tuple[InstanceKey, ...]:
        """Return what to read now, at most `limit`; what does not fit is due again next time.

        Findings that downtime tells to leave alone ask for nothing.
        """
        self._read = {key: time for key, time in self._read.items() if time <= now < time + PAUSE}
        wanted = dict.fromkeys(key for finding in findings for key in _wanted(finding, now))
        chosen = tuple(key for key in wanted if key not in self._read)[:limit]
        self._read.update(dict.fromkeys(chosen, now))
        return chosen


def _wanted(finding: Finding, now: datetime) -> Iterator[InstanceKey]:
    if finding.skippable or finding.detect_time is None or now < finding.detect_time + PAUSE:
        return
    for emergency in finding.kind.consequence.emergency:
        match emergency:
            case Emergency.READ_INSTANCE:
                yield finding.instance
            case Emergency.READ_SOURCE:
                yield from finding.sources
            case Emergency.READ_REPLICAS:
                yield from finding.replicas
            case Emergency.RESTART_REPLICATION | Emergency.NOTE_POSITION:
                pass  # Not a reading; the analyst notes positions itself.
