"""What a leader knows of one peer, and how it feeds it (section 6).

PROBE: one Append outstanding, the next only after its answer or a heartbeat's. REPLICATE: `next_index` runs ahead of
the answers within a window. A fitting answer leads from PROBE to REPLICATE, a refusal or a broken connection back.
Invariant: `match_index < next_index`.
"""

from __future__ import annotations

from collections import deque

from services.consensus.model import CoreSettings, StoreHealth
from services.consensus.outputs import PeerProgress, ReplicationState


class Progress:
    """One peer of a leader."""

    def __init__(self, member_id: int, next_index: int, now: int) -> None:
        """Start probing at `next_index`; the peer counts as heard when the leader was elected (E11)."""
        self.member_id = member_id
        self.match_index = 0
        self.next_index = next_index
        self.state = ReplicationState.PROBE
        self.probe_sent = False
        self.nudge = False  # Ask whether what was sent has arrived.
        self.appended_at = 0  # When the last Append was sent.
        self.contact_at = now
        self.heard_at: int | None = None
        self.promise_end = 0  # Until when this peer's promise counts, on the leader's clock (7).
        self.round = 0  # Newest round of heartbeats it answered.
        self.applied_index = 0
        self.store_health = StoreHealth.OK
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of unanswered Appends.
        self._inflight_bytes = 0

    def heard(self, now: int) -> None:
        """Note any answer in the leader's term."""
        self.contact_at = self.heard_at = now

    def may_send(self, settings: CoreSettings) -> bool:
        """Tell whether another Append may go out now."""
        if self.state is ReplicationState.PROBE:
            return not self.probe_sent
        return len(self._inflight) < settings.max_inflight and self._inflight_bytes < settings.max_inflight_bytes

    def sent(self, last_index: int, size: int, now: int) -> None:
        """Note that an Append up to `last_index` went out."""
        self.appended_at = now
        if self.state is ReplicationState.PROBE:
            self.probe_sent = True
            return
        self._inflight.append((last_index, size))
        self._inflight_bytes += size
        self.next_index = last_index + 1

    def acknowledged(self, match_index: int) -> bool:
        """Take an acknowledgement; return True when it is news. An old one changes nothing (R4)."""
        answers_probe = self.state is ReplicationState.PROBE and match_index >= self.next_index - 1
        while self._inflight and self._inflight[0][0] <= match_index:
            self._inflight_bytes -= self._inflight.popleft()[1]
        advanced = match_index > self.match_index
        if advanced:
            self.match_index = match_index
            self.next_index = max(self.next_index, match_index + 1)
        if answers_probe:
            self.state = ReplicationState.REPLICATE
            self.probe_sent = False
            self.next_index = self.match_index + 1
        return advanced

    def refused(self, prev_index: int, may_match: int) -> None:
        """Take a refusal and jump to where the logs may match; one that answers no open question is ignored (R4)."""
        if self.state is ReplicationState.PROBE:
            stale = not self.probe_sent or prev_index != self.next_index - 1
        else:
            stale = not self.match_index < prev_index < self.next_index
        if not stale:
            self.probe_from(min(prev_index, may_match + 1))

    def probe_from(self, index: int) -> None:
        """Fall back to probing from an index, never below what is known to match."""
        self.state = ReplicationState.PROBE
        self.next_index = max(self.match_index + 1, index)
        self.probe_sent = self.nudge = False
        self._inflight.clear()
        self._inflight_bytes = 0

    def heartbeat_answered(self, sent_at: int) -> None:
        """Ask, without entries, where the peer is when an Append sent before the heartbeat is unanswered (6).

        It may be lost, or it waits for a slow disk; only the first case needs its entries again.
        """
        if (self.probe_sent or self._inflight) and sent_at > self.appended_at:
            self.nudge = True

    def view(self) -> PeerProgress:
        """Return it as a value."""
        return PeerProgress(
            self.member_id,
            self.match_index,
            self.next_index,
            self.state,
            self.heard_at,
            self.applied_index,
            self.store_health,
        )
