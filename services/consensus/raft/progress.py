"""What a leader knows of one peer, and how it feeds it (section 6).

PROBE: one Append outstanding, the next only after its answer or a heartbeat's. REPLICATE: `next_index` runs ahead of
the answers within a window. A fitting answer leads from PROBE to REPLICATE, a refusal or a broken connection back.
SNAPSHOT: it needs an entry that the log does not have any more; from each of the others, and back to PROBE when
`next_index` is in the log again. Invariant: `match_index < next_index`.
"""

from __future__ import annotations

from collections import deque

from services.consensus.raft.clock_rate import ClockRate
from services.consensus.raft.membership import CAUGHT_UP_ENTRIES, CAUGHT_UP_ROUNDS
from services.consensus.raft.model import CoreSettings, StoreHealth
from services.consensus.raft.outputs import PeerProgress, ReplicationState


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
        self.ready = True
        self.rtt_ns: int | None = None
        self.clock_rate = ClockRate()
        self.left_index = 0  # Configuration that it is not in any more; 0 = it is in the group.
        self.forget_at = 0  # When a former member is told no more.
        self.quarantined = False  # It does not trust its own store.
        self.distrusted = False  # It lost what it had acknowledged in this term (14.6).
        self.matched_at = 0  # When `match_index` became known.
        self.transfer_open = False  # A snapshot was asked for, and its end not told yet.
        self.transfer_not_before = now
        self._close_rounds = 0  # Rounds of heartbeats in a row in which it was close to the end of the log.
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of unanswered Appends.
        self._inflight_bytes = 0

    @property
    def trusted(self) -> bool:
        """True while its word counts: acknowledgements, promises, contact (14.6)."""
        return not (self.quarantined or self.distrusted)

    def heard(self, now: int) -> None:
        """Note any answer in the leader's term."""
        self.heard_at = now
        if self.trusted:
            self.contact_at = now

    def reaches(self, index: int, sent_at: int) -> None:
        """Distrust a peer whose log is shorter than what it acknowledged before (14.6).

        Args:
            index: How far its log is known to reach now; at least `match_index`, if nothing was lost.
            sent_at: When the question went out; one from before that acknowledgement shows nothing.
        """
        if sent_at > self.matched_at and index < self.match_index:
            self.distrusted = True
            self.promise_end = 0

    @property
    def caught_up(self) -> bool:
        """True when it stayed close to the end of the log for long enough to vote, and its store is well (M3)."""
        return self._close_rounds >= CAUGHT_UP_ROUNDS and self.store_health.usable

    def round_begun(self, last_index: int) -> None:
        """Note how far behind it is when a round of heartbeats goes out (M3)."""
        close = self.state is ReplicationState.REPLICATE and last_index - self.match_index <= CAUGHT_UP_ENTRIES
        self._close_rounds = self._close_rounds + 1 if close else 0

    def may_send(self, settings: CoreSettings, last_index: int) -> bool:
        """Tell whether another Append may go out now, in PROBE or REPLICATE; the log ends at `last_index`.

        One that would not be full waits for the answer to the one before, as in Nagle's algorithm (RFC 896): messages
        cost more than entries, and what queues meanwhile goes out in one.
        """
        if self.state is ReplicationState.PROBE:
            return not self.probe_sent
        full = last_index - self.next_index + 1 >= settings.max_batch
        window = settings.max_inflight if full else 1
        return len(self._inflight) < window and self._inflight_bytes < settings.max_inflight_bytes

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
        match self.state:
            case ReplicationState.PROBE:
                answers = self.probe_sent and prev_index == self.next_index - 1
            case ReplicationState.REPLICATE:
                answers = self.match_index < prev_index < self.next_index
            case ReplicationState.SNAPSHOT:
                answers = False
        if answers:
            self.probe_from(min(prev_index, may_match + 1))

    def probe_from(self, index: int) -> None:
        """Fall back to probing from an index, never below what is known to match."""
        self.state = ReplicationState.PROBE
        self.next_index = max(self.match_index + 1, index)
        self.probe_sent = self.nudge = False
        self._inflight.clear()
        self._inflight_bytes = 0

    def ask_from(self, index: int) -> None:
        """Probe from an index without entries: there may be none, and what the peer has must be known all the same."""
        self.probe_from(index)
        self.probe_sent = self.nudge = True

    def connection_broke(self, mark_index: int) -> None:
        """Probe anew, once a heartbeat was answered again, from where the peer is known to be (W3).

        Never from what the log does not have any more: only a refusal shows that the peer needs a snapshot.
        """
        match self.state:
            case ReplicationState.SNAPSHOT:
                return
            case ReplicationState.REPLICATE:
                self.probe_from(max(self.match_index + 1, min(mark_index + 1, self.next_index)))
            case ReplicationState.PROBE:
                self.probe_from(self.next_index)
        self.probe_sent = True

    def need_snapshot(self, now: int, heartbeat: int) -> bool:
        """Send nothing but heartbeats; return True when a snapshot shall be sent now (6).

        That is while the peer answers, one at a time, and not at once again after a transfer that failed.
        """
        if self.state is not ReplicationState.SNAPSHOT:
            self.probe_from(self.next_index)
            self.state = ReplicationState.SNAPSHOT
        answers = self.heard_at is not None and now - self.heard_at < heartbeat
        if not answers or self.transfer_open or now < self.transfer_not_before:
            return False
        self.transfer_open = True
        return True

    def transfer_ended(self, next_index: int, not_before: int) -> None:
        """Note that a transfer ended: the peer may go on at `next_index`, another one begins at `not_before`."""
        self.transfer_open = False
        self.transfer_not_before = not_before
        if self.state is ReplicationState.SNAPSHOT:
            self.next_index = next_index

    def heartbeat_answered(self, sent_at: int) -> None:
        """Ask, without entries, where the peer is when an Append sent before the heartbeat is unanswered (6).

        It may be lost, or it waits for a slow disk; only the first case needs its entries again.
        """
        if (self.probe_sent or self._inflight) and sent_at > self.appended_at:
            self.nudge = True

    def nudged(self, now: int) -> None:
        """Note that it was asked; answers to heartbeats from before that ask for nothing again (R4)."""
        self.nudge = False
        self.appended_at = now

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
            self.ready,
            not self.trusted,
            self.rtt_ns,
            self.clock_rate.ppm,
        )
