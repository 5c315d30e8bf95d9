"""Counters and spans of one core, taken from what it gives out (19).

Spans are taken per batch, never per command: one record costs 7 µs, as much as a command under load.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from opentelemetry.metrics import Counter, Histogram, Meter

from services.consensus.raft.messages import PreVoteResponse, VoteRefusal, VoteResponse
from services.consensus.raft.model import NOBODY, Role
from services.consensus.raft.outputs import LeaderLease, Leadership, Outgoing, Output, PersistBatch
from services.consensus.state.commands import Command
from services.shared.runtime.metrics import COUNTS, SECONDS

PREFIX: Final = "primacy_consensus_"
SECOND: Final = 1e9
"""Nanoseconds in a second."""
_TIMED: Final = 16
"""One command in so many is timed: to record each would cost as much as the command."""
_ANSWERED: Final = ("committed", "refused")
_STATE_DIFFERS: Final = "state differs"
"""How the core begins to say that digests differ (A4)."""


class _Appended(NamedTuple):
    """A batch of a leader: its last entry, when it was appended, nanoseconds, and its size, bytes."""

    last_index: int
    at: int
    size: int


class CoreMetrics:
    """Counts what the core gives out. Told of every output before it is carried out, as a trace is."""

    def __init__(self, meter: Meter, clock: Callable[[], int]) -> None:
        """Make the instruments; `clock` is T1."""
        self._clock = clock
        self._leadership = Leadership(Role.FOLLOWER, 0, NOBODY)
        self._leader = NOBODY
        self._lease = LeaderLease(0, 0, 0)
        self._submitted: deque[tuple[int, int]] = deque()
        self._appended: deque[_Appended] = deque()
        self._installing: set[int] = set()
        self._appends = False
        self._committed_at: list[int] = []
        self._replies = 0
        self._leader_changes = counter(meter, "leader_changes", "New leaders this member learned of, by who it was.")
        self._elections = counter(meter, "elections", "Elections this member stood in, by result.")
        self._rounds = counter(meter, "prevotes", "Pre-votes this member was asked for, by result and reason.")
        self._refused = counter(meter, "votes_refused", "Votes this member refused, by reason.")
        self._lapses = counter(meter, "lease_lapses", "Ends of a leader lease that was valid.")
        self._snapshots = counter(meter, "snapshots_sent", "Snapshots begun to be sent to members.")
        self._installed = counter(meter, "snapshots_installed", "Snapshots installed here.")
        self._install = histogram(meter, "snapshot_install_seconds", "Writing of a snapshot that arrived whole.")
        self._mismatches = counter(
            meter, "digest_mismatch", "States found to differ from the group's, which is the end."
        )
        self._turn = histogram(meter, "loop_turn_seconds", "Turns of the loop.")
        self._persist = histogram(meter, "persist_seconds", "From a batch handed to the store until it is durable.")
        self._commit = histogram(
            meter,
            "commit_latency_seconds",
            "Queue: from the first event of a turn until a leader appends. Persist, quorum, apply: from that append "
            "until it is durable here, committed, applied. Reply: the whole call, of one command in sixteen.",
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
        if output.quarantine is not None and output.quarantine.startswith(_STATE_DIFFERS):
            self._mismatches.add(1)

    def durable(self, now: int, batch: int) -> None:
        """Measure the batches up to a number."""
        while self._submitted and self._submitted[0][0] <= batch:
            number, submitted_at = self._submitted.popleft()
            elapsed_s = (now - submitted_at) / SECOND
            if number in self._installing:
                self._installing.remove(number)
                self._install.record(elapsed_s)
            self._persist.record(elapsed_s)
            if self._leadership.role is Role.LEADER:
                self._commit.record(elapsed_s, {"stage": "persist"})

    def turned(self, put_at: int, began: int, ended: int) -> None:
        """Measure a turn of the loop that is over.

        Args:
            put_at: When the first of its events was put.
            began: When it began.
            ended: When everything that came of it was handed on.
        """
        self._turn.record((ended - began) / SECOND)
        if self._appends:
            self._appends = False
            self._commit.record((began - put_at) / SECOND, {"stage": "queue"})
        for appended_at in self._committed_at:
            self._commit.record((ended - appended_at) / SECOND, {"stage": "apply"})
        self._committed_at.clear()

    def answered(self, command: Command, asked_at: int, outcome: str) -> None:
        """Measure one command in sixteen from the call to its answer, unless it certainly did nothing."""
        if outcome not in _ANSWERED:
            return
        self._replies += 1
        if self._replies % _TIMED == 1:
            self._commit.record((self._clock() - asked_at) / SECOND, {"stage": "reply"})

    def uncommitted_bytes(self) -> int:
        """Return the size of the commands this leader took that are not committed; of a batch all of them."""
        return sum(appended.size for appended in self._appended)

    def oldest_persist_s(self) -> float:
        """Return the age of the oldest batch that is not durable yet, seconds."""
        return (self._clock() - self._submitted[0][1]) / SECOND if self._submitted else 0.0

    def _handed_out(self, now: int, batch: PersistBatch) -> None:
        self._submitted.append((batch.number, now))
        if batch.install is not None:
            self._installed.add(1)
            self._installing.add(batch.number)
        if batch.entries:
            self._batch.record(len(batch.entries))
            if self._leadership.role is Role.LEADER:
                size = sum(len(entry.data) for entry in batch.entries)
                self._appended.append(_Appended(batch.entries[-1].index, now, size))
                self._appends = True

    def _committed(self, now: int, index: int) -> None:
        while self._appended and self._appended[0].last_index <= index:
            appended_at = self._appended.popleft().at
            self._commit.record((now - appended_at) / SECOND, {"stage": "quorum"})
            self._committed_at.append(appended_at)

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
