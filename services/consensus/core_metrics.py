"""Counters and spans of one core, taken from what it gives out (19).

Spans are taken per batch, never per command: one record costs 7 µs, as much as a command under load.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from opentelemetry.metrics import Counter, Histogram, Meter

from services.consensus.raft.messages import PreVoteResponse, VoteRefusal, VoteResponse
from services.consensus.raft.model import NOBODY, Role
from services.consensus.raft.outputs import LeaderLease, Leadership, Outgoing, Output, PersistBatch
from services.shared.runtime.metrics import COUNTS, SECONDS

PREFIX: Final = "primacy_consensus_"
SECOND: Final = 1e9
"""Nanoseconds in a second."""


class CoreMetrics:
    """Counts what the core gives out. Told of every output before it is carried out, as a trace is."""

    def __init__(self, meter: Meter, clock: Callable[[], int]) -> None:
        """Make the instruments; `clock` is T1."""
        self._clock = clock
        self._leadership = Leadership(Role.FOLLOWER, 0, NOBODY)
        self._leader = NOBODY
        self._lease = LeaderLease(0, 0, 0)
        self._submitted: deque[tuple[int, int]] = deque()
        self._appended: deque[tuple[int, int]] = deque()
        self._leader_changes = counter(meter, "leader_changes", "New leaders this member learned of, by who it was.")
        self._elections = counter(meter, "elections", "Elections this member stood in, by result.")
        self._rounds = counter(meter, "prevotes", "Pre-votes this member was asked for, by result and reason.")
        self._refused = counter(meter, "votes_refused", "Votes this member refused, by reason.")
        self._lapses = counter(meter, "lease_lapses", "Ends of a leader lease that was valid.")
        self._snapshots = counter(meter, "snapshots_sent", "Snapshots begun to be sent to members.")
        self._installed = counter(meter, "snapshots_installed", "Snapshots installed here.")
        self._persist = histogram(meter, "persist_seconds", "From a batch handed to the store until it is durable.")
        self._commit = histogram(
            meter, "commit_latency_seconds", "From the append of a leader's batch until it is durable here / committed."
        )
        self._batch = histogram(meter, "batch_entries", "Entries of a batch.", COUNTS)

    def output(self, now: int, output: Output) -> None:
        """Count an output."""
        if output.leadership is not None:
            self._led(output.leadership)
        for batch in output.persist:
            self._handed_out(now, batch)
        for outgoing in output.messages:
            self._said(outgoing)
        if output.lease is not None:
            self._leased(now, output.lease)
        if output.committed:
            self._committed(now, output.committed[-1].index)
        if output.snapshot_wanted:
            self._snapshots.add(len(output.snapshot_wanted))

    def durable(self, now: int, batch: int) -> None:
        """Measure the batches up to a number."""
        while self._submitted and self._submitted[0][0] <= batch:
            elapsed_s = (now - self._submitted.popleft()[1]) / SECOND
            self._persist.record(elapsed_s)
            if self._leadership.role is Role.LEADER:
                self._commit.record(elapsed_s, {"stage": "persist"})

    def oldest_persist_s(self) -> float:
        """Return the age of the oldest batch that is not durable yet, seconds."""
        return (self._clock() - self._submitted[0][1]) / SECOND if self._submitted else 0.0

    def _handed_out(self, now: int, batch: PersistBatch) -> None:
        self._submitted.append((batch.number, now))
        if batch.install is not None:
            self._installed.add(1)
        if batch.entries:
            self._batch.record(len(batch.entries))
            if self._leadership.role is Role.LEADER:
                self._appended.append((batch.entries[-1].index, now))

    def _committed(self, now: int, index: int) -> None:
        while self._appended and self._appended[0][0] <= index:
            self._commit.record((now - self._appended.popleft()[1]) / SECOND, {"stage": "quorum"})

    def _said(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        if not isinstance(message, PreVoteResponse | VoteResponse):
            return
        refused = message.refusal is not VoteRefusal.NONE
        if isinstance(message, PreVoteResponse):
            result = "refused" if refused else "granted"
            self._rounds.add(1, {"result": result, "reason": message.refusal.value})
        elif refused:
            self._refused.add(1, {"reason": message.refusal.value})

    def _led(self, leadership: Leadership) -> None:
        before, self._leadership = self._leadership, leadership
        if before.role is Role.CANDIDATE and leadership.role is not Role.CANDIDATE:
            self._elections.add(1, {"result": "won" if leadership.role is Role.LEADER else "lost"})
        if leadership.role is not Role.LEADER:
            self._appended.clear()
        if leadership.leader not in (NOBODY, self._leader):
            self._leader = leadership.leader
            itself = leadership.role is Role.LEADER
            self._leader_changes.add(1, {"reason": "itself" if itself else "other"})

    def _leased(self, now: int, lease: LeaderLease) -> None:
        before, self._lease = self._lease, lease
        lapsed = lease.seq != before.seq or not lease.valid_until
        if before.valid_until and lapsed:
            self._lapses.add(1)


def counter(meter: Meter, name: str, description: str) -> Counter:
    """Make a counter; `_total` is put behind its name."""
    return meter.create_counter(PREFIX + name, description=description)


def histogram(meter: Meter, name: str, description: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
    """Make a histogram of seconds, or of what its buckets say."""
    return meter.create_histogram(PREFIX + name, description=description, explicit_bucket_boundaries_advisory=buckets)
