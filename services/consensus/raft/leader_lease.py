"""The leader lease: until when nobody else can have been elected (section 7, rules L1-L4).

Every answer proves that its sender promised, at some time after `sent_at`, to help no other leader for P. Its clock
and ours differ in rate by at most ρ, so on our clock the promise lasts at least until
`sent_at + P * (1 - ρ) / (1 + ρ)`; ε comes off on top. What a majority promised, the leader included, holds.
"""

from __future__ import annotations

from services.consensus.raft.model import CoreSettings
from services.consensus.raft.outputs import LeaderLease
from services.consensus.raft.quorum import reached_by

_MILLION = 1_000_000


class LeaseClock:
    """Reckons the lease of one term."""

    def __init__(self, settings: CoreSettings, term: int) -> None:
        """Start without a lease; the term leads its sequence, so that it grows across restarts too (L3)."""
        self._settings = settings
        self.lease = LeaderLease(term, term << 32, 0)

    def retime(self, settings: CoreSettings) -> None:
        """Reckon with other settings from now on (18.5)."""
        self._settings = settings

    def end(self) -> LeaderLease:
        """End the lease; it may become valid again under a higher number (L3)."""
        self.lease = LeaderLease(self.lease.term, self.lease.seq, 0)
        return self.lease

    def promise_end(self, sent_at: int, promise_ns: int, now: int) -> int:
        """Return until when an answer is worth something; `now`, its arrival, proves nothing and does not count."""
        del now
        drift = self._settings.clock_drift_ppm
        return sent_at + promise_ns * (_MILLION - drift) // (_MILLION + drift) - self._settings.lease_margin

    def refresh(self, promise_ends: list[int], need: int, now: int) -> LeaderLease:
        """Extend the lease to what a majority promised (L4).

        Args:
            promise_ends: Of the other voters. The leader's own word is endless: it refuses votes itself (E2).
            need: Majority of all voters, the leader included; one more when the leader is no voter.
            now: Present time.
        """
        if need == 1:
            valid_until = self.promise_end(now, self._settings.election_min, now)
        else:
            valid_until = reached_by(promise_ends, need - 1)
        if valid_until > max(now, self.lease.valid_until):
            seq = self.lease.seq if self.lease.valid_at(now) else self.lease.seq + 1  # L3
            self.lease = LeaderLease(self.lease.term, seq, valid_until)
        return self.lease
